"""What an answer of a fiscal service means. No I/O.

Only an answer that says so clearly is `accepted` or `rejected`. HTTP 200 carries rejections too, the code of acceptance
comes as a number or as a text, and an acceptance without a number is none. What says that the service did not look at
the request (no permission, too many, not at work) leaves the sale queued; everything else is `unknown`: it may have
been filed, and is not sent again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from posline.core.checks import MAX_TEXT
from posline.core.fiscal import ERRORS_MAX, FiscalSetting

__all__ = ["Answer", "Verdict", "probe_of", "read_answer", "read_inquiry"]

IMS_ACCEPTED = "100"
DI_VALID, DI_INVALID = ("00", "0"), ("01", "1")
# answers after which the invoice was certainly not looked at: it stays queued, and the trouble is the service's or ours
NOT_LOOKED_AT = frozenset({301, 302, 303, 307, 308, 401, 403, 404, 405, 407, 411, 415, 429, 503})


class Verdict(StrEnum):
    """What became of a request."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"
    UNKNOWN = "unknown"
    NOT_TAKEN = "not taken"  # certainly not filed, and the invoice is not at fault


@dataclass(frozen=True, slots=True)
class Answer:
    """A verdict with the number it came with (opaque), what its QR shows where that is not the number, the service's
    code and its own words."""

    verdict: Verdict
    number: str = ""
    qr: str = ""
    code: str = ""
    errors: tuple[str, ...] = ()


def probe_of(setting: FiscalSetting, address: str) -> str:
    """Where the service says that it responds, "" where it has no such place: then a connection is all there is."""
    tail = "GetInvoiceNumberByModel"
    return f"{address.removesuffix(tail)}get" if setting.adapter == "fbr_ims" and address.endswith(tail) else ""


def read_answer(setting: FiscalSetting, status: int, body: bytes) -> Answer:
    """What an answer to an invoice means. `status` is HTTP's. Never raises."""
    if status in NOT_LOOKED_AT:
        return Answer(Verdict.NOT_TAKEN, code=f"http-{status}", errors=_words([body.decode("utf-8", "replace")]))
    said = _object(body)
    if said is None:
        if 400 <= status < 500 and status != 408:
            return Answer(Verdict.REJECTED, code=f"http-{status}", errors=_words([body.decode("utf-8", "replace")]))
        return Answer(Verdict.UNKNOWN, code=f"http-{status}", errors=("its answer cannot be read",))
    read = _read_di if setting.adapter == "fbr_di" else _read_ims
    answer = read(setting, said)
    if status >= 300 and answer.verdict is not Verdict.REJECTED:
        definite = 400 <= status < 500 and status != 408 and answer.verdict is Verdict.UNKNOWN and not answer.number
        verdict = Verdict.REJECTED if definite else Verdict.UNKNOWN
        return Answer(verdict, code=f"http-{status}", errors=answer.errors or _words([json.dumps(said)]))
    return answer


def read_inquiry(status: int, body: bytes) -> Answer:
    """What a gateway says of a reference: accepted with its number, NOT_TAKEN where it never had it, UNKNOWN else."""
    said = _object(body) or {}
    number = _text(said.get("InvoiceNumber", said.get("invoiceNumber", "")))
    if status == 200 and number:
        return Answer(Verdict.ACCEPTED, number)
    # 404 of the inquiry itself is an answer about the reference only where it says so
    if status in (200, 404) and said.get("found") is False:
        return Answer(Verdict.NOT_TAKEN, code="not-found")
    return Answer(Verdict.UNKNOWN, code=f"http-{status}")


def _read_ims(setting: FiscalSetting, said: dict[str, Any]) -> Answer:
    code, number = _text(said.get("Code")), _text(said.get("InvoiceNumber"))
    words = _words([said.get("Response"), *_listed(said.get("Errors"))])
    if not code:
        return Answer(Verdict.UNKNOWN, errors=words or ("it gave no code",))
    if code != IMS_ACCEPTED:
        return Answer(Verdict.REJECTED, code=code, errors=words)
    if not number:
        return Answer(Verdict.UNKNOWN, code=code, errors=("it says accepted and gives no number", *words)[:ERRORS_MAX])
    return Answer(Verdict.ACCEPTED, number, _qr(setting, number), code)


def _read_di(setting: FiscalSetting, said: dict[str, Any]) -> Answer:
    response = said.get("validationResponse")
    response = response if isinstance(response, dict) else {}
    code, number = _text(response.get("statusCode")), _text(said.get("invoiceNumber"))
    items = [item for item in _listed(response.get("invoiceStatuses")) if isinstance(item, dict)]
    refused = [item for item in items if _text(item.get("statusCode")) in DI_INVALID]
    words = _words(
        [response.get("error"), *(f"item {i.get('itemSNo', '?')}: {i.get('errorCode', '')} {i.get('error', '')}"
                                  for i in refused)]
    )  # fmt: skip
    if code in DI_INVALID or (refused and not number):
        return Answer(Verdict.REJECTED, code=_text(response.get("errorCode")) or code or "01", errors=words)
    if code not in DI_VALID:
        return Answer(Verdict.UNKNOWN, code=code, errors=words or ("it gave no code",))
    if not number:
        return Answer(Verdict.UNKNOWN, code=code, errors=("it says accepted and gives no number", *words)[:ERRORS_MAX])
    return Answer(Verdict.ACCEPTED, number, _qr(setting, number), code)


def _qr(setting: FiscalSetting, number: str) -> str:
    return f"{setting.qr_url}{number}"[:MAX_TEXT] if setting.qr_url else ""


def _object(body: bytes) -> dict[str, Any] | None:
    try:
        # services write numbers of invoices as numbers too, longer than a float holds
        said = json.loads(body.decode("utf-8-sig"), parse_float=str)
        said = json.loads(said, parse_float=str) if isinstance(said, str) else said  # some wrap it in a text
    except (ValueError, RecursionError):
        return None
    return said if isinstance(said, dict) else None


def _text(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int):
        return ""
    return _clean(str(value))[:MAX_TEXT]


def _listed(value: object) -> list[Any]:
    if isinstance(value, list):
        return value
    return [] if value is None else [value]


def _words(parts: Iterable[object]) -> tuple[str, ...]:
    found = (part if isinstance(part, str) else json.dumps(part) for part in parts if part)
    return tuple(text[:MAX_TEXT] for text in map(_clean, found) if text)[:ERRORS_MAX]


def _clean(text: str) -> str:
    """Without what no entry or terminal can hold: halves of characters, control characters."""
    return "".join(c if c.isprintable() else " " for c in text).strip()
