"""Filing sales with a fiscal service: how it is set up, what `filing` entries say, and where each sale stands. No I/O.

Where a sale stands is a function of the set of counted `filing` entries about it, in whatever order they came. Each
names those that its writer knew (`after`), so what follows what needs no clock. Nothing here knows what a service is
sent (`posline.core.fiscal_invoice`) or answers (`posline.core.fiscal_answers`).

    queued --sending--> sending --accepted--> accepted, which nothing takes back
       ^                   |  `---rejected--> rejected --released--> queued
       |                   `------unknown---> unknown  --accepted--> accepted   (the service, or a person, knew it)
       `-----------------------released----------'

An intent (`sending`) is on the disk before the request leaves, so whatever may have been filed is never sent again
unless a person, or the service, says that it was not. Two steps that did not know of each other need a person too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any
from urllib.parse import urlsplit

from posline.core.checks import MAX_TEXT, Body, hash_text, named, text, uuid_text
from posline.core.money import is_rate
from posline.errors import BadRequest, FieldError

__all__ = [
    "ADAPTERS",
    "COUNTDOWN_MS",
    "ERRORS_MAX",
    "Contact",
    "FiscalSetting",
    "Seller",
    "Standing",
    "State",
    "Step",
    "check_filing",
    "filing_of",
    "read_setting",
    "standing",
    "usin_of",
]

ADAPTERS = ("fbr_ims", "fbr_di", "pra_eims")
COUNTDOWN_MS = 24 * 3600 * 1000  # rule 150XC: what was sold offline is filed within 24 hours of restoration
ERRORS_MAX = 20  # of a service's words that an entry keeps
AFTER_MAX = 16  # steps that one may follow: more heads than a shop has devices that file
STEPS = ("sending", "accepted", "rejected", "unknown", "released")
LOOPBACK = ("localhost", "127.0.0.1", "::1")
_DAY = re.compile(r"20[2-9][0-9]-[0-9]{2}-[0-9]{2}")
_USIN = re.compile(r"[0-9a-f]{32}-[0-9a-f]{8}")
_PCT = re.compile(r"[0-9]{8}")


class State(StrEnum):
    """Where a sale, refund or void stands with its fiscal service. `unknown` needs reconciliation."""

    NONE = "none"  # it need not be filed
    QUEUED = "queued"
    SENDING = "sending"
    ACCEPTED = "accepted"
    REJECTED = "rejected"
    UNKNOWN = "unknown"


def usin_of(id: str, content: bytes) -> str:
    """Our reference (USIN) for an entry: its id and what it says. A sale that two tills recorded has one; two sales
    that share an id have two. 41 characters, of the 50 that services take."""
    return f"{id.lower().replace('-', '')}-{content.hex()[:8]}"


# -- what a filing entry says --------------------------------------------------------------------------------------


def check_filing(_: str, body: Body) -> str | None:
    """What is wrong with a `filing` entry; None when nothing."""
    if not uuid_text(body.get("sale")) or not hash_text(body.get("of")):
        return "it does not say which sale it is about"
    if type(usin := body.get("usin")) is not str or not _USIN.fullmatch(usin):
        return "it does not say under which reference it is filed"
    if not text(body.get("adapter")) or not named(body.get("filer")):
        return "it names no service or no filer"
    if body.get("state") not in STEPS:
        return f"its state is none of {', '.join(STEPS)}"
    if body["state"] == "accepted" and not text(body.get("number")):
        return "it says accepted and gives no number"
    if not all(text(body.get(name, ""), 0) for name in ("number", "qr", "code", "at_service", "why")):
        return f"one of its texts is longer than {MAX_TEXT} characters"
    errors, after = body.get("errors", []), body.get("after", [])
    if type(errors) is not list or len(errors) > ERRORS_MAX or not all(text(error, 0) for error in errors):
        return f"its errors are no list of at most {ERRORS_MAX} texts"
    if type(after) is not list or len(after) > AFTER_MAX or not all(map(hash_text, after)):
        return "it does not say which steps it follows"
    return None


@dataclass(frozen=True, slots=True)
class Step:
    """A counted `filing` entry; hashes are hex, `at` is when it was written."""

    hash: str
    author: str
    state: str
    adapter: str
    filer: str
    after: tuple[str, ...] = ()
    number: str = ""
    qr: str = ""
    code: str = ""
    errors: tuple[str, ...] = ()
    at: str = ""

    @classmethod
    def of_body(cls, hash: str, body: Body) -> Step:
        """The step that a valid filing entry is."""
        return cls(
            hash, body["till"], body["state"], body["adapter"], body["filer"], tuple(body.get("after", ())),
            body.get("number", ""), body.get("qr", ""), body.get("code", ""), tuple(body.get("errors", ())),
            body["at"],
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a sale stands, who files it now and with which service. `heads` are the steps that the next one follows,
    `errors` the service's own words or ours, `alarms` what a person should look at, `tries` how often it was sent."""

    state: State
    adapter: str
    filer: str
    heads: tuple[str, ...] = ()
    number: str = ""
    qr: str = ""
    code: str = ""
    errors: tuple[str, ...] = ()
    at: str = ""
    tries: int = 0
    alarms: tuple[str, ...] = ()


_STATES = {
    "sending": State.SENDING,
    "rejected": State.REJECTED,
    "unknown": State.UNKNOWN,
    "released": State.QUEUED,
}


def standing(adapter: str, filer: str, steps: Iterable[Step]) -> Standing:
    """Where what names `adapter` and `filer` stands after these steps, in whatever order they are given."""
    held = sorted({step.hash: step for step in steps}.values(), key=lambda step: step.hash)
    if not held:
        return Standing(State.QUEUED, adapter, filer)
    followed = {hash for step in held for hash in step.after}
    heads = [step for step in held if step.hash not in followed]
    releases = [step for step in held if step.state == "released"]
    filers = {filer} | {step.filer for step in releases}
    alarms = [
        f"{author} sent it, which was not its to file"
        for author in sorted({step.author for step in held if step.state == "sending"} - filers)
    ]
    tries = sum(step.state == "sending" for step in held)
    names = tuple(step.hash for step in heads[:AFTER_MAX])
    accepted = [step for step in held if step.state == "accepted"]
    if accepted:
        first = accepted[0]
        numbers = sorted({step.number for step in accepted})
        if len(numbers) > 1:
            alarms.append(f"it was filed {len(numbers)} times, as {', '.join(numbers)}")
        return Standing(
            State.ACCEPTED, first.adapter, first.filer, names, first.number, first.qr, first.code, (), first.at, tries,
            tuple(alarms),
        )  # fmt: skip
    # who files it now: as the last release says, where no two disagree
    said = {(step.adapter, step.filer) for step in heads}
    adapter, filer = min(said)
    if len({(step.state, step.adapter, step.filer) for step in heads}) == 1 and (
        len(heads) == 1 or heads[0].state != "sending"
    ):
        last = heads[0]
        return Standing(
            _STATES[last.state], adapter, filer, names, "", "", last.code, last.errors, last.at, tries, tuple(alarms)
        )
    apart = "devices wrote of its filing that did not know of each other: ask the service whether it has it"
    errors = (apart, *(error for step in heads for error in step.errors))[:ERRORS_MAX]
    at = max(step.at for step in heads)
    return Standing(State.UNKNOWN, adapter, filer, names, "", "", "", errors, at, tries, (*alarms, apart))


# -- the countdown -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Contact:
    """How the service was last reached, in milliseconds since 1970: since when it has not been reachable (None when it
    is), and when it was first reachable again after the last outage (None when there was none)."""

    down_ms: int | None = None
    restored_ms: int | None = None

    def reached(self, now_ms: int) -> Contact:
        """The service was reached."""
        return self if self.down_ms is None else Contact(None, now_ms)

    def missed(self, now_ms: int) -> Contact:
        """The service could not be reached."""
        return self if self.down_ms is not None else Contact(now_ms, self.restored_ms)

    def due_ms(self, oldest_ms: int | None) -> int | None:
        """By when what is not filed must be: 24 hours from the sale, or from restoration where that came after it. None
        where nothing waits, and during an outage, whose countdown has not begun."""
        if oldest_ms is None or self.down_ms is not None:
            return None
        return max(oldest_ms, self.restored_ms or 0) + COUNTDOWN_MS


# -- how it is set up ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Seller:
    """Who sells, as `fbr_di` wants it said."""

    ntn: str = ""
    name: str = ""
    province: str = ""
    address: str = ""


@dataclass(frozen=True, slots=True)
class FiscalSetting:
    """The shared setting `fiscal`. No secret is in it: a token lies in a file at the filer alone.

    `url` stands in for the service's own address, `cloud` sends `fbr_ims` to the cloud instead of the service on this
    machine; `payment_modes` maps kinds of tender to a service's numbers, with `other` for the rest; `sale_types` maps
    tax classes to `fbr_di`'s words; `inquiry` is where a gateway tells of a reference, "" where none does.
    """

    adapter: str
    filer: str
    mode: str = "sandbox"
    pos_id: int = 0
    url: str = ""
    inquiry: str = ""
    cloud: bool = False
    from_day: str = ""
    payment_modes: Mapping[str, int] = field(default_factory=dict)
    pct_code: str = "00000000"
    qr_url: str = ""
    seller: Seller = Seller()
    scenario: str = ""
    return_type: str = "Debit Note"
    standard_rate: str = "18"
    sale_types: Mapping[str, str] = field(default_factory=dict)


def read_setting(value: object) -> FiscalSetting | None:
    """The setting `fiscal`; None where filing is off. Raises BadRequest with every field that is wrong."""
    if value is None or value == {} or (isinstance(value, dict) and value.get("adapter") == "off"):
        return None
    if not isinstance(value, dict):
        raise BadRequest.of("fiscal", "must be an object, or null where nothing is filed")
    wrong: list[FieldError] = []

    def need(name: str, holds: bool, what: str) -> None:
        if not holds:
            wrong.append(FieldError(f"fiscal.{name}", what))

    known = set(FiscalSetting.__dataclass_fields__)
    for name in sorted(value.keys() - known):
        need(name[:40], False, f"is not a field here: {', '.join(sorted(known))}")
    adapter, mode, pos_id = value.get("adapter"), value.get("mode", "sandbox"), value.get("pos_id", 0)
    need("adapter", adapter in ADAPTERS, f"is one of {', '.join(ADAPTERS)}, or off")
    need("filer", named(value.get("filer")), "is the id of the till that files")
    need("mode", mode in ("sandbox", "production"), "is sandbox or production")
    least = 1 if adapter in ("fbr_ims", "pra_eims") else 0
    need("pos_id", type(pos_id) is int and least <= pos_id < 2**53, "is the whole number that the service gave")
    need("cloud", type(value.get("cloud", False)) is bool, "is true or false")
    from_day = value.get("from_day", "")
    need("from_day", from_day == "" or bool(_DAY.fullmatch(str(from_day))), "is a day such as 2026-12-01")
    for name in ("url", "qr_url", "inquiry"):
        need(name, _safe_url(value.get(name, "")), "is an https address; http only for this machine itself")
    need("url", adapter != "pra_eims" or bool(value.get("url")), "is needed: where pra_eims answers")
    need("pct_code", bool(_PCT.fullmatch(str(value.get("pct_code", "00000000")))), "is a tariff code of 8 digits")
    modes, types = value.get("payment_modes", {}), value.get("sale_types", {})
    fit = isinstance(modes, dict) and all(type(number) is int and 1 <= number <= 6 for number in modes.values())
    need("payment_modes", fit, "maps kinds of tender to 1 cash, 2 card, 3 gift, 4 loyalty, 5 mixed, 6 cheque")
    fit = isinstance(types, dict) and all(text(words) for words in types.values())
    need("sale_types", fit, "maps tax classes to the service's words for them")
    for name in ("scenario", "return_type"):
        need(name, text(value.get(name, ""), 0), f"is a text of at most {MAX_TEXT} characters")
    need("standard_rate", is_rate(value.get("standard_rate", "18")), "is a rate in per cent, as text")
    seller = value.get("seller", {})
    fit = isinstance(seller, dict) and seller.keys() <= set(Seller.__dataclass_fields__)
    fit = fit and all(text(words, 0) for words in seller.values())
    need("seller", fit, "has ntn, name, province and address, as texts")
    if fit and adapter == "fbr_di":
        for name in Seller.__dataclass_fields__:
            need(f"seller.{name}", bool(seller.get(name)), "is needed by fbr_di")
    if wrong:
        raise BadRequest(wrong)
    return FiscalSetting(**{**value, "seller": Seller(**seller)})


def _safe_url(url: object) -> bool:
    """Whether an address may be sent invoices and a token: nobody on the way can read or answer for it."""
    if url == "":
        return True
    if type(url) is not str or len(url) > MAX_TEXT:
        return False
    try:
        parts = urlsplit(url)
        return bool(parts.hostname) and (
            parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK)
        )
    except ValueError:
        return False


def filing_of(setting: FiscalSetting | None, day: str) -> dict[str, Any] | None:
    """The field `filing` for a sale or refund rung on a business day; None where it need not be filed."""
    if setting is None or day < setting.from_day:
        return None
    return {"adapter": setting.adapter, "filer": setting.filer}
