"""What entries of a counter do to the tables beside the ledger: the same whatever the order, and made again at will."""

from __future__ import annotations

import random
import uuid
from pathlib import Path
from typing import Any

import pytest

from posline.core.entry import Entry
from posline.core.money import format_quantity
from posline.core.refunding import refund_body, void_body
from posline.storage.projections import TABLES
from posline.storage.renewal import differing_tables
from posline.storage.returned import excess
from posline.storage.store import Store
from tests.kit import DAY, Writer, all_entries, shop_of, take

HOLD = "0190f0c2-7b8e-4c3a-9f5e-0000000000aa"
SALE = "0190f0c2-7b8e-4c3a-9f5e-0000000000bb"
BIBI = "0190f0c2-7b8e-4c3a-9f5e-0000000000cc"


def sold(writer: Writer, lines: list[dict[str, Any]], **more: Any) -> Entry:
    writer.number += 1
    over = {"id": more.pop("id")} if "id" in more else {}
    total = sum(line["price"] * int(line["quantity"]) - line.get("discount", 0) for line in lines)
    fields = {"number": writer.number, "label": writer.name.upper(), "lines": lines, "total": total}
    return writer.write("sale", fields | more, **over)


def refunded(writer: Writer, sale: Entry, line: int, quantity: int) -> Entry:
    writer.number += 1
    asked = {"id": str(uuid.uuid4()), "reason": "sour", "lines": [{"line": line, "quantity": quantity}]}
    body = refund_body(sale.body, sale.hash, {}, asked)
    return writer.write("refund", {"number": writer.number, "label": writer.name.upper()} | body)


def busy_day() -> tuple[str, list[Entry], Entry, Entry]:
    """A day of two tills with every kind of entry; (shop, entries, an over-refunded sale, a soundly refunded one)."""
    a, b = Writer("alif"), Writer("be")
    shop = shop_of(a, b)
    lines = [{"sku": "TEA", "quantity": "2", "price": 250}, {"sku": "MILK", "quantity": "1", "price": 100}]
    for writer in (a, b):
        writer.write("shift opened", {"float": 1000})
        said = str(4 if writer is a else 5)  # in stock when the shop began, said by both
        opening = {"sku": "SALT", "quantity": said, "reason": "opening", "opening": True}
        received = [{"sku": sku, "quantity": n, "reason": "receipt"} for sku, n in (("TEA", "10"), ("SALT", "1"))]
        writer.write("stock", {"moves": [*received, opening]})
        writer.write("customer", {"customer": BIBI, "name": f"Bibi {writer.name}", "seen": {}})
    over, fine = sold(a, lines), sold(a, lines)
    refunded(a, over, 1, 2)
    refunded(b, over, 1, 1)
    refunded(a, fine, 1, 1)
    refunded(b, fine, 2, 1)
    lent = sold(b, lines, customer=BIBI, tenders=[{"kind": "account", "amount": 600}])
    b.write("payment", {"customer": BIBI, "amount": 200})
    sold(a, lines, customer=BIBI, tenders=[{"kind": "store_credit", "amount": 600}])
    a.write("void", void_body(sold(a, lines).body, a.entries[-1].hash, "mistyped"))
    b.write("void", void_body(lent.body, lent.hash, "mistyped"))
    b.write("hold", {"name": "Bibi", "cart": {"lines": [1]}, "sale": SALE}, id=HOLD)
    a.write("unhold", {"hold": HOLD, "why": "recalled"})
    for writer in (a, b):  # the same cart, sold twice: one is a duplicate of the other
        sold(writer, lines, id=SALE, hold=HOLD)
    a.write("cash", {"direction": "out", "amount": 300, "reason": "tea boy"})
    for writer in (a, b):
        covers = [[writer.run, 1, writer.seq]]
        z = {"shift": None, "float": 1000, "covers": covers, "counted": {"cash": 5}, "expected": {}, "figures": {}}
        writer.write("shift closed", z)
        writer.write("day closed", {"of_day": DAY, "vector": [[writer.id, writer.run, writer.seq]]})
    forged = a.write("stock", {"moves": [{"sku": "TEA", "quantity": "99", "reason": "forged"}]}, seq=4)
    return shop, [*all_entries(a, b), forged], over, fine


def dump(store: Store) -> dict[str, list[Any]]:
    """The projections' rows, without places that depend on the order of arrival."""
    found: dict[str, list[Any]] = {}
    for table in TABLES:
        rows = store.read.execute(f"SELECT * FROM {table}")
        names = [column[0] for column in rows.description]
        kept = [i for i, name in enumerate(names) if name not in ("document",)]
        found[table] = sorted(
            (tuple(row[i] for i in kept) for row in rows if table != "onhand" or any(row[2:])), key=repr
        )
    return found


def test_any_order_and_any_batches_give_equal_tables() -> None:
    shop, entries, over, _fine = busy_day()
    wanted: dict[str, list[Any]] | None = None
    for seed in range(25):
        rng = random.Random(seed)
        order = [*entries, *rng.choices(entries, k=3)]
        rng.shuffle(order)
        size = rng.choice((1, 2, 7, len(order)))
        store = Store.open(":memory:")
        take(store, shop, [order[i : i + size] for i in range(0, len(order), size)])
        assert differing_tables(store.read) == [], f"seed {seed}"
        found = dump(store)
        wanted = wanted or found
        assert found == wanted, f"seed {seed}"
        assert excess(store.read, store.shop_key(shop), 9) == [over.id]
        store.close()
    assert wanted is not None
    # received 20; sold 2 each in over, fine, lent, credit, the voided one and the cart (once); back 2 + 1, 1, 2 and 2
    (tea,) = [row for row in wanted["onhand"] if row[1] == "TEA"]
    assert format_quantity(tea[2]) == str(20 - 2 * 6 + 3 + 1 + 2 + 2)
    (salt,) = [row for row in wanted["onhand"] if row[1] == "SALT"]
    assert salt[2] in (6000, 7000) and salt[3] == 4, "one opening, both receipts"
    books = [(row[2], row[-1]) for row in wanted["statement"]]
    assert sum(amount for book, amount in books if book == "account") == 600 - 200 - 600
    assert [amount for book, amount in books if book == "credit"] == [-600]
    for table in ("cart", "uncart", "shift", "dayclose", "returned"):
        assert wanted[table], table


@pytest.mark.sqlite
def test_a_ledger_of_older_rules_is_made_again_at_its_next_start(tmp_path: Path) -> None:
    shop, entries, *_ = busy_day()
    store = Store.open(str(tmp_path / "shop.db"))
    take(store, shop, [entries])
    wanted = dump(store)
    for table in TABLES:
        store._db.execute(f"DELETE FROM {table}")
    store._db.execute("UPDATE meta SET value = '1' WHERE name = 'rules'")
    store.close()
    store = Store.open(str(tmp_path / "shop.db"))
    assert dump(store) == wanted
    assert differing_tables(store.read) == []
    store.close()


@pytest.mark.parametrize("table", ["returned", "statement", "onhand", "opening", "cart", "shift", "dayclose"])
def test_a_changed_row_is_found(table: str) -> None:
    shop, entries, *_ = busy_day()
    store = Store.open(":memory:")
    take(store, shop, [entries])
    store._db.execute(f"DELETE FROM {table}")
    assert differing_tables(store.read) == [table]
    store.close()


def test_more_money_back_than_the_line_cost_is_excess_too() -> None:
    a = Writer("alif")
    shop = shop_of(a)
    lines = [{"sku": "TEA", "quantity": "3", "price": 100, "discount": 1}]
    honest, greedy = sold(a, lines), sold(a, lines)
    for part in range(3):  # as by three tills apart: a third of 299 each, rounded to 100
        body = refund_body(honest.body, honest.hash, {}, {"id": str(uuid.uuid4()), "reason": "x", "lines": [
            {"line": 1, "quantity": 1}]})  # fmt: skip
        a.write("refund", {"number": a.number + part + 1, "label": "ALIF"} | body)
    a.number += 3
    body = refund_body(greedy.body, greedy.hash, {}, {"id": str(uuid.uuid4()), "reason": "x"})
    body["lines"][0]["total"] = body["total"] = 300
    a.write("refund", {"number": a.number + 1, "label": "ALIF"} | body)
    store = Store.open(":memory:")
    take(store, shop, [a.entries])
    assert excess(store.read, store.shop_key(shop), 9) == [greedy.id]
    store.close()


def test_a_copy_that_comes_after_its_refund_is_looked_at() -> None:
    """The refund names the copy of a sale that counts at another till; the copy itself never counts."""
    a, b = Writer("alif"), Writer("be")
    shop = shop_of(a, b)
    lines = [{"sku": "TEA", "quantity": "1", "price": 100}]
    copies = [sold(writer, lines, id=SALE) for writer in (a, b)]
    counted = min((a, b), key=lambda writer: writer.id)
    for copy in copies:  # both by the author of the one that counts, so that no chain holds them back
        refunded(counted, copy, 1, 1)
    for seed in range(20):
        order = all_entries(a, b)
        random.Random(seed).shuffle(order)
        store = Store.open(":memory:")
        take(store, shop, [[entry] for entry in order])
        assert excess(store.read, store.shop_key(shop), 9) == [SALE], f"seed {seed}"
        assert differing_tables(store.read) == []
        store.close()
