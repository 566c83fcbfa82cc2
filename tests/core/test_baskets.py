"""Generated baskets: whatever is bought, discounted and paid with, every sum agrees to the minor unit.

The totals are worked out a second time here, with fractions and in another order, and held against what pricing made.
"""

from __future__ import annotations

import copy
from fractions import Fraction
from math import floor
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posline.core.kinds import check_body
from posline.core.money import MAX_MONEY, format_quantity, parse_quantity
from posline.core.pricing import Product, Terms, price_sale
from posline.core.refunding import NOTHING, Taken, refund_body, void_body
from posline.core.sales import add_taxes, refund_figures, sale_figures, tax_groups, void_figures
from posline.core.tax import PAKISTAN, classes_of, read_classes
from posline.errors import BadRequest

ID = "0b9f7e2c-3a55-4c1e-9d0e-6a1f2b3c4d5e"
TILL = "a" * 26
CLASSES = read_classes({
    "standard": {"rates": [{"rate": "17"}, {"from": "2023-02-14", "rate": "18"}]},
    "on_top": {"mode": "exclusive", "rates": [{"rate": "7.5"}]},
    "printed": {"mode": "printed", "rates": [{"rate": "18"}]},
    "exempt": {"rates": []},
    "zero": {"rates": [{"rate": "0"}]},
    "service": {"mode": "exclusive", "rates": [{"rate": "16", "by_tender": {"card": "5", "raast": "5"}}]},
})[0]  # fmt: skip
SHELF = {
    f"{tax or 'none'}{price}": Product(f"{tax or 'none'}{price}", "x", price, tax, None, price + 13)
    for tax in (*CLASSES, "", "5")
    for price in (0, 1, 99, 12_345, 99_999)
}

lines = st.fixed_dictionaries(
    {"sku": st.sampled_from(sorted(SHELF)), "quantity": st.integers(0, 99_999).map(lambda n: f"{n}.5")},
    optional={"discount_percent": st.sampled_from(["0", "3", "33.3333", "100"]), "price": st.integers(0, 10**6)},
)
baskets = st.fixed_dictionaries(
    {"id": st.just(ID), "lines": st.lists(lines, min_size=1, max_size=6)},
    optional={"discount_percent": st.sampled_from(["1", "12.5", "50"]), "customer": st.just("Bibi")},
)
shops = st.builds(
    Terms,
    st.just(CLASSES),
    st.sampled_from(["2022-06-01", "2026-11-26"]),
    st.booleans(),
    st.sampled_from([0, 100, 500]),
)


def half_up(value: Fraction) -> int:
    return floor(value + Fraction(1, 2))


def taxes_again(body: dict[str, Any], by_receipt: bool) -> tuple[int, int]:
    """(total, tax) worked out anew from prices, quantities, discounts and rates alone."""
    exact: dict[tuple[str, str], list[Fraction]] = {}
    total = tax = 0
    for line in body["lines"]:
        cost = half_up(Fraction(line["price"] * parse_quantity(line["quantity"]), 1000)) - line.get("discount", 0)
        total += cost
        if "rate" not in line:
            continue
        rate, mode = Fraction(line["rate"]), line.get("mode", "inclusive")
        if mode == "exclusive":
            part = cost * rate / 100
        elif mode == "printed":
            part = Fraction(line["mrp"] * parse_quantity(line["quantity"]), 1000) * rate / (100 + rate)
        else:
            part = cost * rate / (100 + rate)
        exact.setdefault((mode, line["rate"]), []).append(part)
    for (mode, _), parts in exact.items():
        sum_ = half_up(sum(parts, Fraction(0))) if by_receipt else sum(half_up(part) for part in parts)
        tax += sum_
        total += sum_ if mode == "exclusive" else 0
    return total, tax


@settings(max_examples=200, deadline=None)
@given(baskets, shops, st.data())
def test_every_sum_agrees_and_the_entry_is_valid(basket: dict[str, Any], terms: Terms, data: st.DataObject) -> None:
    exact = price_sale(basket, SHELF.get, terms)
    kinds = data.draw(st.lists(st.sampled_from(["cash", "card", "raast", "account"]), max_size=3, unique=True))
    paid: list[dict[str, Any]] = []
    if kinds:
        most = exact.total // len(kinds)
        paid = [{"kind": kind, "amount": data.draw(st.integers(0, most))} for kind in kinds if kind != "cash"]
        if "cash" in kinds:
            paid.append({"kind": "cash", "amount": 10**13 // 100})
        elif "account" not in kinds:
            paid.append({"kind": "account", "amount": 0})
    try:
        sale = price_sale(basket | ({"tenders": paid} if paid else {}), SHELF.get, terms)
    except BadRequest as error:  # what was drawn for the exact total may be over that of these tenders' own rates
        assert [fault.field for fault in error.errors] == ["tenders"]
        return
    body = sale.body()
    assert check_body("sale", TILL, body | {"number": 1, "label": "A"}) is None
    figures = sale_figures(body)
    total, tax = taxes_again(body, terms.tax_by_receipt)
    assert (figures.total, figures.tax) == (total, tax) == (sale.total, sum(p.get("tax", 0) for p in body["lines"]))
    groups = tax_groups("sale", body)
    assert (sum(g.total for g in groups), sum(g.tax for g in groups)) == (total, tax)
    undone = add_taxes([(1, g) for g in groups] + [(-1, g) for g in groups])
    assert all((g.total, g.tax) == (0, 0) for g in undone)
    assert sum(figures.lines) == total
    assert sum(figures.net_tenders.values()) == figures.payable == total + sale.rounding
    assert abs(sale.rounding) * 2 <= terms.cash_unit
    if sale.rounding:
        in_cash = figures.net_tenders["cash"]
        assert in_cash % terms.cash_unit == 0, "what is paid in coins is whole coins"


@settings(max_examples=60, deadline=None)
@given(baskets, shops)
def test_an_altered_amount_is_found_out(basket: dict[str, Any], terms: Terms) -> None:
    body = price_sale(basket, SHELF.get, terms).body() | {"number": 1, "label": "A"}
    paths: list[tuple[Any, ...]] = [("total",)]
    for index, line in enumerate(body["lines"]):
        paths += [("lines", index, name) for name in ("tax", "discount") if name in line]
    for path in paths:
        for change in (1, -1):
            altered = copy.deepcopy(body)
            place = altered
            for name in path[:-1]:
                place = place[name]
            place[path[-1]] += change
            assert check_body("sale", TILL, altered) is not None, path


ALTERED: dict[str, Any] = {"price": 10**6, "quantity": "77777", "rate": "55", "mode": "exclusive", "mrp": 10**7}


@settings(max_examples=60, deadline=None)
@given(baskets, shops, st.data())
def test_an_altered_line_is_found_out_or_changes_no_sum(
    basket: dict[str, Any], terms: Terms, data: st.DataObject
) -> None:
    body = price_sale(basket, SHELF.get, terms).body() | {"number": 1, "label": "A"}
    said = taxes_again(body, terms.tax_by_receipt)
    line = data.draw(st.integers(0, len(body["lines"]) - 1))
    for name, value in ALTERED.items():
        altered = copy.deepcopy(body)
        altered["lines"][line][name] = value
        if check_body("sale", TILL, altered) is None:
            assert taxes_again(altered, terms.tax_by_receipt) == said, name


@settings(max_examples=40, deadline=None)
@given(baskets, shops)
def test_an_altered_payment_is_found_out(basket: dict[str, Any], terms: Terms) -> None:
    exact = price_sale(basket, SHELF.get, terms)
    paid = [{"kind": "cash", "amount": exact.total + 1000}]
    body = price_sale(basket | {"tenders": paid}, SHELF.get, terms).body() | {"number": 1, "label": "A"}
    for change in ({"change": body.get("change", 0) + 1}, {"rounding": body.get("rounding", 0) - 1}):
        assert check_body("sale", TILL, body | change) is not None, change
    body["tenders"] = [{"kind": "cash", "amount": exact.total + 1001}]
    assert check_body("sale", TILL, body) is not None


@settings(max_examples=100, deadline=None)
@given(baskets, shops, st.data())
def test_refunds_in_any_split_leave_nothing_of_any_tax_class(
    basket: dict[str, Any], terms: Terms, data: st.DataObject
) -> None:
    sale = price_sale(basket, SHELF.get, terms).body() | {"id": ID}
    figures = sale_figures(sale)
    left = {number: parse_quantity(line["quantity"]) for number, line in enumerate(sale["lines"], 1)}
    taken: dict[int, Taken] = {}
    groups, total, tax = [(1, group) for group in tax_groups("sale", sale)], 0, 0
    for turn in range(8):
        if not left:
            break
        request: dict[str, Any] = {"id": ID, "reason": "broken"}
        if turn < 7:
            number = data.draw(st.sampled_from(sorted(left)))
            some = data.draw(st.integers(1, left[number]))
            request["lines"] = [{"line": number, "quantity": format_quantity(some)}]
        body = refund_body(sale, bytes(32), taken, request, cash_unit=terms.cash_unit)
        assert check_body("refund", TILL, body | {"number": 1, "label": "A"}) is None
        back = refund_figures(body)
        total, tax = total + back.total, tax + back.tax
        groups += [(-1, group) for group in tax_groups("refund", body)]
        for line in body["lines"]:
            so_far, quantity = taken.get(line["line"], NOTHING), parse_quantity(line["quantity"])
            taken[line["line"]] = Taken(
                so_far.quantity + quantity, so_far.total + line["total"], so_far.tax + line.get("tax", 0)
            )
            left[line["line"]] -= quantity
        left = {number: quantity for number, quantity in left.items() if quantity}
    assert (total, tax) == (figures.total, figures.tax)
    assert all((group.total, group.tax) == (0, 0) for group in add_taxes(groups))


@settings(max_examples=60, deadline=None)
@given(baskets, shops)
def test_a_void_leaves_nothing_of_any_tax_class(basket: dict[str, Any], terms: Terms) -> None:
    sale = price_sale(basket, SHELF.get, terms).body() | {"id": ID}
    body = void_body(sale, bytes(32), "mistyped")
    assert check_body("void", TILL, body) is None
    assert void_figures(body).net_tenders == sale_figures(sale).net_tenders
    undone = add_taxes(
        [(1, group) for group in tax_groups("sale", sale)] + [(-1, group) for group in tax_groups("void", body)]
    )
    assert all((group.total, group.tax) == (0, 0) for group in undone)


@pytest.mark.parametrize(
    ("product", "said"),
    [
        (Product("P", "x", 900, "standard", None, 1_180, True), {"class": "standard", "mode": "printed", "tax": 180}),
        (Product("P", "x", 900, "printed", "10", 1_100, True), {"class": "printed", "mode": "printed", "tax": 100}),
        (Product("P", "x", 900, "18", None, 1_180, True), {"mode": "printed", "tax": 180}),
        (Product("P", "x", 900, "18", None, None, True), {"mode": "printed", "tax": 137}),  # without one: its price
        (Product("P", "x", 1_180, "gone", "18", 2_000), {"tax": 180}),
        (Product("P", "x", 1_180, "", "18"), {"tax": 180}),
        (Product("P", "x", 900, "gone", None, 1_180), {}),
        (Product("P", "x", 900, "exempt", "18", 1_180, True), {"class": "exempt"}),
    ],
)
def test_a_products_own_rate_and_flag_hold_before_its_class(product: Product, said: dict[str, Any]) -> None:
    sale = price_sale({"id": ID, "lines": [{"sku": "P", "quantity": 1}]}, {"P": product}.get, Terms(CLASSES))
    assert {name: sale.lines[0][name] for name in ("class", "mode", "tax") if name in sale.lines[0]} == said
    assert check_body("sale", TILL, sale.body() | {"number": 1, "label": "A"}) is None


def test_a_tax_on_the_printed_price_that_no_entry_can_hold_is_refused() -> None:
    product = Product("GOLD", "Gold", 1, "printed", None, MAX_MONEY)
    with pytest.raises(BadRequest, match="printed prices"):
        price_sale({"id": ID, "lines": [{"sku": "GOLD", "quantity": 9}]}, {"GOLD": product}.get, Terms(CLASSES))


@pytest.mark.parametrize(
    ("tenders", "rate"),
    [
        (None, "16"),
        ([{"kind": "card", "amount": 10_500}], "5"),
        ([{"kind": "card", "amount": 500}, {"kind": "raast", "amount": 10_000}], "5"),
        ([{"kind": "card", "amount": 600}, {"kind": "cash", "amount": 11_000}], "16"),
        ([{"kind": "card", "amount": 600}, {"kind": "account", "amount": 0}], "16"),
    ],
)
def test_a_service_has_the_rate_of_what_all_of_it_is_paid_with(tenders: Any, rate: str) -> None:
    """What is left on account is paid one day with nobody knows what."""
    request = {"id": ID, "lines": [{"sku": "cut", "quantity": 1, "price": 10_000, "class": "service"}]}
    sale = price_sale(request | ({"tenders": tenders} if tenders else {}), SHELF.get, Terms(CLASSES))
    assert sale.lines[0]["rate"] == rate


@pytest.mark.parametrize(
    ("day", "kinds", "rate"),
    [
        ("2023-02-13", ["cash"], "17"),
        ("2023-02-14", ["cash"], "18"),
        ("2026-11-26", ["card"], "18"),
    ],
)
def test_a_rate_holds_from_its_day_on(day: str, kinds: list[str], rate: str) -> None:
    assert classes_of(None, "PKR")["standard"].rate(day, kinds) == rate


def test_pakistans_classes_are_sound_and_only_for_shops_in_rupees() -> None:
    classes, faults = read_classes(PAKISTAN)
    assert not faults and set(classes) == set(PAKISTAN)
    assert classes_of(None, "USD") == {}


def test_a_rate_by_tender_holds_where_all_is_paid_so() -> None:
    service = CLASSES["service"]
    assert service.rate("2026-11-26", ["card"]) == "5"
    assert service.rate("2026-11-26", ["card", "raast"]) == "5"
    assert service.rate("2026-11-26", ["card", "cash"]) == "16"


def test_the_third_schedule_taxes_the_printed_price_whatever_is_taken_off() -> None:
    """mrp 200, 10 % off: tax 30.51, total 180, as Odoo's Pakistani localisation reckons it."""
    product = Product("SOAP", "Soap", 20_000, "printed", None, 20_000)
    sale = price_sale(
        {"id": ID, "lines": [{"sku": "SOAP", "quantity": 1, "discount_percent": "10"}]},
        {"SOAP": product}.get,
        Terms(CLASSES),
    )
    assert (sale.total, sale.lines[0]["tax"]) == (18_000, 3_051)


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"discount": 10, "discount_percent": 5}, "discount_percent"),
        ({"discount": 10**9}, "discount"),
        ({"discount_percent": "101"}, "discount_percent"),
        ({"lines": [{"sku": "open", "quantity": 1, "price": 5, "class": "nonsense"}]}, "lines.0.class"),
        ({"lines": [{"sku": "open", "quantity": 1, "price": 5, "discount_percent": "x"}]}, "lines.0.discount_percent"),
        ({"lines": [{"sku": "open", "quantity": 1, "price": 5, "mode": "exclusive"}]}, "lines.0.mode"),
    ],
)
def test_each_wrong_field_is_named(changed: dict[str, Any], field: str) -> None:
    with pytest.raises(BadRequest) as caught:
        price_sale({"id": ID, "lines": [{"sku": "standard99", "quantity": 1}]} | changed, SHELF.get, Terms(CLASSES))
    assert [error.field for error in caught.value.errors] == [field]


def test_a_price_that_was_seen_stands_whatever_the_catalogue_says_by_now() -> None:
    sale = price_sale(
        {"id": ID, "lines": [{"sku": "standard99", "quantity": 1, "price": 80}]}, SHELF.get, Terms(CLASSES)
    )
    assert (sale.total, sale.repriced, sale.opened) == (80, True, False)
