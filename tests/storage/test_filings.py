"""Where each sale stands with the fiscal service follows from the entries held, in whatever order they came."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import pytest

from posline.core.entry import Entry
from posline.core.fiscal import State, usin_of
from posline.storage.filed import FiledReports
from posline.storage.renewal import differing_tables
from posline.storage.store import Store
from tests.kit import Writer, all_entries, shop_of, take

BOTH = "0190f0c2-7b8e-4c3a-9f5e-000000000001"
ORDERS = 20


def named(writer: Writer, filer: Writer, total: int = 100, **over: Any) -> Entry:
    """A sale that names its filer."""
    writer.number += 1
    fields = {
        "number": writer.number, "label": writer.name[:6].upper(), "total": total,
        "lines": [{"sku": "1", "quantity": "1", "price": total}], "filing": {"adapter": "fbr_ims", "filer": filer.id},
    }  # fmt: skip
    return writer.write("sale", fields, **over)


def void(writer: Writer, sale: Entry) -> Entry:
    return writer.write("void", {
        "sale": sale.id, "of": sale.hash.hex(), "reason": "mistake", "total": sale.body["total"],
        "lines": [{"line": 1, "sku": "1", "quantity": "1"}],
    })  # fmt: skip


def step(writer: Writer, of: Entry, state: str, filer: Writer, *after: Entry, **more: Any) -> Entry:
    return writer.write("filing", {
        "sale": of.id, "of": of.hash.hex(), "usin": usin_of(of.id, of.content()), "adapter": "fbr_ims",
        "filer": filer.id, "state": state, "after": [e.hash.hex() for e in after], **more,
    })  # fmt: skip


def everywhere(shop: str, entries: Sequence[Entry]) -> dict[bytes, tuple[State, str]]:
    """{hash: (state, filer)}, the same for every order and batch; fails where two differ."""
    answers: list[dict[bytes, tuple[State, str]]] = []
    for seed in range(ORDERS):
        rng = random.Random(seed)
        order = list(entries)
        rng.shuffle(order)
        size = rng.choice((1, 2, 5, len(order)))
        store = Store.open(":memory:")
        take(store, shop, [order[i : i + size] for i in range(0, len(order), size)])
        filed = FiledReports(store, shop)
        answers.append({f.hash: (f.state, f.filer) for state in State for f in filed.standing_so(state, 99)})
        assert differing_tables(store.read) == []
        store.close()
    assert all(answer == answers[0] for answer in answers)
    return answers[0]


def test_a_sale_of_two_tills_is_one_to_file_and_what_was_filed_of_either_is() -> None:
    a, b = Writer("alif"), Writer("be")
    shop = shop_of(a, b)
    at_a, at_b = named(a, a, id=BOTH), named(b, a, id=BOTH)
    sending = step(a, at_b, "sending", a)  # the copy that may come not to count
    step(a, at_b, "accepted", a, sending, number="N1")
    answer = everywhere(shop, all_entries(a, b))
    assert list(answer.values()) == [(State.ACCEPTED, a.id)]
    assert answer.keys() <= {at_a.hash, at_b.hash}


def test_two_sales_of_one_id_are_two_to_file() -> None:
    a, b = Writer("alif"), Writer("be")
    shop = shop_of(a, b)
    one, other = named(a, a, 100, id=BOTH), named(b, a, 200, id=BOTH)
    step(a, one, "accepted", a, step(a, one, "sending", a), number="N1")
    assert everywhere(shop, all_entries(a, b)) == {
        one.hash: (State.ACCEPTED, a.id), other.hash: (State.QUEUED, a.id),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("done", "sale_state", "void_state"),
    [
        ([], State.NONE, State.NONE),
        (["sending", "rejected"], State.NONE, State.NONE),
        (["sending"], State.SENDING, State.QUEUED),
        (["sending", "unknown"], State.UNKNOWN, State.QUEUED),
        (["sending", "accepted"], State.ACCEPTED, State.QUEUED),
    ],
)
def test_a_void_is_filed_where_its_sale_was_or_may_have_been(
    done: list[str], sale_state: State, void_state: State
) -> None:
    a, b = Writer("alif"), Writer("be")
    shop = shop_of(a, b)
    sale = named(b, a)
    voided = void(b, sale)
    last: tuple[Entry, ...] = ()
    for state in done:
        last = (step(a, sale, state, a, *last, **({"number": "N"} if state == "accepted" else {})),)
    assert everywhere(shop, all_entries(a, b)) == {
        sale.hash: (sale_state, a.id), voided.hash: (void_state, a.id),
    }  # fmt: skip


def test_a_void_of_a_sale_that_names_no_filer_is_filed_by_nobody() -> None:
    a, b = Writer("alif"), Writer("be")
    shop = shop_of(a, b)
    voided = void(a, a.sale(100))
    assert everywhere(shop, all_entries(a, b)) == {voided.hash: (State.NONE, "")}


def test_a_release_moves_it_and_its_void_follows() -> None:
    a, b = Writer("alif"), Writer("be")
    shop = shop_of(a, b)
    sale = named(a, a)
    released = step(b, sale, "released", b)
    sending = step(b, sale, "sending", b, released)
    voided = void(a, sale)
    assert everywhere(shop, all_entries(a, b)) == {
        sale.hash: (State.SENDING, b.id), voided.hash: (State.QUEUED, b.id),
    }  # fmt: skip
    step(b, sale, "accepted", b, sending, number="N")
    step(b, voided, "accepted", b, step(b, voided, "sending", b), number="M")
    assert {state for state, _ in everywhere(shop, all_entries(a, b)).values()} == {State.ACCEPTED}


def test_steps_of_a_stranger_and_forged_ones_do_not_count() -> None:
    a, stranger = Writer("alif"), Writer("stranger")
    shop = shop_of(a)
    stranger.begin()
    sale = named(a, a)
    step(stranger, sale, "accepted", a, number="N1")
    assert everywhere(shop, all_entries(a, stranger)) == {sale.hash: (State.QUEUED, a.id)}


@pytest.mark.sqlite
def test_looking_for_what_waits_does_not_grow_with_what_is_filed() -> None:
    store = Store.open(":memory:")
    plan = store.read.execute(
        "EXPLAIN QUERY PLAN SELECT 1 FROM fileable f WHERE f.shop = 1 AND f.state = 'queued' AND f.filer = 'x'"
        " ORDER BY f.tries, f.at, f.seq LIMIT 5"
    ).fetchall()
    assert "fileable_state (shop=? AND state=? AND filer=?)" in plan[0][3]
    assert len(plan) == 1, "and sorts nothing"
    store.close()
