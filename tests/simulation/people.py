"""What the people of a shop do: sell, take back, count, close, change prices; and what its owner does: let tills in and
out. Each as the till's own program does it, down to what it looks up before."""

from __future__ import annotations

import hashlib
import random
import zlib
from typing import Any

from posline.core.kinds import content_of
from posline.core.members import Role
from posline.core.refunding import refund_body, void_body
from posline.core.status import Status
from posline.errors import BadRequest
from posline.replica import Replica
from posline.storage.removal import points_of
from posline.storage.reports import Recorded, Reports
from posline.storage.shifts import TillShifts
from posline.storage.store import Store
from posline.trust.keys import Key
from tests.kit import text_key
from tests.simulation.actions import action, fresh_id, pick, seller
from tests.simulation.disk import Files
from tests.simulation.versions import UNKNOWN
from tests.simulation.world import MACHINES_MAX, Machine, World, hashes_on, key_of, phone_of, take_shop

__all__ = ["close_day", "close_shift", "confirmable"]


def _books(world: World, machine: Machine) -> Reports:
    return Reports(machine.disk, world.shop, here=machine.key.id)


def _shifts(world: World, machine: Machine, phone: Key | None = None) -> TillShifts:
    return TillShifts(machine.disk, world.shop, (phone or machine.key).id)


def _write(
    world: World, machine: Machine, kind: str, fields: dict[str, Any], phone: Key | None = None, **how: Any
) -> None:
    if not (machine.old and kind in UNKNOWN):
        writer = machine.running if phone is None else machine.running.writer(phone)
        with world.version(machine):
            writer.write(kind, fields, **how)
        world.did(kind)


# -- selling -------------------------------------------------------------------------------------------------------


def goods(chance: random.Random) -> dict[str, Any]:
    """What a sale says, as a till prices it."""
    lines: list[dict[str, Any]] = []
    total = 0
    for _ in range(chance.choice((1, 1, 1, 2, 5))):
        price, thousandths = chance.randint(1, 100_000), chance.choice((1000, 1000, 1000, 2000, 750, 333))
        cost = (price * thousandths * 2 + 1000) // 2000
        text = str(thousandths // 1000) if thousandths % 1000 == 0 else f"0.{thousandths}"
        line: dict[str, Any] = {"sku": f"sku {chance.randrange(5)}", "quantity": text, "price": price}
        if chance.random() < 0.1:
            line["discount"] = chance.randint(0, cost)
            cost -= line["discount"]
        if chance.random() < 0.1:
            line |= {"class": "S", "rate": "18", "tax": (cost * 18 * 2 + 118) // 236}
        lines.append(line)
        total += cost
    fields: dict[str, Any] = {"lines": lines, "total": total}
    how = chance.random()
    if how < 0.1:
        fields["tenders"] = [{"kind": "card", "amount": total}]
    elif how < 0.2:
        change = chance.randint(0, 500)
        fields |= {"tenders": [{"kind": "cash", "amount": total + change}], "change": change}
    if chance.random() < 0.03:
        fields["note"] = "x" * chance.randint(1, 190)
    return fields


def ring(world: World, machine: Machine, sale: str, fields: dict[str, Any]) -> None:
    """Ask a till for a sale, as its page does: what is recorded is answered, what is in flight is waited for."""
    world.book.asks(sale, fields)
    held = confirmable(world, machine, sale)
    if held:
        wanted = hashlib.sha256(content_of("sale", fields)).digest()
        for entry in (recorded.entry for recorded in held):
            if entry.kind == "sale" and entry.content() == wanted:
                world.book.confirm(machine, entry.hash, entry.kind, entry.id, entry.amount, entry.till)
                world.book.open.pop(sale, None)
                world.did("a sale answered again")
                return
        return
    if any(asked == sale for _, asked in machine.asked.values()):
        return
    with world.version(machine):
        staged = machine.running.write("sale", fields, id=sale, request=b"{}")
    machine.asked[id(staged)] = staged, sale
    world.did("sale")


def confirmable(world: World, machine: Machine, id: str) -> list[Recorded]:
    """What stands under an id at a till; see posline.till.recording."""
    books = _books(world, machine)
    return [
        held
        for held in books.by_id(id)
        if held.status in (Status.COUNTED, Status.DUPLICATE)
        or (held.entry.till == machine.key.id and books.request_form(id) is not None)
    ]


@action(30)
def sell(world: World, chance: random.Random) -> None:
    """A cashier rings a sale, or several."""
    machine = seller(world, chance)
    for _ in range(chance.choice((1, 1, 1, 2, 8))):
        if machine is not None:
            ring(world, machine, fresh_id(chance), goods(chance))


@action(6)
def sell_by_phone(world: World, chance: random.Random) -> None:
    """A till that hosts a phone appends what that sold, under the phone's own name."""
    machine = seller(world, chance)
    if machine is None or machine.old:
        return
    phone, own = phone_of(machine), machine.disk.members(world.shop).get(machine.key.id)
    known = phone.id in machine.disk.authority(world.shop).everyone
    if not known and own is not None and own.role is Role.MANAGER:
        label = f"P{zlib.crc32(machine.name.encode()) % 1000}"
        fields = {"key": text_key(phone.public), "label": label, "role": "till", "hosted_by": own.author}
        _write(world, machine, "member", fields, document="shop")
        world.commit_all(machine)  # pairing waits for it
    if phone.id in machine.disk.members(world.shop):
        for _ in range(chance.choice((1, 1, 3))):
            sale, fields = fresh_id(chance), goods(chance)
            world.book.asks(sale, fields)
            staged = machine.running.writer(phone).write("sale", fields, id=sale, request=b"{}")
            machine.asked[id(staged)] = staged, sale
            world.did("a phone's sale")


@action(4)
def ask_again(world: World, chance: random.Random) -> None:
    """What was never confirmed is asked for again, at this till or another."""
    machine = seller(world, chance)
    if machine is not None and world.book.open:
        id = chance.choice(sorted(world.book.open))
        ring(world, machine, id, world.book.open[id])


@action(3)
def ring_twice(world: World, chance: random.Random) -> None:
    """A sale that was rung somewhere is rung at another till too; now and then as something else."""
    machine = seller(world, chance)
    if machine is None or not world.book.tried:
        return
    id = chance.choice(sorted(world.book.tried))
    fields = goods(chance) if chance.random() < 0.2 else chance.choice(list(world.book.tried[id].values()))
    if not _books(world, machine).by_id(id) and not any(asked == id for _, asked in machine.asked.values()):
        ring(world, machine, id, fields)
        world.did("a sale rung twice")


@action(4)
def take_back(world: World, chance: random.Random) -> None:
    """Goods come back."""
    if (machine := seller(world, chance)) is not None:
        held = [r for r in _books(world, machine).sales() if r.status is Status.COUNTED]
        if held:
            sold = chance.choice(held).entry
            lines = [{"line": 1}] if chance.random() < 0.5 else None
            asked = {"id": fresh_id(chance), "reason": "torn"} | ({"lines": lines} if lines else {})
            try:
                _write(world, machine, "refund", refund_body(sold.body, sold.hash, {}, asked))
            except BadRequest:
                return


@action(2)
def void(world: World, chance: random.Random) -> None:
    """A sale was a mistake."""
    if (machine := seller(world, chance)) is not None:
        held = [r for r in _books(world, machine).sales() if r.status is Status.COUNTED]
        if held:
            sold = chance.choice(held).entry
            _write(world, machine, "void", void_body(sold.body, sold.hash, "mistyped"))


@action(2)
def move_cash(world: World, chance: random.Random) -> None:
    """Money goes into the drawer or out of it."""
    if (machine := seller(world, chance)) is not None:
        way = chance.choice(("in", "out"))
        _write(world, machine, "cash", {"direction": way, "amount": chance.randint(1, 500), "reason": "x"})


@action(1.5)
def pay(world: World, chance: random.Random) -> None:
    """A customer pays what was bought on account."""
    if (machine := seller(world, chance)) is not None:
        paid = {"customer": "c", "amount": 7, "tenders": [{"kind": "card", "amount": 7}]}
        _write(world, machine, "payment", paid)


@action(1)
def count_goods(world: World, chance: random.Random) -> None:
    """Goods come in or are counted."""
    if (machine := seller(world, chance)) is not None:
        quantity = str(chance.randint(-20, 100))
        _write(world, machine, "stock", {"moves": [{"sku": "sku 1", "quantity": quantity, "reason": "delivery"}]})


@action(1)
def park(world: World, chance: random.Random) -> None:
    """A cart is parked, or taken up again."""
    if (machine := seller(world, chance)) is not None:
        rows = machine.disk.read.execute("SELECT hold FROM cart ORDER BY hold LIMIT 5").fetchall()
        if rows and chance.random() < 0.5:
            _write(world, machine, "unhold", {"hold": chance.choice(rows)[0], "why": "recalled"})
        else:
            _write(world, machine, "hold", {"name": "x", "cart": {"lines": []}, "sale": fresh_id(chance)})


@action(1.5)
def open_shift(world: World, chance: random.Random) -> None:
    """A drawer is opened."""
    machine = seller(world, chance)
    if machine is not None and _shifts(world, machine).open(machine.running.staged) is None:
        _write(world, machine, "shift opened", {"float": 100})


@action(3)
def shut(world: World, chance: random.Random) -> None:
    """A drawer is counted and closed, and the till's earlier days with it."""
    if (machine := seller(world, chance)) is not None:
        close_shift(world, machine)


def close_shift(world: World, machine: Machine, phone: Key | None = None) -> None:
    """As posline.till.shifts does it, for the till or for the phone that it hosts."""
    staged, shifts = list(machine.running.staged), _shifts(world, machine, phone)
    fields = shifts.closing(staged, {"cash": 0})
    if fields is not None:
        _write(world, machine, "shift closed", fields, phone)
        clock = machine.running.clock
        assert clock is not None
        for day in shifts.unclosed(machine.running.day(clock.now().at_ms)):
            _write(world, machine, "day closed", {"of_day": day, "vector": shifts.vector(day, staged)}, phone)


@action(1)
def end_day(world: World, chance: random.Random) -> None:
    """A day is closed by hand."""
    if (machine := seller(world, chance)) is not None:
        days = _books(world, machine).days()
        if days:
            close_day(world, machine, chance.choice(days))


def close_day(world: World, machine: Machine, day: str, phone: Key | None = None) -> None:
    """A till closes a day, for itself or for the phone that it hosts."""
    vector = _shifts(world, machine, phone).vector(day, machine.running.staged)
    _write(world, machine, "day closed", {"of_day": day, "vector": vector}, phone)


@action(2)
def edit(world: World, chance: random.Random) -> None:
    """A till changes a setting, a price or a customer: its chain goes on in another document."""
    if (machine := seller(world, chance)) is not None:
        value, what = chance.randint(1, 1000), chance.random()
        if what < 0.4:
            _write(world, machine, "setting", {"name": f"name {value % 3}", "value": value}, document="shop")
        elif what < 0.8:
            product = {"sku": f"sku {value % 3}", "name": "tea", "price": value}
            _write(world, machine, "products", {"products": [product]}, document="catalog/1")
        else:
            customer = {"customer": "00000000-0000-4000-8000-00000000000" + str(value % 3), "name": f"Amina {value}"}
            _write(world, machine, "customer", customer)


@action(0.7)
def redate(world: World, chance: random.Random) -> None:
    """A manager moves entries to another day."""
    if (machine := seller(world, chance)) is not None:
        rows = machine.disk.read.execute(
            "SELECT author, run, seq FROM entry WHERE day IS NOT NULL AND author <> '' AND number > 0"
            " ORDER BY author, run, seq, hash"
        ).fetchall()
        if rows:
            author, run, seq = chance.choice(rows)
            first, to = max(1, seq - chance.randint(0, 3)), chance.choice(("2026-11-22", "2026-11-23", "2026-11-24"))
            _write(world, machine, "redate", {"author": author, "of": run, "first": first, "last": seq, "to": to})


@action(0.5)
def say_something_new(world: World, chance: random.Random) -> None:
    """A till of a later version writes a kind of entry that nobody here knows."""
    if (machine := seller(world, chance)) is not None:
        _write(world, machine, "loyalty", {"points": chance.randint(1, 9), "deep": {"er": [1, "2"]}})


# -- who belongs to the shop ---------------------------------------------------------------------------------------


def _in_charge(world: World, chance: random.Random) -> Machine | None:
    """A till that is a manager by what it holds."""

    def manages(machine: Machine) -> bool:
        member = machine.disk.authority(world.shop).members.get(machine.key.id)
        return member is not None and member.role == "manager"

    return pick(chance, (m for m in world.machines if m.sells and not m.hostile and manages(m)))


def _act(world: World, machine: Machine, kind: str, fields: dict[str, Any]) -> None:
    world.reshaped = True
    _write(world, machine, kind, fields, document="shop")


@action(3, "members")
def join(world: World, chance: random.Random) -> None:
    """A till, or another head office, is let in. It gets the shop's document and links."""
    machine = _in_charge(world, chance)
    if machine is None or len(world.machines) >= MACHINES_MAX:
        return
    name = world.new_name("guest")
    writes = chance.random() < 0.8
    key = key_of(f"{name} {world.seed}")
    role = chance.choice(("manager", "manager", "till")) if writes else "head office"
    fields = {"key": text_key(key.public), "label": f"G{name[-1]}", "role": role}
    _act(world, machine, "member", fields)
    world.commit_all(machine)
    newcomer = world.add(name, key, Files(), writes=writes)
    store = Store.open(newcomer.drive.path)
    take_shop(machine.disk, world.shop, store)
    store.close()
    world.boot(newcomer)
    world.connect(newcomer, machine)


@action(1.6, "members")
def remove(world: World, chance: random.Random) -> None:
    """A manager removes a till: what is held here of it counts on."""
    machine = _in_charge(world, chance)
    if machine is None:
        return
    authority = machine.disk.authority(world.shop)
    others = [who for who in sorted(authority.members) if who != machine.key.id or chance.random() < 0.1]
    if others:
        who = chance.choice(others)
        points = points_of(machine.disk, world.shop, who, vouched_only=chance.random() < 0.3)
        _act(world, machine, "remove", {"member": who, "points": [list(point) for point in points[:300]]})


@action(1, "members")
def admit_again(world: World, chance: random.Random) -> None:
    """A manager lets one in again who was removed."""
    machine = _in_charge(world, chance)
    if machine is None:
        return
    authority = machine.disk.authority(world.shop)
    removed = sorted(authority.removals)
    if removed:
        who = chance.choice(removed)
        first = authority.keys[who][0][1]
        role = chance.choice(("manager", "till"))
        fields = {"key": text_key(first), "label": f"B{chance.randrange(9)}", "role": role}
        _act(world, machine, "member", fields)
        world.did("admitted again")


@action(2, "members")
def accept(world: World, chance: random.Random) -> None:
    """A manager lets held or disputed entries count."""
    if (machine := _in_charge(world, chance)) is not None:
        rows = machine.disk.read.execute("SELECT hash FROM entry WHERE status IN (2, 3) ORDER BY hash").fetchall()
        if rows:
            some = chance.sample(rows, min(len(rows), chance.choice((1, 3))))
            _act(world, machine, "accept", {"entries": [hash.hex() for (hash,) in some]})


@action(1, "members")
def change_role(world: World, chance: random.Random) -> None:
    """A manager makes a till a manager, or a manager a till."""
    if (machine := _in_charge(world, chance)) is not None:
        members = machine.disk.authority(world.shop).members
        others = sorted(who for who, member in members.items() if member.role in ("manager", "till"))
        if others:
            fields = {"member": chance.choice(others), "role": chance.choice(("manager", "till"))}
            _act(world, machine, "role", fields)


@action(1.2, "members")
def change_key(world: World, chance: random.Random) -> None:
    """A till changes its key."""
    machine = seller(world, chance)
    if machine is None or machine.waiting_key is not None:
        return
    if machine.key.id in machine.disk.authority(world.shop).members:
        fresh = Key(chance.randbytes(32), machine.key.id)
        machine.waiting_key = fresh
        with world.version(machine):
            machine.running.rotate(fresh)
        world.reshaped = True
        world.did("key")


@action(0.4, "members")
def recover(world: World, chance: random.Random) -> None:
    """A till is made manager with the shop's recovery code."""
    if (machine := seller(world, chance)) is not None:
        store, recovery = machine.disk, key_of("recovery")
        authority = store.authority(world.shop)
        first = authority.keys[machine.key.id][0][1] if machine.key.id in authority.keys else machine.key.public
        clock = machine.running.clock
        with world.version(machine):
            writer = Replica(store, world.shop, author=recovery, clock=clock, random=chance, documents=True)
            fields = {"key": text_key(first), "label": f"M{chance.randrange(9)}", "role": "manager"}
            writer.write("member", fields, document="shop")
            changes = [act for act in store.acts(world.shop) if act.kind == "key" and act.till == machine.key.id]
            unbelieved = [act.hash.hex() for act in changes if act.hash in authority.late]
            if unbelieved:
                writer.write("accept", {"entries": unbelieved}, document="shop")
                world.did("recovered with a new key")
            for made in writer.staged:
                machine.running.integrate(made.document, made.update, origin=recovery.id)
        world.reshaped = True
        world.did("recovered")


@action(0.8, "members")
def restore(world: World, chance: random.Random) -> None:
    """A till is lost for good, and a new one that succeeds it is made from a copy of its disk."""
    machine = _in_charge(world, chance)
    copies = [copy for copy in world.copies if copy[0] in world.machines and copy[0].writes and copy[0] is not machine]
    if machine is None or not copies:
        return
    lost, files, *_ = chance.choice(copies)
    name = world.new_name("heir")
    key = key_of(f"{name} {world.seed}")
    fields = {"key": text_key(key.public), "label": f"H{lost.name[-1].upper().replace(chr(39), 'X')}",
              "role": "manager", "succeeds": lost.key.id}  # fmt: skip
    _act(world, machine, "member", fields)
    world.commit_all(machine)
    held = world.lose(lost)
    world.machines.remove(lost)
    heir = world.add(name, key, files, writes=True)
    heir.old = lost.old
    world.boot(heir)
    there = hashes_on(heir.disk)
    if lost.key.id in world.copied:  # its other life went on from before what it had not signed, which nobody can now
        for author in (lost.key, phone_of(lost)):
            there -= hashes_on(heir.disk, author.id)
    world.book.lost(held - there)
    world.connect(heir, machine)
    world.did("restored")


