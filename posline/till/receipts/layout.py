"""What stands on a receipt, and in which order: sales, refunds, payments on account, X and Z reports.

Takes the dicts that the API answers and gives blocks. Pure: the time is in the sale, and whether Urdu can be drawn
here is said by the caller. The list of what a fiscal receipt must show is that of SRO 1006(I)/2021.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from typing import Any

from posline.core.money import inclusive_tax, parse_quantity, parse_rate, round_half_up
from posline.till.receipts.blocks import (
    Align,
    Block,
    Cell,
    Code,
    Columns,
    Cut,
    Kick,
    Picture,
    Receipt,
    Rule,
    Space,
    Text,
    clean,
    has_urdu,
)
from posline.till.receipts.settings import ReceiptSettings
from posline.till.receipts.words import LANGUAGES, tender_name, unit_name, word
from posline.till.text import money

__all__ = ["NO_URDU", "Fiscal", "Made", "Udhaar", "receipt_of", "report_of"]

NO_URDU = (
    "Urdu cannot be drawn on this machine, so it is left out: install fribidi (libfribidi0 on Debian and Ubuntu) and "
    "start the till again"
)
CLOSING = {"refund": "refunded", "void": "refunded", "payment": "paid"}  # what the large sum is, by kind of entry
UNPAID = frozenset({"account"})  # kinds of tender that the customer still owes
UNIT_MAX = 12  # characters of a unit of measure
Row = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Fiscal:
    """What the fiscal service said: `state` is `accepted`, `offline` (not yet filed) or `none`; `qr` is the text of
    its code, by default its number."""

    state: str = "none"
    number: str = ""
    qr: str = ""
    service: str = ""


@dataclass(frozen=True, slots=True)
class Udhaar:
    """A customer as the receipt names him, and what he owes after this, in minor units (None: not shown)."""

    name: str
    phone: str = ""
    ntn: str = ""
    balance: int | None = None


@dataclass(frozen=True, slots=True)
class Made:
    """How it is made: `copy` of one printed before; `drawer` opens it; `language` as asked for, else the shop's
    first; `urdu` False where Urdu cannot be drawn; `currency` for the decimals; `cut` for printers with a knife."""

    copy: bool = False
    drawer: bool = False
    language: str = ""
    urdu: bool = True
    currency: str = "PKR"
    cut: bool = True


def receipt_of(
    sale: Mapping[str, Any],
    settings: ReceiptSettings,
    made: Made = Made(),
    *,
    fiscal: Fiscal = Fiscal(),
    customer: Udhaar | None = None,
    proof: Sequence[str] = (),
) -> Receipt:
    """The receipt of a sale, a refund, a void or a payment on account (told by its `kind`), in the shape that the API
    answers; `voided` marks a sale that was voided later. `proof` are the codes of posline.core.proof, printed where the
    shop wants them."""
    page = _Page(settings, made)
    page.heading()
    if sale.get("kind") in ("refund", "payment"):
        page.title(page.word(sale["kind"]))
    elif sale.get("kind") == "void" or sale.get("voided"):
        page.title(page.word("void"))
        page.centre(page.word("void_note"))
    page.facts(_facts(sale, page, customer))
    page.lines(sale["lines"], without_tax=fiscal.state != "none")
    _totals(sale, page)
    if customer is not None and customer.balance is not None:
        page.add(Rule())
        page.pair(page.word("balance"), page.amount(customer.balance), bold=True)
    _fiscal(fiscal, page)
    page.footer()
    if settings.proof:
        _proof(proof, page)
    return page.done(sale.get("receipt", ""))


def report_of(
    title: str,
    rows: Iterable[Row | None],
    settings: ReceiptSettings,
    made: Made = Made(),
    *,
    facts: Iterable[Row] = (),
    totals: Iterable[Row] = (),
) -> Receipt:
    """Anything of a title and rows of (label, value): an X or Z report, a payment on account, a pay-in. A row of None
    draws a line; `facts` stand above, `totals` large below. Amounts are given as text, in the language of the
    labels."""
    page = _Page(settings, made)
    page.heading(short=True)
    page.title(title)
    page.facts(list(facts))
    for row in rows:
        if row is None:
            page.add(Rule())
        else:
            page.pair(*row)
    closing = list(totals)
    if closing:
        page.add(Rule(strong=True))
        for label, value in closing:
            page.pair(label, value, size=2, bold=True)
    page.add(Space())
    return page.done(title)


def _facts(sale: Mapping[str, Any], page: _Page, customer: Udhaar | None) -> list[Row]:
    day, time = _when(sale)
    rung_day, rung_time = _when({"at": sale["rung"]}) if sale.get("rung") else ("", "")
    rung_time = rung_time[:5]
    # two groups of figures in one text would stand the other way round within Urdu
    when = [(page.word("date"), day), (page.word("time"), time)]
    rung = [(page.word("rung"), rung_day), (page.word("rung_time"), rung_time)]
    if page.language == "en":
        when = [(page.word("date"), f"{day} {time}".strip())]
        rung = [(page.word("rung"), f"{rung_day} {rung_time}".strip())]
    facts = [
        (page.word("receipt"), str(sale.get("receipt", ""))),
        *when,
        *rung,
        (page.word("till"), str(sale.get("label", ""))),
        (page.word("cashier"), str(sale.get("by") or "")),
    ]
    facts.append((page.word("of_receipt"), str(sale.get("sale_receipt") or "")))
    facts.append((page.word("reason"), str(sale.get("reason") or "")))
    if customer is not None:
        facts.append((page.word("customer"), " ".join(filter(None, (customer.name, customer.phone)))))
        facts.append((f"{page.word('customer')} {page.word('ntn')}", customer.ntn))
    return [fact for fact in facts if fact[1]]


def _when(sale: Mapping[str, Any]) -> tuple[str, str]:
    """Date and time on the clock where it was sold. A time that cannot be read is printed as it stands."""
    at = str(sale.get("at", ""))
    try:
        moment = datetime.fromisoformat(at)
    except ValueError:
        return str(sale.get("day", "")), at
    return moment.strftime("%d-%m-%Y"), moment.strftime("%H:%M:%S")


def _totals(sale: Mapping[str, Any], page: _Page) -> None:
    closing = CLOSING.get(str(sale.get("kind")), "payable")
    total, rounding = sale["total"], sale.get("rounding", 0)
    discount, tax, fee = sale.get("discount", 0), sale.get("tax", 0), sale.get("fee", 0)
    tax = tax or sum(line.get("tax", 0) for line in sale["lines"])
    exclusive = any(line.get("mode") == "exclusive" for line in sale["lines"])
    if discount or tax or fee or rounding:
        page.add(Rule())
    if discount:
        page.pair(page.word("subtotal"), page.amount(sale.get("subtotal", total + discount)))
        page.pair(page.word("discount"), page.amount(-discount))
    if tax:
        page.pair(page.word("value"), page.amount(total - tax - fee))
        word = page.word("tax" if exclusive else "tax_included")
        rates = _by_rate(sale["lines"])
        if len(rates) > 1:
            for rate, (value, part) in rates.items():
                page.pair(f"{page.word('tax')} {rate}% ({page.amount(value)})", page.amount(part))
        only = f" {next(iter(rates))}%" if len(rates) == 1 else ""
        page.pair(word + only, page.amount(tax))
    if fee:
        page.pair(page.word("fee"), page.amount(fee))
    if rounding or discount or tax:
        page.pair(page.word("total"), page.amount(total), bold=True)
    if rounding:
        page.pair(page.word("rounding"), page.amount(rounding))
    page.add(Rule(strong=True))
    page.pair(page.word(closing), page.price(total + rounding), size=2, bold=True)
    page.add(Rule(strong=True))
    tenders = sale.get("tenders") or [{"kind": "cash", "amount": total + rounding}]
    for tender in tenders:
        name = tender_name(str(tender["kind"]), page.language)
        reference = clean(str(tender.get("reference") or ""))
        label = f"{name} ({page.word('reference')} {reference})" if reference else name
        page.pair(label, page.amount(abs(tender["amount"])))
    received = [abs(tender["amount"]) for tender in tenders if tender["kind"] not in UNPAID]
    if closing == "payable" and (len(received) > 1 or sale.get("change")):
        page.pair(page.word("paid"), page.amount(sum(received)))
    if sale.get("change"):
        page.pair(page.word("change"), page.amount(sale["change"]), bold=True)


def _by_rate(lines: Sequence[Mapping[str, Any]]) -> dict[str, tuple[int, int]]:
    """What was sold at each rate of tax: (value without tax, tax), the highest rate first."""
    sums: dict[str, tuple[int, int]] = {}
    for line in lines:
        if line.get("rate") and "total" in line:
            tax = line.get("tax", 0)
            value, part = sums.get(line["rate"], (0, 0))
            sums[line["rate"]] = value + line["total"] - tax, part + tax
    return dict(sorted(sums.items(), key=lambda item: Fraction(item[0]), reverse=True))


def _fiscal(fiscal: Fiscal, page: _Page) -> None:
    if fiscal.state == "accepted" and fiscal.number:
        page.add(Rule())
        page.centre(f"{page.word('fiscal')} {fiscal.service}".strip(), bold=True)
        page.centre(fiscal.number)
        page.add(Code(fiscal.qr or fiscal.number, inch=True))
    elif fiscal.state == "offline":
        page.add(Rule())
        page.centre(page.word("fiscal_offline"), bold=True)


def _proof(codes: Sequence[str], page: _Page) -> None:
    for number, code in enumerate(codes, 1):
        single = len(codes) == 1
        caption = page.word("proof") if single else page.word("proof_part").format(number, len(codes))
        page.add(Space())
        page.add(Code(code, caption=page.readable(caption)))


class _Page:
    """Blocks as they are put down, in one language."""

    def __init__(self, settings: ReceiptSettings, made: Made) -> None:
        self.settings, self.made = settings, made
        wanted = made.language if made.language in LANGUAGES else settings.languages[0]
        self.language = wanted if made.urdu else "en"
        self.blocks: list[Block] = []
        self.lost = wanted != self.language
        if made.drawer:
            self.add(Kick())

    def word(self, name: str) -> str:
        return word(name, self.language)

    def add(self, block: Block) -> None:
        self.blocks.append(block)

    def amount(self, minor: int) -> str:
        return money(minor, self.made.currency)

    def price(self, minor: int) -> str:
        sign = {"PKR": "Rs"}.get(self.made.currency, self.made.currency)
        return f"{sign} {self.amount(minor)}"

    def readable(self, text: str, instead: str = "") -> str:
        """The text, or `instead` where it has letters that cannot be drawn here."""
        if self.made.urdu or not has_urdu(text):
            return text
        self.lost = True
        return instead

    def centre(self, text: str, *, bold: bool = False, size: int = 1) -> None:
        shown = self.readable(clean(text))
        if shown:
            self.add(Text(shown, Align.CENTER, size, bold))

    def pair(self, label: str, value: str, *, size: int = 1, bold: bool = False) -> None:
        cells = (Cell(self.readable(label, "?")), Cell(self.readable(value, "?"), Align.END))
        self.add(Columns(cells, size, bold))

    def title(self, text: str) -> None:
        self.centre(text, bold=True, size=2)

    def heading(self, *, short: bool = False) -> None:
        """Who sells: logo, name, address and numbers. `short` for papers that stay in the shop."""
        shop = self.settings
        if shop.logo and not short:
            self.add(Picture(shop.logo))
        name, header, address = shop.name, shop.header, shop.address
        if self.language == "ur":
            name, header, address = shop.name_ur or name, shop.header_ur or header, shop.address_ur or address
        self.centre(name, bold=True, size=1 if short else 2)
        if short:
            header = address = ()
        for line in (*header, *address):
            self.centre(line)
        if shop.phone and not short:
            self.centre(f"{self.word('phone')}: {shop.phone}")
        numbers = [
            f"{self.word(key)}: {value}"
            for key, value in (("ntn", shop.ntn), ("strn", shop.strn), ("pos", shop.pos))
            if value and not short
        ]
        for number in numbers:
            self.centre(number)
        if self.made.copy:
            both = f"{word('copy', 'en')} / {word('copy', 'ur')}"
            self.add(Text(self.readable(both, word("copy", "en")), Align.CENTER, 2, True))
        self.add(Rule())

    def facts(self, facts: Sequence[Row]) -> None:
        for label, value in facts:
            self.pair(label, value)
        if facts:
            self.add(Rule())

    def lines(self, lines: Sequence[Mapping[str, Any]], *, without_tax: bool) -> None:
        for line in lines:
            self.add(Text(self.named(line), bold=True))
            unit = clean(unit_name(str(line.get("unit") or ""), self.language), UNIT_MAX)
            quantity = f"{line['quantity']} {self.readable(unit)}".strip()
            if "price" in line:
                quantity += f" × {self.amount(line['price'])}"
            total = self.amount(line["total"]) if "total" in line else ""
            self.add(Columns((Cell(quantity), Cell(total, Align.END))))
            extras = []
            if line.get("discount"):
                extras.append(f"{self.word('discount_short')} {self.amount(line['discount'])}")
            if line.get("rate") or line.get("tax"):
                rate = f"{line['rate']}% " if line.get("rate") else ""
                extras.append(f"{self.word('tax_short')} {rate}{self.amount(line.get('tax', 0))}")
            if without_tax and "price" in line and (plain := _price_without_tax(line)) != line["price"]:
                extras.append(f"{self.word('each_without_tax')} {self.amount(plain)}")
            if extras:
                self.add(Text(", ".join(extras) if self.language == "en" else "، ".join(extras)))

    def named(self, line: Mapping[str, Any]) -> str:
        name, sku = clean(str(line.get("name") or "")), clean(str(line.get("sku", "")))
        if self.language == "ur":
            name = clean(str(line.get("name_ur") or "")) or name
        return self.readable(name, sku) or sku

    def footer(self) -> None:
        lines = self.settings.footer
        if self.language == "ur":
            lines = self.settings.footer_ur or lines
        if lines:
            self.add(Rule())
        for line in lines:
            self.centre(line)

    def done(self, title: str) -> Receipt:
        if self.made.cut:
            self.add(Cut())
        shop = self.settings
        lost = (NO_URDU,) if self.lost else ()
        return Receipt(tuple(self.blocks), shop.paper, clean(title), self.language, shop.urdu_font, lost)


def _price_without_tax(line: Mapping[str, Any]) -> int:
    """A unit's price without the tax in it, in minor units, before any discount."""
    price: int = line["price"]
    try:
        rate = parse_rate(str(line.get("rate", "0")))
        if line.get("mode") == "exclusive":
            return price
        if line.get("mode") == "printed":  # the tax is in the printed retail price, whatever is asked for it
            return price - inclusive_tax(line.get("mrp", price), rate)
        if rate == 0 and line.get("tax"):  # the rate is not told: by what the line's tax came to
            return price - round_half_up(line["tax"] * 1000, parse_quantity(str(line["quantity"])))
    except ValueError:
        return price
    return price - inclusive_tax(price, rate)
