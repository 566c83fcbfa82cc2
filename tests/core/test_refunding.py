"""Refunds by parts: whatever the split, the parts of a line sum to exactly its total and its tax, and never to more."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posline.core.kinds import check_body
from posline.core.money import format_quantity, inclusive_tax, line_total, parse_quantity, parse_rate
from posline.core.refunding import NOTHING, Taken, refund_body, void_body
from posline.core.sales import refund_figures, sale_figures, void_figures
from posline.errors import BadRequest

ID, OF = "0b9f7e2c-3a55-4c1e-9d0e-6a1f2b3c4d5e", bytes(32)

lines = st.builds(
    lambda quantity, price, off, rate: (quantity, price, off, rate),
    st.integers(1, 9_999),
    st.integers(0, 100_000),
    st.integers(0, 99),
    st.sampled_from([None, "0", "5", "18", "7.5"]),
)


def sale_of(
    parts: list[tuple[int, int, int, str | None]], tenders: list[dict[str, Any]] | None = None
) -> dict[str, Any]:
    made = []
    for number, (quantity, price, off, rate) in enumerate(parts):
        cost = line_total(price, quantity)
        discount = cost * off // 100
        line: dict[str, Any] = {"sku": f"S{number}", "quantity": format_quantity(quantity), "price": price}
        if discount:
            line["discount"] = discount
        if rate is not None:
            line |= {"rate": rate, "tax": inclusive_tax(cost - discount, parse_rate(rate))}
        made.append(line)
    total = sum(line_total(p["price"], parse_quantity(p["quantity"]), p.get("discount", 0)) for p in made)
    body: dict[str, Any] = {"id": ID, "number": 1, "label": "A", "lines": made, "total": total}
    return body | ({"tenders": tenders} if tenders else {})


def taken_with(taken: dict[int, Taken], body: dict[str, Any]) -> None:
    for line in body["lines"]:
        before = taken.get(line["line"], NOTHING)
        taken[line["line"]] = Taken(
            before.quantity + parse_quantity(line["quantity"]),
            before.total + line["total"],
            before.tax + line.get("tax", 0),
        )


@settings(max_examples=150, deadline=None)
@given(st.lists(lines, min_size=1, max_size=5), st.data())
def test_parts_sum_to_the_whole_to_the_minor_unit(parts: list[Any], data: st.DataObject) -> None:
    sale = sale_of(parts)
    figures = sale_figures(sale)
    taken: dict[int, Taken] = {}
    back = tax = 0
    for turn in range(12):
        left = {
            number: parse_quantity(line["quantity"]) - taken.get(number, NOTHING).quantity
            for number, line in enumerate(sale["lines"], 1)
        }
        left = {number: amount for number, amount in left.items() if amount}
        if not left:
            break
        if turn == 11:
            asked = None
        else:
            number = data.draw(st.sampled_from(sorted(left)))
            asked = [{"line": number, "quantity": format_quantity(data.draw(st.integers(1, left[number])))}]
        request = {"id": ID, "reason": "broken"} | ({"lines": asked} if asked else {})
        body = refund_body(sale, OF, taken, request)
        assert check_body("refund", "a" * 26, body | {"number": 1, "label": "A"}) is None
        back, tax = back + refund_figures(body).total, tax + refund_figures(body).tax
        assert back <= figures.total
        assert tax <= figures.tax
        taken_with(taken, body)
    assert (back, tax) == (figures.total, figures.tax)
    for number, line in enumerate(sale["lines"], 1):
        assert taken[number] == Taken(parse_quantity(line["quantity"]), figures.lines[number - 1], line.get("tax", 0))
    with pytest.raises(BadRequest, match="nothing is left"):
        refund_body(sale, OF, taken, {"id": ID, "reason": "again"})


@settings(max_examples=60, deadline=None)
@given(st.lists(lines, min_size=1, max_size=5))
def test_a_void_undoes_all_that_a_sale_did(parts: list[Any]) -> None:
    sale = sale_of(parts)
    body = void_body(sale, OF, "mistyped")
    assert check_body("void", "a" * 26, body) is None
    sold, back = sale_figures(sale), void_figures(body)
    assert (back.total, back.tax, back.discount) == (sold.total, sold.tax, sold.discount)
    assert {k: v for k, v in back.net_tenders.items() if v} == {k: v for k, v in sold.net_tenders.items() if v}


TWO_TEAS = sale_of([(2000, 250, 0, "18")])


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"lines": [{"line": 1, "quantity": "3"}]}, "lines.0.quantity"),
        ({"lines": [{"line": 2, "quantity": "1"}]}, "lines.0.line"),
        ({"lines": [{"line": 1, "quantity": "1"}, {"line": 1, "quantity": "1"}]}, "lines.1.line"),
        ({"lines": [{"line": True}]}, "lines.0.line"),
        ({"lines": []}, "lines"),
        ({"lines": [{"line": 1, "quantity": 0}]}, "lines.0.quantity"),
        ({"lines": [{"line": 1, "amount": 5}]}, "lines.0.amount"),
        ({"reason": ""}, "reason"),
        ({"reason": None}, "reason"),
        ({"tenders": [{"kind": "cash", "amount": 499}]}, "tenders"),
        ({"tenders": [{"kind": "cash", "amount": 501}]}, "tenders"),
        ({"tenders": [{"kind": "cash", "amount": 500}, {"kind": "card", "amount": 0}]}, "tenders.1.amount"),
        ({"tenders": [{"kind": "Cash", "amount": 500}]}, "tenders.0.kind"),
        ({"restock": "no"}, "restock"),
        ({"quantity": 1}, "quantity"),
    ],
)
def test_each_wrong_field_is_named(changed: dict[str, Any], field: str) -> None:
    with pytest.raises(BadRequest) as caught:
        refund_body(TWO_TEAS, OF, {}, {"id": ID, "reason": "cold"} | changed)
    assert [error.field for error in caught.value.errors] == [field]


def test_it_goes_back_by_the_one_kind_that_was_paid_with_or_else_in_cash() -> None:
    request = {"id": ID, "reason": "cold"}
    card = sale_of([(2000, 250, 0, None)], [{"kind": "card", "amount": 500, "reference": "88"}])
    assert refund_body(card, OF, {}, request)["tenders"] == [{"kind": "card", "amount": 500}]
    split = sale_of([(2000, 250, 0, None)], [{"kind": "card", "amount": 300}, {"kind": "cash", "amount": 200}])
    assert "tenders" not in refund_body(split, OF, {}, request)


def test_cash_is_rounded_as_it_was_when_it_came() -> None:
    sale = sale_of([(1000, 12_345, 0, None)])
    body = refund_body(sale, OF, {}, {"id": ID, "reason": "cold"}, cash_unit=100)
    assert (body["total"], body["rounding"]) == (12_345, -45)
    exact = refund_body(
        sale, OF, {}, {"id": ID, "reason": "cold", "tenders": [{"kind": "card", "amount": 12_345}]}, cash_unit=100
    )
    assert "rounding" not in exact
