"""The simulator's own parts: the checker sees what is wrong, disks tear as disks do, failing schedules become short."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.kit import Writer, all_entries, shop_of
from tests.simulation import hostile, mishaps, people
from tests.simulation import schedule as schedules
from tests.simulation.actions import ACTIONS, Action, fresh_id
from tests.simulation.disk import BLOCK, Files, torn
from tests.simulation.finale import wires
from tests.simulation.oracle import Oracle
from tests.simulation.schedule import Schedule, draw, shrink
from tests.simulation.world import World


def test_the_checker_judges_by_the_rules() -> None:
    a, b = Writer("alif"), Writer("be")
    shop = shop_of(a, b)
    first, second = a.sale(500), b.sale(700)
    twin = b.sale(500, id=first.id)
    forged = a.sale(900, seq=first.seq, prev=first.prev)
    seal = a.seal()
    oracle = Oracle([(e.document, e.raw) for e in [*all_entries(a, b), forged]], shop)
    status = {e.hash.hex(): oracle.status[e.document, e.hash.hex()] for e in (first, second, twin, forged, seal)}
    kept, dropped = (first, twin) if (a.id, first.run) < (b.id, twin.run) else (twin, first)
    assert status[kept.hash.hex()] == "counted" and status[dropped.hash.hex()] == "duplicate"
    assert status[second.hash.hex()] == status[seal.hash.hex()] == "counted" and status[forged.hash.hex()] == "disputed"
    [(day, places)] = oracle.days().items()
    report = oracle.report(day, places)
    assert report["sales"] == (2, 1200) and report["disputed"] == [forged.hash.hex()]


def test_the_checker_knows_a_wrong_signature_a_wrong_sum_and_a_removed_till() -> None:
    a, b = Writer("alif"), Writer("be")
    shop = shop_of(a, b)
    sale = b.sale(500)
    a.remove(b, sale)
    late = b.sale(600)
    broken = sale.raw.replace(b'"total":500', b'"total":501')
    unsigned = b.entries[0].raw.replace(b'"label":"BE"', b'"label":"BX"')
    oracle = Oracle(
        [*((e.document, e.raw) for e in all_entries(a, b)), (sale.document, broken), (sale.document, unsigned)], shop
    )
    assert oracle.status[sale.document, sale.hash.hex()] == "counted"
    assert oracle.status[late.document, late.hash.hex()] == "held"
    wrong = sorted(e.raw for p, e in oracle.elements.items() if oracle.status[p] == "invalid")
    assert wrong == sorted([broken, unsigned])


@pytest.mark.parametrize("seed", range(20))
def test_a_torn_file_has_only_old_and_new_blocks(seed: int) -> None:
    chance = random.Random(seed)
    before, after = Files(b"m" * 4096, b"a" * 5000), Files(b"m" * 4096, b"a" * 5000 + b"b" * 7000)
    left = torn(before, after, chance)
    assert left.main == before.main and left.wal[:4608] == b"a" * 4608 and len(left.wal) <= len(after.wal)
    for at in range(0, len(left.wal), BLOCK):
        assert set(left.wal[at : at + BLOCK]) <= set(b"ab\0")


def test_a_failing_schedule_becomes_as_short_as_what_it_fails_of(monkeypatch: pytest.MonkeyPatch) -> None:
    def break_(world: World, chance: random.Random) -> None:
        world.did("broken")
        assert world.done["broken"] < 2, "it broke twice"

    monkeypatch.setitem(ACTIONS, "break", Action("break", 0, "never", break_))
    steps = [*draw(3).steps[:10], ("break", 1), *draw(3).steps[:10], ("break", 2), ("wait", 3)]
    schedule = Schedule(3, 1, 0, (), tuple(steps))
    outcome = schedules.run(schedule)
    assert outcome.failure is not None
    short = shrink(schedule, outcome.failure, seconds=30)
    assert [name for name, _ in short.steps] == ["break", "break"]
    assert Schedule.from_json(short.to_json()) == short


def test_no_machine_takes_the_key_of_one_that_is_gone(tmp_path: Path) -> None:
    """Or it would write under the numbers of another life of the same process, which no real one draws again."""
    world = World(tmp_path, 5, tills=2, relays=0)
    lived, drawn = [*world.machines], random.Random(5)
    for act in (people.join, people.restore) * 8:
        act(world, drawn)
        newest = world.machines[-1]
        if newest is not lived[-1]:
            lived.append(newest)
            world.snapshot(newest)
    assert world.done["restored"] > 1
    assert len({machine.key.id for machine in lived}) == len({machine.name for machine in lived}) == len(lived)
    world.close()


def test_a_liars_own_sales_are_its_own_when_its_machine_is_gone_too_and_nobody_elses(tmp_path: Path) -> None:
    """Its disk was copied, and an heir made of the copy: what it sold before counts, and nobody rang that."""
    world = World(tmp_path, 5, tills=2, relays=0, hostile=True)
    founder, _, thief = world.machines
    for machine in world.machines[1:]:
        world.connect(machine, founder)
    world.drain()
    chance = random.Random(5)
    people.ring(world, founder, fresh_id(chance), people.goods(chance))
    for _ in range(5):  # as it was, or as another
        world.drain()
        hostile.squat_id(world, chance)
    world.drain()
    world.snapshot(thief)
    people.restore(world, chance)
    assert thief not in world.machines
    joined = wires(world, chance)
    world.heal(joined)
    oracle = world.book.audit(joined)
    sold = [oracle.elements[place] for place in oracle.counted("sale")]
    assert [sale for sale in sold if sale.till == thief.key.id and sale.body["total"] == 1]
    founder.running.write("sale", {"lines": [{"sku": "1", "quantity": "1", "price": 1}], "total": 1})
    world.rest(joined)
    with pytest.raises(AssertionError, match="a sale that nobody rang"):
        world.book.audit(joined)
    world.close()


@pytest.mark.parametrize(("at", "harmless"), [("element", False), ("client", False), ("clock", False), ("left", True)])
def test_rot_that_nothing_names_is_seen_unless_it_only_moves_an_element_in_its_array(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: str, harmless: bool
) -> None:
    world = World(tmp_path, 5, tills=1, relays=0)
    [till], chance = world.machines, random.Random(5)
    for _ in range(3):
        people.ring(world, till, fresh_id(chance), people.goods(chance))
        world.commit_all(till)
    (update,) = till.disk.read.execute("SELECT data FROM log ORDER BY n DESC LIMIT 1").fetchone()
    # one client with one struct: its client id, its clock; an element behind another, by whom, its clock; one string
    size = next(n for n in range(1, 9) if update[1 + n] < 128)
    clock, left = 2 + size, 2 + size + 1 + 1 + size
    assert update[:2] == b"\1\1" and update[clock + 1] == 0x88 and update[2:clock] == update[clock + 2 : left]
    assert update[left] == update[clock] - 1 > 0
    place = {"element": update.index(b'"total"') + 1, "client": 2, "clock": clock, "left": left}[at]
    byte = 0 if harmless else update[place] ^ 1  # behind the first element of that client, and not the one before
    changed = update[:place] + bytes([byte]) + update[place + 1 :]

    def rotten(main: bytes, chance: random.Random) -> bytes:
        assert main.count(update) == 1
        return main.replace(update, changed)

    monkeypatch.setattr(mishaps, "rotten", rotten)
    if harmless:
        mishaps.rot(world, chance)  # nor does `posline verify` name it
        assert world.done["rot, harmless"] == 1
    else:
        monkeypatch.setattr(mishaps, "verify", lambda store, shop: [])  # or that would
        with pytest.raises(AssertionError, match="nothing says so"):
            mishaps.rot(world, chance)
    world.close()
