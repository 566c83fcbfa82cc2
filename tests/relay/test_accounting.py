"""What accountants are given ties, whatever was rung and in whichever order it came, and says where it does not."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posline.core.drawer import Takings, read_figures
from posline.core.entry import decode
from posline.core.money import line_total
from posline.replica import Replica
from posline.storage.shifts import TillShifts
from posline.storage.store import Store
from relay.accounting import Chart, DayBook, Posting, ShiftBook, ZReport, added_up, balanced, next_posting
from relay.bookkeeping import Bookkeeping, range_of
from tests.kit import DAY, NOON_MS, StillTime, commit, founded, joined, take
from tests.storage.test_summaries import some_sale
from tests.trade import Trade, books, closing, day_closing

DAY_MS = 86_400_000
CHART = Chart()


@dataclass
class DaysOfTrade(Trade):
    """Some days of it, in which sales are taxed and paid in many ways."""

    time: StillTime = field(default_factory=StillTime)

    ACTS = Trade.ACTS | {"ring": 9, "again": 3, "night": 1, "redate": 1}
    REASONS = ("milk", "Bank", "bank: main")

    def some_sale(self) -> dict[str, Any]:
        body = some_sale(self.chance)
        total = body["total"]
        if self.chance.random() < 2 / 3:
            return body
        if total > 10 and self.chance.random() < 0.5:
            parts = [{"kind": "raast", "amount": total - 10}, {"kind": "store_credit", "amount": 10}]
        else:
            parts = [{"kind": "account", "amount": total}]
        kept = {name: body[name] for name in ("lines", "total")}
        return kept | {"customer": "Bilal", "tenders": parts}

    def payment(self, till: Replica) -> None:
        paid: dict[str, Any] = {"customer": "Bilal", "amount": self.chance.randint(1, 500)}
        if self.chance.random() < 0.5:
            paid["tenders"] = [{"kind": "raast", "amount": paid["amount"]}]
        till.write("payment", paid)

    def shut(self, till: Replica) -> None:
        """Whoever counts counts wrongly at times."""
        assert till.author is not None
        fields = TillShifts(till.store, till.shop, till.author.id).closing(till.staged, {})
        if fields is not None:
            cash = max(0, fields["expected"]["cash"] + self.chance.choice((0, 0, 5, -7)))
            closing(till, {"cash": cash} | ({"card": 100} if self.chance.random() < 0.2 else {}))

    def day(self, till: Replica) -> None:
        day_closing(till, self.chance.choice(books(till).days() or [DAY]))

    def redate(self, till: Replica) -> None:
        if held := [recorded.entry for recorded in books(till).sales()]:
            moved = self.chance.choice(held)
            place = {"author": moved.till, "of": moved.run, "first": moved.seq, "last": moved.seq + 3}
            till.write("redate", place | {"to": self.chance.choice((DAY, "2026-11-20", "2026-11-25"))})

    def night(self, till: Replica) -> None:
        self.time.pass_ms(DAY_MS)


def trade(seed: int, acts: int) -> DaysOfTrade:
    chance, time = random.Random(seed), StillTime()
    first = founded(f"alif {seed}", time)
    others = ("be", "pe")[: chance.randint(1, 2)]
    tills = [first, *(joined(first, f"{name}{seed % 1000}", time) for name in others)]
    shop = DaysOfTrade(chance, tills, time=time)
    shop.meet()
    for _ in range(acts):
        shop.act()
    return shop


def accounting(till: Replica) -> list[dict[str, Any]]:
    return list(Bookkeeping(till.store, till.shop, CHART).days(None, None))


def broken(days: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [check for day in days for check in day["checks"] if not check["ties"]]


@pytest.mark.many
@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**9), st.integers(5, 70))
def test_whatever_is_rung_every_equation_of_every_day_ties_on_every_till(seed: int, acts: int) -> None:
    shop = trade(seed, acts)
    shop.meet()
    answers = [accounting(till) for till in shop.tills]
    assert all(json.dumps(days) == json.dumps(answers[0]) for days in answers), "whatever the order of arrival"
    days = answers[0]
    assert broken(days) == []
    assert all(day["ties"] and balanced(day["journal"]) for day in days)
    reports = books(shop.tills[0])
    for day in days:
        report = reports.day(day["day"])
        figures = day["figures"]
        assert (figures["net"], figures["tax"], figures["rounding"]) == (
            report["net"],
            report["tax"],
            report["rounding"],
        )
        assert {f"tender:{kind}": n for kind, n in report["tenders"].items() if n} == {
            name: n for name, n in figures.items() if name.startswith("tender:")
        }
        assert (day["state"] == "provisional") == report["provisional"]
        assert day["late"] == report["addendum"]
    whole = range_of(days, CHART)
    assert whole["ties"] and balanced(whole["journal"])
    assert whole["figures"]["net"] == sum(reports.day(day)["net"] for day in reports.days())


@pytest.mark.many
@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10**9), st.integers(5, 60))
def test_cash_in_the_books_is_what_was_counted_in_all_drawers(seed: int, acts: int) -> None:
    """Once all is covered: each drawer's count less its float, duplicates or not, is what the journals say of cash."""
    shop = trade(seed, acts)
    shop.meet()
    for till in shop.tills:
        shop.shut(till)
    shop.meet()
    days = accounting(shop.tills[0])
    assert broken(days) == []
    shifts = {shift["z"]: shift for day in days for shift in day["shifts"]}
    posted = added_up(day["journal"] for day in days)
    assert posted.get("tender:cash", 0) == sum(s["counted"]["cash"] - s["float"] for s in shifts.values())
    net = sum(shift["net"] for shift in shifts.values())
    twins = sum(shift["duplicates"] for shift in shifts.values())
    assert net - twins == sum(day["figures"]["net"] for day in days), "Z reports less duplicates are the days"


@pytest.mark.many
@settings(max_examples=8, deadline=None)
@given(st.integers(0, 10**9), st.integers(5, 40))
def test_postings_come_to_the_day_however_late_it_changes(seed: int, acts: int) -> None:
    """A head office posts whenever it likes while entries come in; what it posted in all is what the days are."""
    shop = trade(seed, acts)
    office, posted = shop.tills[0], dict[str, list[Posting]]()
    for _ in range(4):
        for day in accounting(office):
            before = posted.setdefault(day["day"], [])
            while (one := next_posting(day, before, CHART)) is not None:
                assert balanced(one.lines) and one.number == len(before)
                before.append(one)
            assert next_posting(day, before, CHART) is None
        for _ in range(10):
            shop.act()
        shop.meet()
    days = accounting(office)
    for day in days:
        before = posted.setdefault(day["day"], [])
        one = next_posting(day, before, CHART)
        before += [one] if one is not None else []
        assert added_up(posting.lines for posting in before) == added_up([day["journal"]])
    ids = [posting.id for before in posted.values() for posting in before]
    assert len(ids) == len(set(ids))


# -- what does not tie -------------------------------------------------------------------------------------------------


def one_day(*, sales: int = 3) -> tuple[DaysOfTrade, list[dict[str, Any]]]:
    """A till that sells, counts and closes."""
    time = StillTime(NOON_MS)
    shop = DaysOfTrade(random.Random("one"), [founded("one", time)], time=time)
    (till,) = shop.tills
    for n in range(sales):
        till.write("sale", {"lines": [{"sku": "1", "quantity": "1", "price": 100 + n}], "total": 100 + n})
    commit(till)
    shop.shut(till)
    commit(till)
    day_closing(till, till.day(time.wall_ms))
    commit(till)
    return shop, accounting(till)


def names(days: list[dict[str, Any]]) -> set[str]:
    return {check["check"] for check in broken(days)}


def test_a_day_says_its_state_and_what_came_late() -> None:
    shop, days = one_day()
    (till,) = shop.tills
    assert [(day["state"], day["late"]["count"], day["ties"]) for day in days] == [("closed", 0, True)]
    first = next_posting(days[0], [], CHART)
    assert first is not None and first.number == 0 and first.to_dict()["posting"] == "day"
    till.write("sale", {"lines": [{"sku": "1", "quantity": "1", "price": 7}], "total": 7})
    commit(till)
    (day,) = accounting(till)
    assert (day["state"], day["late"]) == ("closed", {"count": 1, "net": 7, "tenders": {"cash": 7}})
    second = next_posting(day, [first], CHART)
    assert second is not None and second.to_dict()["posting"] == "addendum" and second.id != first.id
    assert [(line["what"], line["debit"], line["credit"]) for line in second.lines] == [
        ("tender:cash", 7, 0), ("sales:none:none", 0, 7),
    ]  # fmt: skip
    assert next_posting(day, [first], CHART) == second, "asked again it is the same, to its id"
    assert next_posting(day, [first, second], CHART) is None


def test_a_sale_that_is_lost_from_the_ledger_is_named_by_its_equations() -> None:
    shop, _ = one_day()
    (till,) = shop.tills
    till.store._db.execute("DELETE FROM entry WHERE kind = 'sale' AND amount = 101")
    (day,) = accounting(till)
    assert not day["ties"]
    assert {"z_reports:net", "z_reports:sales_count", "z_reports:tender:cash", "A-Z1:net"} <= names([day])
    assert next(c for c in day["checks"] if c["check"] == "A-Z1:net") | {"says": ""} == {
        "check": "A-Z1:net", "says": "", "left": 303, "right": 202, "ties": False,
    }  # fmt: skip
    assert day["shifts"][0]["lacking"] == 1
    assert "debits" not in names([day]), "the journal of what is here balances"


def test_an_amount_that_changed_in_the_ledger_is_named() -> None:
    book = DayBook("s", DAY, "PKR")
    book.take("sale", "a", sold(100), amount=99, covered=False)
    found = book.summary([], report(net=100), CHART)
    assert names([found]) == {"ledger"}
    assert names([book.summary([], report(net=98), CHART)]) == {"ledger", "day_report"}


def report(net: int) -> dict[str, Any]:
    """As much of a day report as accounting asks for."""
    addendum = {"count": 0, "net": 0, "tenders": {}}
    return {"net": net, "provisional": True, "waiting_for": ["a"], "addendum": addendum, "digest": "", "tills": []}


def z_report(takings: Takings, **over: Any) -> ZReport:
    figures = read_figures({"number": 1} | takings.figures())
    said: dict[str, Any] = {
        "hash": "00", "id": "z", "till": "a", "label": "A", "day": DAY, "at": "", "by": "", "float": 0,
        "counted": {}, "expected": takings.expected(0), "figures": figures, "spans": 1,
    }  # fmt: skip
    return ZReport(**said | over)


def sold(total: int, **more: Any) -> dict[str, Any]:
    return {"lines": [{"sku": "1", "quantity": "1", "price": line_total(total, 1000)}], "total": total} | more


def test_each_wrong_figure_is_named_with_both_sides() -> None:
    takings = Takings()
    takings.add("sale", sold(100))

    def day_of(z: ZReport, *, paid: dict[str, Any] | None = None) -> dict[str, Any]:
        shift, book = ShiftBook(z), DayBook("s", DAY, "PKR")
        body = paid or sold(100)
        shift.take("sale", body, DAY, standing="counted", again=False)
        book.take("sale", "a", body, amount=100, covered=True)
        return book.summary([shift], report(net=100), CHART)

    assert names([day_of(z_report(takings))]) == set()
    lied = z_report(takings, figures=read_figures({"number": 1} | takings.figures() | {"tax": 5}))
    assert names([day_of(lied)]) == {"z_reports:tax", "A-Z1:tax"}
    more = z_report(takings, expected={"cash": 90})
    assert names([day_of(more)]) == {"A-Z1:expected:cash"}
    short = sold(100, tenders=[{"kind": "cash", "amount": 80}])
    wrong = day_of(z_report(takings), paid=short)
    assert {"debits", "tenders", "z_reports:tender:cash"} <= names([wrong])
    (debits,) = (check for check in wrong["checks"] if check["check"] == "debits")
    assert (debits["left"], debits["right"]) == (80, 100)


def test_more_kinds_of_tender_than_a_z_report_names_tie_each() -> None:
    takings = Takings()
    sales = [sold(n, tenders=[{"kind": f"k{n}", "amount": n}]) for n in range(1, 31)]
    for body in sales:
        takings.add("sale", body)
    shift, book = ShiftBook(z_report(takings)), DayBook("s", DAY, "PKR")
    for body in sales:
        shift.take("sale", body, DAY, standing="counted", again=False)
        book.take("sale", "a", body, amount=body["total"], covered=True)
    found = book.summary([shift], report(net=takings.net), CHART)
    assert names([found]) == set() and found["figures"]["tender:k3"] == 3


def test_what_two_z_reports_cover_counts_once() -> None:
    """A disk was copied: both machines closed what lay on it."""
    takings = Takings()
    takings.add("sale", sold(100))
    shifts = [ShiftBook(z_report(takings, id=f"z{n}", counted={"cash": 100 * (1 - n)})) for n in (0, 1)]
    book = DayBook("s", DAY, "PKR")
    for again, shift in enumerate(shifts):
        shift.take("sale", sold(100), DAY, standing="counted", again=bool(again))
    book.take("sale", "a", sold(100), amount=100, covered=True)
    found = book.summary(shifts, report(net=100), CHART)
    assert found["ties"] and [shift["posted"] for shift in found["shifts"]] == [{"cash": 0}, {"cash": 0}]
    (net,) = (row for row in found["tie"] if row["figure"] == "net")
    assert (net["z_reports"], net["covered_twice"], net["day"]) == (200, 100, 100)


def test_a_chain_says_which_accounts() -> None:
    chart = Chart({"sales:standard": ("4018", "Sales at the standard rate"), "cash_out:milk": ("6100", "Kitchen")})
    for what, code in (
        ("sales:standard:18", "4018"), ("sales:none:none", "4000"), ("cash_out:milk", "6100"), ("cash_out:x", "1010"),
        ("tender:cash", "1000"), ("tender:unknown", "1090"), ("over_short:cash", "6810"),
    ):  # fmt: skip
        assert chart.account(what)[0] == code
    assert {line["account"] for line in chart.listed()} >= {"4018", "6100", "1000"}


@pytest.mark.many
def test_entries_that_come_in_any_order_give_the_same_books() -> None:
    shop = trade(7, 60)
    shop.meet()
    writer = shop.tills[0]
    rows = writer.store.read.execute(
        "SELECT d.name, e.raw FROM entry e JOIN document d ON d.shop = e.shop AND d.key = e.document"
    )
    entries = [decode(name, raw) for name, raw in rows]
    wanted = json.dumps(accounting(writer))
    for seed in range(3):
        store = Store.open(":memory:")
        take(store, writer.shop, [[entry] for entry in random.Random(seed).sample(entries, len(entries))])
        assert json.dumps(list(Bookkeeping(store, writer.shop, CHART).days(None, None))) == wanted
