"""What is wrong with a request, gathered field by field. No I/O, and nothing about what any request is for."""

from __future__ import annotations

from typing import Any

from posline.core.checks import MAX_TENDERS, MAX_TEXT, TENDER
from posline.core.money import MAX_MONEY
from posline.errors import BadRequest, FieldError

__all__ = ["Faults", "asked_tenders"]


class Faults:
    """Collects what is wrong, so that a caller learns of all of it at once."""

    def __init__(self) -> None:
        self.found: list[FieldError] = []

    def add(self, where: str, detail: str) -> None:
        """`detail` is wrong with the field `where`."""
        self.found.append(FieldError(where, detail))

    def raise_any(self) -> None:
        """Raise BadRequest where anything was wrong."""
        if self.found:
            raise BadRequest(self.found)

    def fields(self, where: str, value: object, known: frozenset[str]) -> dict[str, Any]:
        """`value` as an object with no fields but the known ones: a misspelt discount would lose money."""
        if not isinstance(value, dict):
            self.add(where or "body", "must be an object")
            return {}
        for name in value.keys() - known:
            self.add(f"{where}.{name}".lstrip("."), "is not a field here")
        return value

    def text(self, where: str, value: object, least: int = 1) -> str:
        """`value` as a text of `least` to MAX_TEXT characters; "" where it is none."""
        if not isinstance(value, str) or not least <= len(value) <= MAX_TEXT:
            self.add(where, f"must be a text of {least} to {MAX_TEXT} characters")
            return ""
        if any(0xD800 <= ord(c) <= 0xDFFF for c in value):
            self.add(where, "holds half a character (a lone surrogate)")
            return ""
        return value

    def amount(self, where: str, value: object) -> int:
        """`value` as an amount in minor units; 0 where it is none."""
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_MONEY:
            self.add(where, f"must be a whole number of minor units from 0 to {MAX_MONEY}")
            return 0
        return value


def asked_tenders(faults: Faults, asked: object, *, gives: bool = False) -> list[dict[str, Any]] | None:
    """The tenders that a request names, as an entry writes them; None where it names none, or any is wrong. What
    `gives` money back gives some in each."""
    if asked is None:
        return None
    if not isinstance(asked, list) or not 0 < len(asked) <= MAX_TENDERS:
        faults.add("tenders", f"must be a list of 1 to {MAX_TENDERS}, or be left out for exact cash")
        return None
    before = len(faults.found)
    tenders: list[dict[str, Any]] = []
    for index, tender in enumerate(asked):
        where = f"tenders.{index}"
        fields = faults.fields(where, tender, frozenset({"kind", "amount", "reference"}))
        kind = fields.get("kind")
        if not isinstance(kind, str) or TENDER.fullmatch(kind) is None:
            faults.add(f"{where}.kind", "must be a lower-case word such as cash or card")
        made = {"kind": kind, "amount": faults.amount(f"{where}.amount", fields.get("amount"))}
        if gives and fields.get("amount") == 0:
            faults.add(f"{where}.amount", "gives nothing")
        if fields.get("reference") is not None:
            made["reference"] = faults.text(f"{where}.reference", fields["reference"], 0)
        tenders.append(made)
    return tenders if len(faults.found) == before else None
