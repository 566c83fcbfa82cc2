"""Customers, what they buy on account (udhaar), and what they pay of it.

A balance is a sum of entries, so two tills may lend to one customer while they are apart: both count, and what passed a
limit is shown. A till refuses to lend beyond a limit only where the shop says so, and only by what it holds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from posline.core.books import book_of
from posline.core.checks import uuid_text
from posline.core.faults import Faults, asked_tenders
from posline.core.pricing import ON_ACCOUNT, PricedSale
from posline.errors import BadRequest, NotFound
from posline.storage.accounts import STORE_CREDIT
from posline.storage.customers import Balance, Customers
from posline.till.people import approval
from posline.till.recording import Draft, Result
from posline.till.terms import ENFORCE_LIMIT

if TYPE_CHECKING:
    from posline.till.till import Till

__all__ = ["Books", "whose_credit"]

TEXTS = ("name", "phone", "ntn", "cnic", "address", "note")
_FIELDS = frozenset({"id", "by", "pin", "approve", "limit", "active", *TEXTS})
_PAYMENT = frozenset({"id", "by", "pin", "approve", "customer", "amount", "tenders", "note"})


class Books:
    """A till's customers and their books."""

    def __init__(self, till: Till) -> None:
        self._till = till
        self._ledger = Customers(till.store, till.shop_id)

    # -- who they are --------------------------------------------------------------------------------------------------

    async def add(self, request: Mapping[str, Any]) -> tuple[dict[str, Any], bool]:
        """Record a new customer, whose id is the request's: {id, name, phone?, ntn?, cnic?, address?, limit?, note?}.

        Answers the customer and whether this is a repeat. Raises BadRequest, Conflict, CommitFailed, NotAllowed.
        """
        id = str(request.get("id", "")).lower()
        return await self._record(id, request, {})

    async def change(self, customer: str, request: Mapping[str, Any]) -> tuple[dict[str, Any], bool]:
        """Record an edit: the fields that are given are set, null takes one away, the others stay."""
        now = self._ledger.customer(customer)
        if now is None:
            raise NotFound(f"no customer has the id {customer[:60]!r}")
        customer = str(now["customer"])
        return await self._record(customer, request, now)

    async def _record(
        self, customer: str, request: Mapping[str, Any], now: Mapping[str, Any]
    ) -> tuple[dict[str, Any], bool]:
        approved = await approval(self._till, "customers", request)

        def draft(_: str) -> Draft:
            faults = Faults()
            fields = faults.fields("", request, _FIELDS)
            body: dict[str, Any] = {"customer": customer}
            for name in TEXTS:
                value = fields.get(name, now.get(name))
                if value not in (None, ""):
                    body[name] = faults.text(name, value)
            if "name" not in body:
                faults.add("name", "is needed")
            limit, active = fields.get("limit", now.get("limit")), fields.get("active", now.get("active", True))
            if limit is not None:
                body["limit"] = faults.amount("limit", limit)
            if type(active) is not bool:
                faults.add("active", "must be true or false")
            elif not active:
                body["active"] = False
            if not uuid_text(customer):
                faults.add("id", "must be a UUID made by the caller, the same at every repeat")
            by = faults.text("by", fields.get("by", ""), 0)
            faults.raise_any()
            return Draft(body | approved, by)

        result = await self._till.recording.once("customer", request, draft, about=customer)
        return self.shown(customer), result.repeated

    def shown(self, customer: str) -> dict[str, Any]:
        """A customer with balances; who has an account under a mere name is known by that. Raises NotFound."""
        found, balance = self._ledger.customer(customer), self._ledger.balance(customer)
        if found is None and balance == Balance() and not self._ledger.statement(customer, 0, 1):
            raise NotFound(f"no customer has the id {customer[:60]!r}, and no sale names one so")
        return self._with_balance(found or {"customer": book_of(customer), "name": book_of(customer)}, balance)

    def _with_balance(self, customer: Mapping[str, Any], balance: Balance) -> dict[str, Any]:
        limit = customer.get("limit")
        return dict(customer) | {
            "active": customer.get("active", True),
            "balance": {"account": balance.account, "credit": balance.credit},
            "over_limit": limit is not None and balance.account > limit,
            "conflict": self._ledger.in_conflict(str(customer["customer"])),
        }

    def found(self, wanted: str, after: str, limit: int) -> list[dict[str, Any]]:
        """Customers by a part of their name, or by phone, NTN or CNIC; all of them by name where `wanted` is empty."""
        customers = self._ledger.found(wanted, after, limit)
        return [self._with_balance(c, self._ledger.balance(c["customer"])) for c in customers]

    def owing(self, after: int, limit: int) -> list[dict[str, Any]]:
        """Whose books are not even, those who owe most first."""
        return [
            self._with_balance(self._ledger.customer(customer) or {"customer": customer, "name": customer}, balance)
            for customer, balance in self._ledger.owing(after, limit)
        ]

    # -- what they owe -------------------------------------------------------------------------------------------------

    def statement(
        self, customer: str, after: int, limit: int, *, first: str | None = None, last: str | None = None
    ) -> dict[str, Any]:
        """A customer's movements in order, each with the balance behind it; of the days `first` to `last` where they
        are given, and of all days before them in the balance. Raises NotFound."""
        rows = self._ledger.statement(customer, after, limit, first=first or "", last=last or "9")
        for row in rows:
            held = next((r for r in self._till.reports.by_id(row["id"]) if r.entry.kind == row["kind"]), None)
            row["receipt"] = held.receipt if held is not None and held.entry.number else None
        return self.shown(customer) | {"rows": rows, "next": str(after + len(rows)) if len(rows) == limit else None}

    async def pay(self, request: Mapping[str, Any]) -> tuple[dict[str, Any], bool]:
        """Record what a customer pays on account: {id, customer, amount, tenders?, note?, by?}; without tenders, cash.

        Answers {id, customer, amount, tenders, balance, ...} and whether this is a repeat. Raises as `add`.
        """
        approved = await approval(self._till, "customers", request)

        def draft(_: str) -> Draft:
            faults = Faults()
            fields = faults.fields("", request, _PAYMENT)
            customer = faults.text("customer", fields.get("customer"))
            amount = faults.amount("amount", fields.get("amount"))
            if not amount and not faults.found:
                faults.add("amount", "must be above 0")
            body: dict[str, Any] = {"customer": customer, "amount": amount}
            if fields.get("tenders") is not None:
                body["tenders"] = _tenders(faults, fields["tenders"], amount)
                spent = _part(body["tenders"], STORE_CREDIT) if not faults.found else 0
                if spent and self._till.reports.setting(ENFORCE_LIMIT) is True:  # or it would make room below a limit
                    credit = self._ledger.balance(customer).credit
                    if spent > credit:
                        faults.add("tenders", f"would spend {spent} of {credit} store credit")
            if fields.get("note"):
                body["note"] = faults.text("note", fields["note"], 0)
            by = faults.text("by", fields.get("by", ""), 0)
            faults.raise_any()
            return Draft(body | approved, by)

        result = await self._till.recording.once("payment", request, draft)
        return self._payment(result), result.repeated

    def _payment(self, result: Result) -> dict[str, Any]:
        entry = result.recorded.entry
        body = entry.body
        balance = self._ledger.balance(body["customer"])
        return {
            "id": entry.id, "customer": body["customer"], "amount": body["amount"],
            "tenders": body.get("tenders") or [{"kind": "cash", "amount": body["amount"]}],
            "note": body.get("note", ""), "till": entry.till, "run": entry.run, "seq": entry.seq,
            "status": result.recorded.status.value, "day": result.recorded.day, "at": entry.at, "by": entry.by,
            "balance": {"account": balance.account, "credit": balance.credit},
            "durable": self._till.reports.durable(entry),
        }  # fmt: skip

    def beyond(self, priced: PricedSale, *, named: bool, limited: bool) -> str | None:
        """Why a sale may not be lent, in words, or None. `named`: only to customers; `limited`: only up to their
        limit, and no more store credit than they have."""
        id = str(priced.extra.get("customer", ""))
        lent, spent = (_part(priced.tenders or (), kind) for kind in (ON_ACCOUNT, STORE_CREDIT))
        if lent and named and not id:
            return "on account: this needs a customer"
        if not limited or not id or not (lent or spent):
            return None
        customer, balance = self._ledger.customer(id), self._ledger.balance(id)
        if spent > balance.credit:
            return f"store credit: {spent} would be spent of {balance.credit}"
        limit = None if customer is None else customer.get("limit")
        owed = balance.account + lent
        if lent and limit is not None and owed > limit:
            return f"on account: {owed} would be owed, over the limit of {limit}"
        return None


def whose_credit(tenders: Iterable[Mapping[str, Any]], customer: object) -> None:
    """Store credit stands in somebody's book. Raises BadRequest where `tenders` name some, and nobody is named."""
    if not customer and _part(tenders, STORE_CREDIT):
        raise BadRequest.of("customer", "is needed with store credit: it is spent from, or put into, somebody's book")


def _part(tenders: Iterable[Mapping[str, Any]], kind: str) -> int:
    return sum(tender["amount"] for tender in tenders if tender["kind"] == kind)


def _tenders(faults: Faults, asked: object, amount: int) -> list[dict[str, Any]]:
    tenders = asked_tenders(faults, asked) or []
    for index, tender in enumerate(tenders):
        if tender["kind"] == ON_ACCOUNT:
            faults.add(f"tenders.{index}.kind", "pays nothing: what is owed stays owed")
    paid = sum(tender["amount"] for tender in tenders)
    if not faults.found and paid != amount:
        faults.add("tenders", f"come to {paid}: the payment is {amount}")
    return tenders
