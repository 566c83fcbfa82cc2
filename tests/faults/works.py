"""What is under way when something is killed: each work sets a scene in a yard, waits for its moment, and kills.

The moment is a random time after something was seen to begin: an answer, a light, a byte in the write-ahead log. A
program that died is looked at by the yard and started again; where a person had asked for the thing that was cut off,
it is asked for again, as that person would.
"""

from __future__ import annotations

import csv
import json
import shutil
import signal
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from tests.faults.disk import Disk
from tests.faults.floor import Account, Act, Answer, Cashier, Device, Gone, Till
from tests.faults.nursery import Program
from tests.faults.yard import Yard

__all__ = ["WORKS", "Work"]

Work = Callable[[Yard], None]

ANSWERS_MAX = 60  # of a till at work until it is killed
MOMENT_S = 0.004  # and then a little later, since commits take about that long
LIGHTS_MAX = 6
HANGING_SALES, HANGING_S = 4, 0.15  # what is sold while others hang, and for how long its lights are looked at
BACKLOG = 1500
BACKLOG_KILLS = 5
CAUGHT_UP_S = 45.0  # for what is asked for at once; what a look each minute finds is not caught up
ROWS = 90  # more than the program waits for before it joins them
QUIET_S, SQUASH_S = 1.7, 5.0  # ... and it waits until it was idle for two seconds
MIGRATION_S = 0.15
PRODUCTS = 700
FIRST_STARTS = 4
TRIES_MAX = 30
JOINED = "is a member of that shop already"  # what a second try is told

# of an older version: what each release of the tables added, the youngest last, and what its files remembered
RELEASES: Sequence[tuple[str, tuple[str, ...]]] = (
    ("the counter", ("onhand", "statement", "returned", "excess", "cart", "uncart", "shift", "dayclose")),
    ("fiscal filings", ("fileable", "filing")),
    ("products", ("product", "barcode", "product_words", "edit_conflict")),
    ("opening stock", ("opening",)),
    ("edits that name what is missing", ("unseen",)),
    ("products that change on a day", ()),
)
RULES_BEFORE = "1"


def ring(yard: Yard) -> None:
    """Sales, as fast as three cashiers can."""
    _at_work(yard, mixed=False)


def counter(yard: Yard) -> None:
    """All that a counter does."""
    _at_work(yard, mixed=True)


def _at_work(yard: Yard, *, mixed: bool) -> None:
    till, wanted = yard.pick(), yard.rng.randrange(1, ANSWERS_MAX)
    with yard.at_work(till, mixed=mixed) as answers:
        assert yard.soon(lambda: answers() >= wanted, 30)
        yard.after(MOMENT_S)
        yard.kill(till)
    yard.revive(till)


def merge(yard: Yard) -> None:
    """One till sells, and others take it in; those who hold it die as the lights for it come on, the till with them or
    not. Some hang for a moment first: what is sent to them then is taken by their kernel, and by nobody else."""
    till = yard.pick()
    dying = yard.rng.sample(yard.others(till), yard.rng.randrange(1, 3))
    yard.until("they are linked", yard.linked)
    wanted, lit = yard.rng.randrange(1, LIGHTS_MAX), 0
    with yard.at_work(till) as answers:

        def lights() -> bool:
            nonlocal lit
            last = [a.id for a in list(yard.account.acts.values())[-40:] if a.answer and a.kind == "sale"]
            mine = [id for id in last if yard.account.acts[id].body["by"] == till.name]
            for sale in mine[-3:]:
                lit += yard.account.light(till, sale)
            return lit >= wanted

        assert yard.soon(lights, 30), f"no light came on at {till.name}"
        if yard.rng.random() < 0.5:
            for device in dying:
                device.program.signal(signal.SIGSTOP)
            before, wanted = answers(), 1 << 30
            assert yard.soon(lambda: answers() > before + HANGING_SALES, 30), "a cashier waits for another till"
            yard.soon(lights, HANGING_S)
        dying += [till] * yard.rng.randrange(2)
        yard.kill(*dying)
    yard.revive(*dying)


def catch_up(yard: Yard) -> None:
    """A till comes back to others that have a backlog for it: whoever sends, takes in, or is on the way dies."""
    sender, receiver, *rest = yard.rng.sample(yard.tills, 3)
    through_office = yard.rng.random() < 0.5  # the sender has gone again when the receiver comes
    down = [receiver, *rest] if through_office else [receiver]
    yard.kill(sender, *down)
    ringing = Program(yard.nursery, sender.folder, "tests.faults.alone", [str(BACKLOG), str(yard.rng.random())])
    assert ringing.launch().ended() == 0, ringing.said()
    yard.account.backlog |= json.loads(ringing.printed())
    way: list[Device] = [sender, yard.office] if through_office else [sender, receiver]
    yard.revive(sender)
    if not through_office:
        yard.revive(receiver)
    target = way[1]
    for _ in range(yard.rng.randrange(1, BACKLOG_KILLS)):
        if not _receiving(yard, target):
            break
        dying = yard.rng.choice([way[:1], way[1:], way])
        yard.kill(*dying)
        yard.revive(*dying)
    if through_office:
        yard.until("the head office has the backlog", lambda: _has_backlog(yard, yard.office), CAUGHT_UP_S)
        yard.kill(sender)
        yard.revive(receiver)
        if _receiving(yard, receiver):
            dying = yard.rng.choice([[receiver], [yard.office], [receiver, yard.office]])
            yard.kill(*dying)
            yard.revive(*dying)
    yard.until("the receiver has the backlog", lambda: _has_backlog(yard, receiver), CAUGHT_UP_S)
    if through_office:
        yard.revive(sender, *rest)


def _receiving(yard: Yard, device: Device) -> bool:
    """Wait until something of a backlog has come in, and then a random part of the rest; False where none is left."""
    if not yard.soon(lambda: _held(device) > device.disk.last, 12):
        return False
    wanted = yard.rng.randrange(1, BACKLOG)
    yard.soon(lambda: _held(device) - device.disk.last >= wanted, 0.5)
    yard.after(MOMENT_S)
    return True


def _held(device: Device) -> int:
    """The number of the last entry on a disk whose program may run."""
    with closing(sqlite3.connect(f"file:{device.folder / 'posline.db'}?mode=ro", uri=True)) as db:
        return int(db.execute("SELECT coalesce(max(n), 0) FROM entry").fetchone()[0])


def _has_backlog(yard: Yard, device: Device) -> bool:
    device.disk.look()
    return all(device.disk.ids[id] for id in yard.account.backlog)


def seal(yard: Yard) -> None:
    """A till is told to stop, signs what it wrote, and its power goes meanwhile; those that are linked sign too."""
    till = yard.pick()
    wanted = yard.rng.randrange(1, 8)
    with yard.at_work(till, cashiers=1) as answers:
        assert yard.soon(lambda: answers() >= wanted, 30)
    till.program.signal(15)
    yard.after(0.03)
    dying = [till, *yard.rng.sample(yard.others(till), yard.rng.randrange(2))]
    yard.kill(*dying)
    yard.revive(*dying)


def migrate(yard: Yard) -> None:
    """A device comes up with the file of an older version."""
    device = yard.rng.choice(yard.devices)
    yard.kill(device)
    released = yard.rng.randrange(len(RELEASES) + 1)
    age(device.folder / "posline.db", released)
    for _ in range(yard.rng.randrange(1, 4)):
        took_s = yard.memory.setdefault("migration_s", {}).get(device.name, 0.5)
        before = device.written
        device.program.launch()
        if yard.rng.random() < 0.7:
            yard.soon(lambda before=before: device.written != before, 10)  # type: ignore[misc]
            yard.after(MIGRATION_S)
        else:
            yard.after(1.2 * took_s)
        yard.kill(device)
        migrated = yard.memory.setdefault("migrated", Counter())
        migrated["not at all" if device.disk.rules == RULES_BEFORE else "whole"] += 1
        if device.disk.rules != RULES_BEFORE:
            age(device.folder / "posline.db", released)
    began = time.monotonic()
    device.program.start()
    yard.memory["migration_s"][device.name] = time.monotonic() - began
    yard.account.settle(device)
    yard.look()
    assert device.disk.rules != RULES_BEFORE


def age(database: Path, released: int) -> None:
    """Make a file one of an older version: without the tables that it did not know, judged by older rules."""
    with closing(sqlite3.connect(database)) as db:
        for name, tables in RELEASES[released:]:
            for table in tables:
                db.execute(f"DROP TABLE IF EXISTS {table}")
            assert db.execute("DELETE FROM _sqlite_migrations WHERE name = ?", (name,)).rowcount == 1, name
            if name == "the counter":
                db.execute("DROP INDEX IF EXISTS entry_back")
            if name == "products that change on a day" and released > [each for each, _ in RELEASES].index("products"):
                db.execute("DROP INDEX product_ahead")
                db.execute("ALTER TABLE product DROP COLUMN ahead")
            if name == "products":
                db.execute("DELETE FROM meta WHERE name = 'product index'")
        db.execute("UPDATE meta SET value = ? WHERE name = 'rules'", (RULES_BEFORE,))
        db.commit()
    database.with_name("local.json").unlink(missing_ok=True)  # whoever closed the file took its log away


def squash(yard: Yard) -> None:
    """All is quiet, and every device joins the rows of its log: each dies as it first writes again."""
    till = yard.pick()
    yard.until("all are linked", yard.linked)
    with yard.at_work(till) as answers:
        assert yard.soon(lambda: answers() >= ROWS, 30)
    quiet = {device.name: (device.written, time.monotonic()) for device in yard.devices}
    alive, ends = list(yard.devices), time.monotonic() + SQUASH_S
    yard.look()
    rows = {device.name: device.disk.log_rows for device in yard.devices}
    while alive and time.monotonic() < ends:
        for device in list(alive):
            written, since = quiet[device.name]
            if device.written == written:
                continue
            quiet[device.name] = device.written, time.monotonic()
            if time.monotonic() - since > QUIET_S:
                yard.kill(device)
                alive.remove(device)
                joined = yard.memory.setdefault("squashed", Counter())
                joined["whole" if device.disk.log_rows < rows[device.name] else "not at all"] += 1
        time.sleep(0.0001)
    yard.revive(*(device for device in yard.devices if device not in alive))


def backup(yard: Yard) -> None:
    """A copy is written where an older one lies; whichever is there is whole."""
    till = yard.pick()
    target = yard.folder / f"{till.name}.backup"
    took_s = yard.memory.get("backup_s", 0.15)
    with yard.at_work(till, cashiers=1):
        asked = _asking(lambda: till.command("backup", file=str(target)))
        yard.after(1.3 * took_s)
        yard.kill(till)
    asked()
    _check_backup(yard, till, target)
    yard.revive(till)
    acknowledged = [a.id for a in yard.account.acts.values() if a.answer and a.body["by"] == till.name]
    began = time.monotonic()
    till.done("backup", file=str(target))
    yard.memory["backup_s"] = time.monotonic() - began
    yard.memory[f"backup {till.name}"] = acknowledged
    _check_backup(yard, till, target)


def _check_backup(yard: Yard, till: Till, target: Path) -> None:
    """What lies under the backup's name has at least what the last whole one had."""
    acknowledged = yard.memory.get(f"backup {till.name}")
    if not target.exists():
        assert acknowledged is None, "the older backup is gone"
        return
    folder = yard.folder / "backup"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    shutil.copyfile(target, folder / "posline.db")
    with closing(sqlite3.connect(folder / "posline.db")) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert db.execute("SELECT value FROM meta WHERE name = 'backup'").fetchone(), "it is not finished"
    copy = Disk(folder)
    copy.look()
    assert not copy.lacks(acknowledged or [])[:5]


def close_shift(yard: Yard) -> None:
    """A drawer is counted while others sell at the same till."""
    _closing(yard, lambda till, id: Act("shift closed", "/api/shifts/close", {"id": id, "counted": {"cash": 1}}, 0))


def close_day(yard: Yard) -> None:
    """A business day is closed, likewise."""

    def act(till: Till, id: str) -> Act:
        return Act("day closed", f"/api/days/{till.get('/api/status')['day']}/close", {"id": id}, 0)

    _closing(yard, act)


def _closing(yard: Yard, act_of: Callable[[Till, str], Act]) -> None:
    till, wanted = yard.pick(), yard.rng.randrange(3, 15)
    clerk = Cashier(yard.account, till, yard.rng, [])
    with yard.at_work(till, cashiers=2) as answers:
        assert yard.soon(lambda: answers() >= wanted, 30)
        act = act_of(till, clerk.new_id())
        act.body["by"] = till.name
        act.may_be_refused = True  # where nothing was sold since the last close
        asked = _asking(lambda: (200, yard.account.ask(till, act)))
        yard.after(0.012)
        yard.kill(till)
    asked()
    yard.revive(till)


def rotate(yard: Yard) -> None:
    """A till changes its key, and sells with it at once."""
    till = yard.pick()
    yard.until("all are linked, or keys pile up that nobody has heard of", yard.linked)
    asked = _asking(lambda: till.command("key_rotate"))
    yard.soon((till.folder / "key.next").exists, 0.03)
    yard.after(0.008)
    yard.kill(till)
    asked()
    yard.revive(till)
    assert yard.account.ask(till, Cashier(yard.account, till, yard.rng, []).sell())


def catalogue(yard: Yard) -> None:
    """A file of products is taken over, as a change or as the whole; whatever is there is an old product or a new one,
    and of a whole catalogue one or the other."""
    till, replace = yard.pick(), yard.rng.random() < 0.5
    yard.until("all are linked", yard.linked)
    before = _prices(till)
    version = yard.memory["version"] = yard.memory.get("version", 0) + 1
    file, wanted = yard.folder / "products.csv", {f"P{n:04}": n * 10 + version for n in range(PRODUCTS)}
    with file.open("w", newline="") as lines:
        csv.writer(lines).writerows([("sku", "name", "price"), *((sku, sku, price) for sku, price in wanted.items())])
    took_s = yard.memory.get("import_s", 0.3)
    asked = _asking(lambda: till.command("catalogue_import", file=str(file), replace=replace))
    yard.after(1.2 * took_s)
    yard.kill(till)
    asked()
    yard.revive(till)
    found = _prices(till)
    assert found in (before, wanted) or not replace, "a catalogue that is half the old one and half the new one"
    assert all(found[sku] in (before.get(sku), wanted[sku]) for sku in found)
    assert before.keys() <= found.keys()
    began = time.monotonic()
    done = till.done("catalogue_import", file=str(file), replace=replace)
    yard.memory["import_s"] = time.monotonic() - began
    assert (done["products"], done["bad_count"]) == (PRODUCTS, 0)
    assert _prices(till) == wanted


def _prices(till: Till) -> dict[str, int]:
    """The whole catalogue."""
    found: dict[str, int] = {}
    after = ""
    while True:
        page = till.get(f"/api/products?limit=500&after={after}")["products"]
        found |= {product["sku"]: product["price"] for product in page}
        if not page:
            return found
        after = page[-1]["sku"]


def join(yard: Yard) -> None:
    """A new till joins; it dies, or who invited it does, until both are left alone."""
    inviter = yard.pick()
    till = Till(yard.nursery, yard.folder, f"J{len(yard.joined)}")
    for _ in range(yard.rng.randrange(1, 4)):
        joining = till.join(yard.nursery, inviter.done("invite", expires_s=900)["link"])
        if yard.rng.random() < 0.5:
            yard.soon((till.folder / yard.rng.choice(("key.new", "settings.json", "posline.db"))).exists, 5)
            yard.after(0.04)
        else:
            yard.after(0.4)
        if yard.rng.random() < 0.7:
            joining.signal(9)
            yard.kills[yard.work] += 1
        else:
            yard.kill(inviter)
        ended = joining.ended()
        if not inviter.program.running:
            yard.revive(inviter)
        if ended == 0:
            break
    else:
        joining = till.join(yard.nursery, inviter.done("invite", expires_s=900)["link"])
        said = joining.said()[-1500:] if joining.ended() else JOINED
        assert JOINED in said, said  # or the one before died when all was done
    till.start()
    till.id = till.get("/api/status")["till"]
    known = set(inviter.disk.ids)
    yard.joined.append(till)

    def here() -> bool:
        till.disk.look()
        return known <= till.disk.ids.keys()

    yard.until(f"{till.name} holds what {inviter.name} held", here)
    assert till.program.stop() == 0


def first_start(yard: Yard) -> None:
    """A machine is switched on for the first time, its power goes again and again; then it is attached to the head
    office, and either dies of that."""
    number = yard.memory["founded"] = yard.memory.get("founded", 0) + 1
    till = Till(yard.nursery, yard.folder, f"F{number}")
    for _ in range(yard.rng.randrange(1, FIRST_STARTS)):
        till.program.launch()
        made = till.folder / yard.rng.choice(("lock", "key", "recovery-code", "posline.db", "settings.json"))
        yard.soon(made.exists, 5)
        yard.after(0.06)
        till.program.kill()
        yard.kills[yard.work] += 1
    till.start()
    with closing(sqlite3.connect(f"file:{till.folder / 'posline.db'}?mode=ro", uri=True)) as db:
        assert db.execute("SELECT count(*) FROM shop").fetchone() == (1,), "it was founded more than once"
    account = Account()
    clerk = Cashier(account, till, yard.rng, [])
    sale = clerk.sell()
    assert account.ask(till, sale)
    status = till.get("/api/status")
    assert (status["waiting"] > 0, till.get(f"/api/sales/{sale.id}")["number"]) == (True, 1)
    code = (till.folder / "recovery-code").read_text().split()[0]
    assert till.done("recover", code=code)["role"] == "manager", "the code that lies there is the shop's"
    yard.work = "attach"
    for attempt in range(TRIES_MAX):
        link = yard.office.done("invite", expires_s=900)["link"]
        asked = _asking(lambda link=link: till.command("attach", link=link))  # type: ignore[misc]
        if attempt < 2:
            yard.after(0.12)
            if yard.rng.random() < 0.5:
                till.program.kill()
                till.start()
                yard.kills[yard.work] += 1
            else:
                yard.kill(yard.office)
                yard.revive(yard.office)
        answer = asked()
        if answer is not None and answer[0] == 200:
            break
    shops = [shop["shop"] for shop in yard.office.done("shop_list")["shops"]]
    assert shops.count(status["shop_id"]) == 1

    def lit() -> bool:
        return bool(till.get(f"/api/sales/{sale.id}")["durable"]["head_office"])

    yard.until(f"{till.name} knows that the head office holds its sale", lit)
    yard.office.disk.look()
    assert not yard.office.disk.lacks([sale.id]) and till.done("verify")["problems"] == []
    assert till.program.stop() == 0
    assert "Traceback" not in till.program.said(), till.program.said()[-3000:]


def _asking(ask: Callable[[], Answer | Any]) -> Callable[[], Any]:
    """Ask in a thread of its own; the answer when that is over, None where there was none."""
    found: list[Any] = []

    def work() -> None:
        with suppress(Gone):
            found.append(ask())

    thread = threading.Thread(target=work)
    thread.start()

    def wait() -> Any:
        thread.join()
        return found[0] if found else None

    return wait


WORKS: dict[str, Work] = {
    "ring": ring,
    "counter": counter,
    "merge": merge,
    "catch-up": catch_up,
    "seal": seal,
    "migrate": migrate,
    "squash": squash,
    "backup": backup,
    "shift close": close_shift,
    "day close": close_day,
    "key rotation": rotate,
    "catalogue": catalogue,
    "join": join,
    "first start": first_start,
}
