"""The receipt of an entry: what the ledger knows of a sale, a refund, a void or a payment, gathered and laid out.

Any till shows any till's receipts. The code that carries the signed sale stands only on receipts of what this disk
wrote itself: only its author can sign it, and only for what it can vouch for. It is signed when a receipt is drawn, and
so never on the path of a sale.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from posline.core.numbers import parse_receipt, parse_reference
from posline.core.proof import make_proof
from posline.errors import Ambiguous, NotFound
from posline.storage.customers import Customers
from posline.storage.returned import taken_of
from posline.till.receipts.blocks import Paper, Receipt
from posline.till.receipts.fonts import can_shape
from posline.till.receipts.layout import Fiscal, Made, Udhaar, receipt_of
from posline.till.receipts.settings import ReceiptSettings, settings_of
from posline.till.refunding import Bookcase, show_refund, sold
from posline.till.sale import sale_of

if TYPE_CHECKING:
    from posline.core.entry import Entry
    from posline.storage.reports import Recorded
    from posline.storage.store import Store
    from posline.trust.keys import Key
    from posline.writer import Writer

__all__ = ["PAPER_KINDS", "Papers", "Shelf", "filed_later"]

PAPER_KINDS = frozenset({"sale", "refund", "void", "payment"})  # kinds of entries that have a receipt
SETTING = "receipt"  # the shared setting of posline.till.receipts.settings
OF_LINE = ("rate", "mode", "mrp")  # what a line's entry says beyond what the API answers, where it says it
OF_SOLD = ("name_ur", "unit", *OF_LINE)  # what a returned line takes from the sold one


def filed_later(recorded: Recorded) -> Fiscal:
    """What a receipt says of the fiscal service where nobody knows more: that it will be filed, if it has to be."""
    return Fiscal("offline" if recorded.entry.body.get("filing") else "none")


class Shelf(Bookcase, Protocol):
    """Whose receipts they are: a till, or a shop at a head office."""

    @property
    def id(self) -> str:
        """The author whose entries it can sign."""
        ...

    @property
    def key(self) -> Key:
        """What it signs with."""
        ...

    @property
    def store(self) -> Store:
        """Where the entries lie."""
        ...

    @property
    def replica(self) -> Writer:
        """The shop's documents."""
        ...

    @property
    def shop_id(self) -> str:
        """The shop's id."""
        ...

    @property
    def shop(self) -> str:
        """The shop's name."""
        ...


class Papers:
    """One till's receipts. `fiscal` answers what the fiscal service said of an entry: whoever files puts its own here.
    """

    def __init__(self, till: Shelf) -> None:
        self._till = till
        self.fiscal: Callable[[Recorded], Fiscal] = filed_later

    @property
    def settings(self) -> ReceiptSettings:
        """The shop's, as they stand."""
        return settings_of(self._till.reports.setting(SETTING)).with_name(self._till.shop)

    def find(self, wanted: str) -> Recorded:
        """The sale, refund, void or payment with this id, receipt, reference or hash (hex). Raises NotFound,
        Ambiguous."""
        key = self._till.store.shop_key(self._till.shop_id)
        parsed, begun = parse_receipt(wanted), parse_reference(wanted)
        where: tuple[str, *tuple[object, ...]]
        if parsed is not None:
            where = "number = ?", parsed[1]
        elif begun is not None:
            where = "id >= ? AND id < ?", begun, f"{begun}g"
        elif len(wanted) == 64 and all(c in "0123456789abcdef" for c in wanted):
            where = "hash = ?", bytes.fromhex(wanted)
        else:
            where = "id = ?", wanted.lower()
        rows = self._till.store.read.execute(
            f"SELECT n FROM entry WHERE shop = ? AND {where[0]} AND kind IN ('sale', 'refund', 'void', 'payment')"
            " AND fault IS NULL ORDER BY status, hash",
            (key, *where[1:]),
        ).fetchall()
        found = [r for (n,) in rows if (r := self._till.reports.entry_at(n)) is not None]
        if parsed is not None:
            found = [r for r in found if r.receipt == wanted.upper()]
        hashes = {r.entry.hash.hex() for r in found}
        found = [r for r in found if r.kept not in hashes]
        if not found:
            raise NotFound(f"no receipt has the id or number {wanted[:60]!r}")
        if len(found) > 1:
            raise Ambiguous(wanted, [r.entry.hash.hex() for r in found])
        return found[0]

    def lay_out(
        self, recorded: Recorded, *, copy: bool = False, language: str = "", paper: Paper | None = None
    ) -> Receipt:
        """The receipt of an entry, in `language` (else the shop's first), for `paper` (else the shop's)."""
        settings = self.settings
        if paper is not None:
            settings = settings.on(paper)
        currency = str(self._till.replica.founding.get("currency", ""))
        return receipt_of(
            self.content(recorded),
            settings,
            Made(copy=copy, language=language, urdu=can_shape(), currency=currency),
            fiscal=self.fiscal(recorded),
            customer=self._customer(recorded.entry, copy=copy),
            proof=self.proof(recorded) if settings.proof else (),
        )

    def content(self, recorded: Recorded) -> dict[str, Any]:
        """What is on the receipt: a sale as the API answers it, with `kind` and more of its lines; refunds and voids
        likewise, their amounts those given back."""
        entry = recorded.entry
        if entry.kind == "sale":
            return self._sale(recorded) | {"voided": self._taken(entry)}
        if entry.kind == "payment":
            return {
                "kind": entry.kind, "id": entry.id, "label": self._till.reports.label(entry.till), "at": entry.at,
                "day": recorded.day, "by": entry.by, "total": entry.body["amount"], "lines": [],
                "tenders": entry.body.get("tenders") or [],
            }  # fmt: skip
        answer = show_refund(self._till, recorded).to_dict()
        answer["receipt"] = answer["receipt"] or ""
        sale = sold(self._till, entry)
        were = {} if sale is None else {line["line"]: line for line in self._sale(sale)["lines"]}
        for line, written in zip(answer["lines"], entry.body["lines"], strict=True):
            before = were.get(line["line"], {})
            line.update({name: before[name] for name in OF_SOLD if name in before})
            line.update({name: written[name] for name in OF_LINE if name in written})
            if entry.kind == "void":  # takes back the whole line, at its price
                line.update({name: before[name] for name in ("discount", "price") if name in before})
        return answer

    def proof(self, recorded: Recorded) -> tuple[str, ...]:
        """The codes that carry the signed entry; none for what others wrote, or another life of this till."""
        entry, till = recorded.entry, self._till
        if entry.kind == "payment" or entry.till != till.id or not self._own(entry):
            return ()
        return make_proof(entry.raw, till.shop_id, till.key.sign, receipt=recorded.receipt)

    # ------------------------------------------------------------------------------------------------------------------

    def _sale(self, recorded: Recorded) -> dict[str, Any]:
        entry, reports = recorded.entry, self._till.reports
        products = {line["sku"]: reports.product_at(line["sku"], entry.at) or {} for line in entry.body["lines"]}

        def name_of(sku: str, at: str) -> str | None:
            return products.get(sku, {}).get("name")

        lights = {"here": True, "tills": 0, "head_office": False}  # no receipt shows them
        answer = sale_of(recorded, name_of, lights).to_dict()
        for line, written in zip(answer["lines"], entry.body["lines"], strict=True):
            line.update({name: written[name] for name in OF_LINE if name in written})
            product = products[line["sku"]]
            line.update({name: product[name] for name in ("name_ur", "unit") if product.get(name)})
        return answer | {"kind": "sale"}

    def _taken(self, entry: Entry) -> bool:
        _, voided = taken_of(self._till.store.read, self._till.store.shop_key(self._till.shop_id), entry)
        return voided

    def _own(self, entry: Entry) -> bool:
        row = self._till.store.read.execute(
            "SELECT 1 FROM entry WHERE shop = ? AND hash = ? AND own = 1",
            (self._till.store.shop_key(self._till.shop_id), entry.hash),
        ).fetchone()
        return row is not None

    def _customer(self, entry: Entry, *, copy: bool) -> Udhaar | None:
        """Who bought. What is owed after it stands on the original only: on a later copy it would be another figure."""
        customer = entry.body.get("customer")
        if not customer:
            return None
        ledger = Customers(self._till.store, self._till.shop_id)
        known, owed = ledger.customer(str(customer)) or {}, ledger.balance(str(customer)).account
        lent = any(tender.get("kind") == "account" for tender in entry.body.get("tenders") or ())
        shown = not copy and (owed != 0 or lent or entry.kind == "payment")
        return Udhaar(
            str(known.get("name") or customer),
            str(known.get("phone") or ""),
            str(known.get("ntn") or ""),
            owed if shown else None,
        )
