"""One entry: an immutable fact, as the bytes its author wrote.

Reading never fails: whatever is wrong is the entry's `fault`, since an element that is in a document cannot be sent
back, only shown. Writing refuses what reading would fault. The rules are in docs/protocol.md, "The entry".

Pure: signatures are verified here, but keys, time and randomness come from outside.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import lru_cache
from typing import Annotated, Any, Union

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from posline.core.kinds import KINDS, NUMBERED, SIGNED_KINDS, check_body, content_of, sort_of
from posline.core.numbers import AUTHOR
from posline.core.update import MAX_ELEMENT_BYTES
from posline.errors import BadEntry, BadRequest

__all__ = ["MAX_DEPTH", "Entry", "compose", "decode", "encode", "sign", "valid_day", "verify", "verify_bytes"]

MAX_DEPTH = 16
USUAL_DEPTH = 6  # the decoder's type is written out level by level, and doubles with each: 16 of them take a second
MAX_INTEGER = 2**53 - 1  # what JavaScript counts exactly
MAX_TEXT = 200  # characters
DOMAIN = b"posline-v1\0"  # so that a signature of an entry can never pass for one of anything else
_SIG = b',"sig":"'
_SIG_CHARS = 86  # 64 bytes in base64url without padding
_UUID = re.compile(r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}")
_PREV = re.compile(r"[0-9a-f]{24}|")
_DAY = re.compile(r"20[2-9][0-9]-[0-9]{2}-[0-9]{2}|2100-[0-9]{2}-[0-9]{2}")
_AT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}[+-][0-9]{2}:[0-9]{2}")
UNREADABLE = "it is not a JSON object of whole numbers, texts, lists and objects, at most 16 deep"


def _nested(depth: int) -> Any:
    """The type of JSON that entries may hold, to `depth` levels, so that the decoder's C code checks it all at once."""
    integer = Annotated[int, msgspec.Meta(ge=-MAX_INTEGER, le=MAX_INTEGER)]
    value: Any = Union[None, bool, integer, str]  # noqa: UP007
    for _ in range(depth):
        value = Union[None, bool, integer, str, list[value], dict[str, value]]  # noqa: UP007
    return value


_decoder = msgspec.json.Decoder(dict[str, _nested(USUAL_DEPTH - 1)])  # type: ignore[misc]
_TEXT = re.compile(rb'"(?:[^"\\]|\\.)*+"', re.DOTALL)
_encode = msgspec.json.Encoder().encode
_AMOUNTS = {"sale": 1, "refund": -1, "void": -1}


@dataclass(slots=True)
class Entry:
    """An element of a document, read. Where `placed` is False only document, raw, hash and fault mean anything.

    `hash` is the SHA-256 of `raw`; `fault` says why it is invalid whatever else is held (None when it is not); `newer`
    that its kind is not known here; `amount` is what it adds to the day's net, in minor units (below 0 for refunds and
    voids); `number` its place in its till's receipts.
    """

    document: str
    raw: bytes
    hash: bytes
    id: str = ""
    kind: str = ""
    till: str = ""
    run: int = 0
    seq: int = 0
    prev: str = ""
    at: str = ""
    day: str = ""
    by: str = ""
    body: dict[str, Any] = field(default_factory=dict)
    signature: bytes | None = None
    signed_bytes: bytes = b""
    fault: str | None = None
    newer: bool = False
    placed: bool = False
    amount: int = 0
    number: int | None = None

    def content(self) -> bytes:
        """Equal for two entries that say the same: kind, lines, tenders, customer, rounding, total; not numbers, times
        or names."""
        if self.fault is not None:
            return self.hash
        return hashlib.sha256(content_of(self.kind, self.body)).digest()


def decode(document: str, raw: bytes) -> Entry:
    """Read an element of `document`. Never raises."""
    entry = Entry(document, raw, hashlib.sha256(raw).digest())
    if len(raw) > MAX_ELEMENT_BYTES:
        entry.fault = f"it has more than {MAX_ELEMENT_BYTES} bytes"
        return entry
    try:
        try:
            body = _decoder.decode(raw)
        except msgspec.ValidationError:
            body = _deep(raw)
        if _encode(body) != raw:
            json.loads(raw, object_pairs_hook=_no_key_twice)
    except (ValueError, msgspec.MsgspecError, RecursionError):
        entry.fault = UNREADABLE
        return entry
    entry.body = body
    entry.fault = _envelope(entry, body)
    if entry.fault is not None:
        return entry
    entry.placed = True
    entry.newer = entry.kind not in KINDS
    entry.fault = _signature(entry) or _placement(entry) or check_body(entry.kind, entry.till, body)
    if entry.fault is None and (sign := _AMOUNTS.get(entry.kind)):
        entry.amount = sign * body["total"]
        if entry.kind in NUMBERED:
            entry.number = body["number"]
    return entry


def _deep(raw: bytes) -> dict[str, Any]:
    """What the decoder says of JSON that is deeper than usual. Raises ValueError where it is no entry's."""
    depth = deepest = 0
    for bracket in re.findall(rb"[\[{\]}]", _TEXT.sub(b"", raw)):  # counted before anything recurses
        depth += 1 if bracket in b"[{" else -1
        deepest = max(deepest, depth)
    if deepest > MAX_DEPTH:
        raise ValueError("it is too deep")
    body = msgspec.json.decode(raw)
    if type(body) is not dict or not _plain(body):
        raise ValueError("it holds what no entry may hold")
    return body


def _plain(value: object) -> bool:
    """Whether a value consists of whole numbers in range, texts, lists and objects alone."""
    if type(value) is int:
        return -MAX_INTEGER <= value <= MAX_INTEGER
    if type(value) is list:
        return all(map(_plain, value))
    if type(value) is dict:
        return all(map(_plain, value.values()))
    return value is None or type(value) in (bool, str)


def _no_key_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice")
    return found


def _envelope(entry: Entry, body: dict[str, Any]) -> str | None:
    """Fill in what every entry has; returns what is wrong with it."""
    get = body.get
    id, kind, till, run, seq = get("id"), get("kind"), get("till"), get("run"), get("seq")
    prev, at, day, by = get("prev"), get("at"), get("day"), get("by")
    if get("v") != 1 or get("v") is True:
        return "its version is not 1"
    if type(id) is not str or _UUID.fullmatch(id) is None:
        return "its id is no UUID"
    if type(kind) is not str or not 0 < len(kind) <= MAX_TEXT:
        return "it has no kind"
    if type(till) is not str or AUTHOR.fullmatch(till) is None:
        return "its till is no author's id"
    if type(run) is not int or run < 0 or type(seq) is not int or seq < 1:
        return "its run or number is out of range"
    if type(prev) is not str or _PREV.fullmatch(prev) is None:
        return "what it names as the entry before it is no hash"
    if type(at) is not str or not _valid_at(at):
        return "its time is not ISO 8601 with milliseconds and offset"
    if type(day) is not str or not valid_day(day):
        return "its day is no date from 2020 to 2100"
    if type(by) is not str or len(by) > MAX_TEXT:
        return "it does not say by whom"
    entry.id, entry.kind, entry.till, entry.run, entry.seq = id.lower(), kind, till, run, seq
    entry.prev, entry.at, entry.day, entry.by = prev, at, day, by
    return None


def _valid_at(text: str) -> bool:
    if _AT.fullmatch(text) is None:
        return False
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


def valid_day(text: str) -> bool:
    """Whether a text is a date from 2020-01-01 to 2100-12-31, as YYYY-MM-DD."""
    return _DAY.fullmatch(text) is not None and _on_the_calendar(text)


@lru_cache(maxsize=4096)  # of short texts alone: anybody may write 48 KiB where a day belongs
def _on_the_calendar(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def _signature(entry: Entry) -> str | None:
    """Take the signature, which must be the last thing written; returns what is wrong."""
    sig = entry.body.get("sig")
    if sig is None and "sig" not in entry.body:
        return "it must be signed and is not" if entry.kind in SIGNED_KINDS or entry.document == "shop" else None
    start = len(entry.raw) - _SIG_CHARS - len(_SIG) - 2
    if type(sig) is not str or len(sig) != _SIG_CHARS or entry.raw[start : start + len(_SIG)] != _SIG:
        return "its signature is not its last key, 86 letters of base64url"
    try:
        entry.signature = base64.urlsafe_b64decode(sig + "==")
    except ValueError:
        return "its signature is not its last key, 86 letters of base64url"
    if base64.urlsafe_b64encode(entry.signature).rstrip(b"=").decode() != sig:
        entry.signature = None
        return "its signature is not its last key, 86 letters of base64url"
    entry.signed_bytes = DOMAIN + entry.raw[:start]
    return None


def _placement(entry: Entry) -> str | None:
    """Whether the entry lies in the document where it belongs."""
    wanted = KINDS.get(entry.kind)
    if entry.document.startswith("journal/"):
        if entry.document != f"journal/{entry.day}":
            return "it lies in the journal of another day than its own"
        here = "journal"
    else:
        here = "catalog" if entry.document.startswith("catalog/") else entry.document
    if wanted is not None and wanted != here:
        return f"it lies in {entry.document}, where entries of its kind do not belong"
    return None


def verify(public_key: bytes, entry: Entry) -> bool:
    """Whether the entry carries a signature by this key (32 bytes) over what it says."""
    return entry.signature is not None and verify_bytes(public_key, entry.signature, entry.signed_bytes)


def verify_bytes(public_key: bytes, signature: bytes, message: bytes) -> bool:
    """Whether `signature` is this key's (32 bytes) over `message`."""
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def encode(fields: Mapping[str, Any]) -> str:
    """The JSON text of an unsigned entry, keys in the order given. Raises BadEntry when it would not be valid,
    BadRequest when it would be too large."""
    return _checked(_text(fields), _home(fields)).raw.decode()


def sign(fields: Mapping[str, Any], key: Callable[[bytes], bytes]) -> str:
    """As `encode`, with the signature that `key` gives as its last key."""
    return _checked(_signed(fields, key), _home(fields)).raw.decode()


def compose(document: str, fields: Mapping[str, Any], key: Callable[[bytes], bytes] | None) -> Entry:
    """The entry as it will lie in `document`, signed where there is a key. Raises BadEntry if it would not be valid,
    BadRequest if it would be too large."""
    return _checked(_text(fields) if key is None else _signed(fields, key), document)


def _signed(fields: Mapping[str, Any], key: Callable[[bytes], bytes]) -> bytes:
    open_ = _text(fields)[:-1]
    return open_ + _SIG + base64.urlsafe_b64encode(key(DOMAIN + open_)).rstrip(b"=") + b'"}'


def _text(fields: Mapping[str, Any]) -> bytes:
    try:
        return _encode(dict(fields))
    except (TypeError, ValueError, RecursionError, OverflowError) as error:
        raise BadEntry(f"the entry cannot be written: {error}") from error


def _home(fields: Mapping[str, Any]) -> str:
    """The document where an entry belongs by its kind and day."""
    where = sort_of(str(fields.get("kind")))
    return {"journal": f"journal/{fields.get('day')}", "catalog": "catalog/1"}.get(where, where)


def _checked(raw: bytes, document: str) -> Entry:
    if len(raw) > MAX_ELEMENT_BYTES:  # no fault of ours: so many lines with such long texts were asked for
        raise BadRequest.of(
            "body", f"comes to {len(raw)} bytes once written down, of {MAX_ELEMENT_BYTES}: in two, or in fewer words"
        )
    entry = decode(document, raw)
    if entry.fault is not None:
        raise BadEntry(f"the entry was not written: {entry.fault}")
    return entry
