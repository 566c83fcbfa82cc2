"""From requests to sales: every fault named, and what is settled always makes a sound entry."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posline.core.edits import Edit, current
from posline.core.numbers import check_letters, next_label, parse_receipt, receipt
from posline.core.pricing import Product, price_sale, request_key
from posline.core.sales import sale_figures
from posline.errors import BadRequest
from tests.kit import Writer, key_of

ID = "0190f0c2-7b8e-4c3a-9f5e-000000000001"
SHELF = {"tea": Product("tea", "Tea", 250), "soap": Product("soap", "Soap", 118, "18")}


def ask(lines: object = None, **more: Any) -> dict[str, Any]:
    return {"id": ID, "lines": lines if lines is not None else [{"sku": "tea", "quantity": 1}]} | more


def faults(request: object) -> set[str]:
    with pytest.raises(BadRequest) as caught:
        price_sale(request, SHELF.get)
    return {error.field for error in caught.value.errors}


def test_the_catalogues_price_rate_and_name() -> None:
    sale = price_sale(
        ask([{"sku": "soap", "quantity": 2, "name": "Soap"}, {"sku": "tea", "quantity": "0.5", "price": 9}]), SHELF.get
    )
    assert sale.lines == [
        {"sku": "soap", "quantity": "2", "price": 118, "rate": "18", "tax": 36},
        {"sku": "tea", "quantity": "0.5", "price": 9},
    ]
    assert (sale.total, sale.tenders, sale.change) == (241, None, 0)


def test_an_open_item_keeps_its_name_and_has_no_tax() -> None:
    sale = price_sale(ask([{"sku": "x", "quantity": 1, "price": 5, "name": "Odd thing"}]), SHELF.get)
    assert sale.lines == [{"sku": "x", "quantity": "1", "price": 5, "name": "Odd thing"}]


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        ([], "body"),
        (None, "body"),
        ("x", "body"),
        ({}, "id"),
        (ask(id="x"), "id"),
        (ask(id=7), "id"),
        ({"id": ID}, "lines"),
        (ask([]), "lines"),
        (ask({}), "lines"),
        (ask("x"), "lines"),
        (ask(["x"]), "lines.0"),
        (ask([{"sku": "tea", "quantity": 1}] * 501), "lines"),
        (ask([{"quantity": 1}]), "lines.0.sku"),
        (ask([{"sku": "x" * 201, "quantity": 1, "price": 1}]), "lines.0.sku"),
        (ask([{"sku": "tea"}]), "lines.0.quantity"),
        (ask([{"sku": "tea", "quantity": 0}]), "lines.0.quantity"),
        (ask([{"sku": "tea", "quantity": -1}]), "lines.0.quantity"),
        (ask([{"sku": "tea", "quantity": True}]), "lines.0.quantity"),
        (ask([{"sku": "tea", "quantity": Decimal("NaN")}]), "lines.0.quantity"),
        (ask([{"sku": "tea", "quantity": Decimal("1E+30")}]), "lines.0.quantity"),
        (ask([{"sku": "tea", "quantity": "1.0001"}]), "lines.0.quantity"),
        (ask([{"sku": "tea", "quantity": 1000000}]), "lines.0.quantity"),
        (ask([{"sku": "tea", "quantity": 1, "price": Decimal("1.5")}]), "lines.0.price"),
        (ask([{"sku": "tea", "quantity": 1, "price": True}]), "lines.0.price"),
        (ask([{"sku": "tea", "quantity": 1, "price": -1}]), "lines.0.price"),
        (ask([{"sku": "tea", "quantity": 1, "price": 10**13}]), "lines.0.price"),
        (ask([{"sku": "unknown", "quantity": 1}]), "lines.0.price"),
        (ask([{"sku": "tea", "quantity": 1, "discount": 251}]), "lines.0.discount"),
        (ask([{"sku": "tea", "quantity": 1, "discuont": 5}]), "lines.0.discuont"),
        (ask(by="x" * 201), "by"),
        (ask(by=5), "by"),
        (ask(total=250), "total"),
        (ask(tenders=[]), "tenders"),
        (ask(tenders=[{"kind": "cash", "amount": 249}]), "tenders"),
        (ask(tenders=[{"kind": "card", "amount": 251}]), "tenders"),
        (ask(tenders=["cash"]), "tenders.0"),
        (ask(tenders=[{"kind": "cash", "amount": Decimal("250.5")}]), "tenders.0.amount"),
        (ask(tenders=[{"kind": "CASH", "amount": 250}]), "tenders.0.kind"),
    ],
)
def test_what_is_wrong_is_named(request_: object, field: str) -> None:
    assert field in faults(request_)


def test_all_faults_are_named_at_once() -> None:
    request = ask([{"sku": "", "quantity": 0}, {"sku": "tea", "quantity": 1, "price": "5"}], by=None, extra=1)
    assert faults(request) == {"lines.0.sku", "lines.0.quantity", "lines.1.price", "by", "extra"}


def test_change_is_given_from_cash_alone() -> None:
    sale = price_sale(ask(tenders=[{"kind": "card", "amount": 200}, {"kind": "cash", "amount": 100}]), SHELF.get)
    assert sale.change == 50
    assert sale_figures(sale.body()).net_tenders == {"card": 200, "cash": 50}


def test_what_is_left_unpaid_goes_on_account_where_one_is_named() -> None:
    tenders = [{"kind": "cash", "amount": 100}, {"kind": "account", "amount": 0, "reference": "Ali"}]
    figures = sale_figures(price_sale(ask(tenders=tenders), SHELF.get).body())
    assert figures.net_tenders == {"cash": 100, "account": 150}


LINE = st.fixed_dictionaries(
    {
        "sku": st.sampled_from(["tea", "soap", "open"]),
        "quantity": st.integers(1, 999_999_999).map(lambda n: Decimal(n) / 1000),
        "price": st.integers(0, 10**5),
    },
    optional={"name": st.text(st.characters(codec="utf-8"), max_size=20), "discount": st.integers(0, 50)},
)


@given(st.lists(LINE, min_size=1, max_size=6), st.integers(0, 10**6))
def test_whatever_is_settled_is_a_sound_entry_and_adds_up(lines: list[dict[str, Any]], over: int) -> None:
    try:
        exact = price_sale(ask(lines), SHELF.get)
    except BadRequest as error:
        assert all(e.field.endswith("discount") for e in error.errors)
        return
    paid = price_sale(ask(lines, tenders=[{"kind": "cash", "amount": exact.total + over}]), SHELF.get)
    writer = Writer("alif")
    writer.begin()
    for sale in (exact, paid):
        entry = writer.write("sale", {"number": 1, "label": "A"} | sale.body())
        figures = sale_figures(entry.body)
        assert entry.amount == figures.total == sum(figures.lines) == figures.subtotal - figures.discount
        assert sum(figures.net_tenders.values()) == figures.payable == figures.total
    assert paid.change == over


def test_a_retry_is_known_by_its_normal_form() -> None:
    same = [ask([{"sku": "a", "quantity": q, "price": 5}]) for q in (1, "1", "1.0", "1.000", Decimal("1.0"))]
    same += [{"lines": [{"price": 5, "quantity": 1, "sku": "a"}], "id": ID.upper()}]
    assert len({request_key(request) for request in same}) == 1
    percent = [ask(discount_percent=p) for p in (10, "10", "10.0", Decimal("10.00"))]
    assert len({request_key(request) for request in percent}) == 1
    others = [
        percent[0], ask(discount_percent="10.0001"),
        ask([{"sku": "a", "quantity": 1, "price": 5}]), ask([{"sku": "a", "quantity": 2, "price": 5}]),
        ask([{"sku": "a", "quantity": 1, "price": 6}]), ask([{"sku": "a", "quantity": 1}]),
        ask([{"sku": "a", "quantity": 1, "price": 5}], by="x"), ask([{"sku": "b", "quantity": 1, "price": 5}]),
        ask([{"sku": "a", "quantity": 1, "price": 5}], tenders=[{"kind": "cash", "amount": 5}]),
    ]  # fmt: skip
    assert len({request_key(request) for request in others}) == len(others)


def test_receipts_are_read_as_people_type_them() -> None:
    author = key_of("alif").id
    printed = receipt("A", 1234, author, 5)
    assert printed.startswith("A-1234-") and parse_receipt(f" {printed.lower()} ") == (
        "A",
        1234,
        check_letters(author, 5),
    )
    assert check_letters(author, 5) != check_letters(author, 6)
    for wrong in ("", "A", "A-1", "A-0-AAAA", "A-1-AAA", "A-1-AAAI", ID):
        assert parse_receipt(wrong) is None


def test_labels_are_the_next_letter_or_get_a_digit() -> None:
    assert next_label([]) == "A" and next_label(["A", "B"]) == "C"
    assert next_label(["A"], "A") == "A2" and next_label(["SHOP12"], "SHOP12") != "SHOP12"
    assert next_label([chr(c) for c in range(65, 91)]) == "T2"


@given(st.permutations(range(6)))
def test_which_edit_is_current_does_not_depend_on_order(order: list[int]) -> None:
    edits = [
        Edit("k", "a", 1, 1, "01", {}),
        Edit("k", "b", 1, 1, "02", {"a": "01"}),
        Edit("k", "a", 1, 2, "03", {"b": "02", "a": "01"}),
        Edit("k", "c", 1, 1, "ff", {"a": "01"}),
        Edit("k", "d", 2, 1, "04", {}),
        Edit("k", "d", 2, 2, "05", {"d": "04", "c": "ff"}),
    ]
    found = current([edits[i] for i in order])
    assert found.current.hash == "05"
    assert {edit.hash for edit in found.conflicts} == {"03"}
