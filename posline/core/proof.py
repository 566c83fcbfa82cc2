"""The QR code on a receipt that carries the signed sale: enough to bring the sale back after its till is lost.

A proof is the element's exact bytes and its author's Ed25519 signature over `posline-receipt-v1`, a zero byte, the
shop's id and the SHA-256 of those bytes. It is compressed with a dictionary known to both sides, written in base45 (RFC
9285: QR codes pack those letters best) and cut into as many codes as it needs:

    PL1: number count base45(tag chunk check) .      e.g. PL1:12...  for the first of two

`tag` is the first 4 bytes of SHA-256 over the whole, the same in all its parts; `check` the CRC-32 of what stands
before it. The full stop keeps a last blank from being trimmed. What is too large for six codes gets one that only
names it: PLR1:id:receipt:total.

Reading is exact and bounded, and fails with BadRequest alone. Pure: signing comes from outside, and so do the keys
that are believed.
"""

from __future__ import annotations

import hashlib
import re
import uuid
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from posline.core.entry import Entry, decode, verify_bytes
from posline.core.numbers import parse_receipt
from posline.core.update import MAX_ELEMENT_BYTES
from posline.errors import BadRequest

__all__ = [
    "CODE_CHARS",
    "MAX_CODES",
    "Part",
    "Proof",
    "Reference",
    "Scan",
    "from_base45",
    "make_proof",
    "open_codes",
    "read_code",
    "receipt_message",
    "to_base45",
]

DOMAIN = b"posline-receipt-v1\0"  # so that this signature can never pass for one of an entry or a link
CODE_CHARS = 600  # of one code: version 15 at level M, 4 cm square on paper, read by any phone
MAX_CODES = 6
_OVERHEAD = 8  # bytes of tag and check
_SIGNATURE = 64
_LETTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:"
_VALUES = {letter: value for value, letter in enumerate(_LETTERS)}
_PART = re.compile(r"PL1:([1-6])([1-6])([0-9A-Z $%*+\-./:]+)\.")
_REFERENCE = re.compile(r"PLR1:([0-9A-F]{32}):([0-9A-Z]{1,6}-[0-9]{1,16}-[0-9A-Z]{4}):(-?[0-9]{1,16})")
_HEAD = "PL1:"

# What sales have in common, the most frequent last. It belongs to PL1 for good: another one is PL2.
_DICTIONARY = (
    b'","note":"","approved":{"by":"","reason":"","filing":{"adapter":"fbr_ims","filer":"pra_eims","fbr_di"'
    b',"hold":"","phone":"03","customer":"","restock":false,"reason":"","of":"","sale":"'
    b'"kind":"easypaisa","kind":"jazzcash","kind":"raast","kind":"store_credit","kind":"account","reference":"'
    b'"kind":"card","amount":"kind":"refund","tax_by":"receipt","mode":"printed","mrp":"mode":"exclusive"'
    b',"class":"standard","class":"reduced","class":"exempt","class":"third_schedule","rate":"17","rate":"5","rate":"16"'
    b'{"v":1,"id":"-4","kind":"sale","till":"","run":,"seq":,"prev":"","at":"2027-01-T1:2026-12-T0:2028-'
    b'.000+05:00","day":"2026-2027-2028-","by":"","clock":"unconfirmed","number":,"label":"A","lines":[{"sku":"'
    b'","quantity":"0.","name":"","quantity":"2","price":,"rate":"18","tax":,"discount":'
    b'}],"total":,"tenders":[{"kind":"cash","amount":000}],"change":,"rounding":-'
    b',"tax":"}],"total":},{"sku":"000","quantity":"1","price":99,"discount":0},{"sku":"","quantity":"1","price":'
)


@dataclass(frozen=True, slots=True)
class Part:
    """One code that was read: `number` of `count`, and `tag`, which all parts of one sale share."""

    number: int
    count: int
    tag: bytes
    chunk: bytes


@dataclass(frozen=True, slots=True)
class Reference:
    """A code that names a sale and does not carry it. `total` is in minor units."""

    id: str
    receipt: str
    total: int


@dataclass(frozen=True, slots=True)
class Proof:
    """A sale's element and a signature over it, which nothing vouches for until `verify` was asked."""

    raw: bytes
    signature: bytes
    entry: Entry

    def verify(self, shop: str, keys: Iterable[bytes]) -> Entry:
        """The entry, if one of these keys (32 bytes each: all that its author ever had) signed it for this shop. Raises
        BadRequest."""
        message = receipt_message(self.raw, shop)
        if any(verify_bytes(key, self.signature, message) for key in keys):
            return self.entry
        raise _wrong(f"it is not signed by till {self.entry.till}: this is no receipt of that till, or it was altered")


class Scan:
    """Codes of one sale, scanned in any order."""

    def __init__(self) -> None:
        self._parts: dict[int, Part] = {}

    @property
    def missing(self) -> tuple[int, ...]:
        """The numbers of the parts still to be scanned; nothing before the first."""
        count = next((part.count for part in self._parts.values()), 0)
        return tuple(number for number in range(1, count + 1) if number not in self._parts)

    def add(self, code: str) -> Proof | None:
        """Take a code; the proof once all are there. One that was scanned already changes nothing. Raises BadRequest,
        and then keeps what it had."""
        part = read_code(code)
        if isinstance(part, Reference):
            raise _wrong(f"this code only names the sale {part.receipt}: it was too large to be carried whole")
        for other in self._parts.values():
            if (part.tag, part.count) != (other.tag, other.count):
                raise _wrong("it belongs to another sale than the code before it: scan all the codes of one receipt")
        self._parts[part.number] = part
        if self.missing:
            return None
        return _joined([self._parts[number] for number in range(1, part.count + 1)])


def receipt_message(raw: bytes, shop: str) -> bytes:
    """What an author signs for the receipt of the element `raw` of the shop with this id."""
    return DOMAIN + shop.encode() + hashlib.sha256(raw).digest()


def make_proof(raw: bytes, shop: str, sign: Callable[[bytes], bytes], *, receipt: str = "") -> tuple[str, ...]:
    """The codes for the receipt of the element `raw` of a shop, signed by its author; a single one that only names it
    where six would not do. Raises BadRequest where `raw` is no sale, refund or void."""
    entry = _read(raw)
    packer = zlib.compressobj(9, zlib.DEFLATED, -15, 9, zlib.Z_DEFAULT_STRATEGY, _DICTIONARY)
    blob = sign(receipt_message(raw, shop)) + packer.compress(raw) + packer.flush()
    room = (CODE_CHARS - len(_HEAD) - 3) * 2 // 3 - _OVERHEAD
    count = -(-len(blob) // room)
    if count > MAX_CODES:
        return (_reference(entry, receipt),)
    tag = hashlib.sha256(blob).digest()[:4]
    share = -(-len(blob) // count)
    return tuple(
        _code(number + 1, count, tag + blob[number * share : (number + 1) * share]) for number in range(count)
    )


def open_codes(codes: Iterable[str]) -> Proof:
    """The proof in all the codes of one receipt. Raises BadRequest, where some are missing too."""
    scan, proof = Scan(), None
    for code in codes:
        proof = scan.add(code) or proof
    if proof is None:
        left = ", ".join(map(str, scan.missing)) or "all"
        raise _wrong(f"codes are missing: {left}")
    return proof


def read_code(code: str) -> Part | Reference:
    """What one code says. Small letters pass for capitals, since a scanner types them while Caps Lock is on. Raises
    BadRequest."""
    if len(code) > 2 * CODE_CHARS or not code.isascii():
        raise _wrong("it is none of Posline's")
    text = code.strip("\r\n\t ").upper()
    named = _REFERENCE.fullmatch(text)
    if named is not None and parse_receipt(named[2]) is not None:
        return Reference(str(uuid.UUID(named[1])), named[2], int(named[3]))
    match = _PART.fullmatch(text)
    if match is None:
        if text.startswith(("PL1:", "PLR1:")):
            raise _wrong("it is damaged or cut off: scan it again")
        if re.match(r"PLR?[0-9]+:", text):
            raise _wrong("it is from a newer version: update Posline")
        raise _wrong("it is none of Posline's receipts'")
    number, count = int(match[1]), int(match[2])
    if number > count or len(text) > CODE_CHARS:
        raise _wrong("it is damaged: scan it again")
    whole = from_base45(match[3])
    body, check = whole[:-4], whole[-4:]
    if len(whole) <= _OVERHEAD or zlib.crc32(text[: len(_HEAD) + 2].encode() + body) != int.from_bytes(check, "big"):
        raise _wrong("it is damaged: scan it again")
    return Part(number, count, body[:4], body[4:])


def to_base45(raw: bytes) -> str:
    """Bytes in base45 (RFC 9285)."""
    letters = []
    for i in range(0, len(raw) - 1, 2):
        value = raw[i] << 8 | raw[i + 1]
        letters += [_LETTERS[value % 45], _LETTERS[value // 45 % 45], _LETTERS[value // 2025]]
    if len(raw) % 2:
        letters += [_LETTERS[raw[-1] % 45], _LETTERS[raw[-1] // 45]]
    return "".join(letters)


def from_base45(text: str) -> bytes:
    """The bytes of a base45 text. Raises BadRequest unless it is exactly one."""
    try:
        values = [_VALUES[letter] for letter in text]
    except KeyError as error:
        raise _wrong("it is no base45") from error
    out = bytearray()
    for i in range(0, len(values) - 2, 3):
        value = values[i] + 45 * values[i + 1] + 2025 * values[i + 2]
        if value > 0xFFFF:
            raise _wrong("it is damaged: scan it again")
        out += value.to_bytes(2, "big")
    rest = values[len(values) - len(values) % 3 :]
    if len(rest) == 1 or (len(rest) == 2 and rest[0] + 45 * rest[1] > 0xFF):
        raise _wrong("it is damaged: scan it again")
    if rest:
        out.append(rest[0] + 45 * rest[1])
    return bytes(out)


def _wrong(detail: str) -> BadRequest:
    return BadRequest.of("code", detail)


def _code(number: int, count: int, body: bytes) -> str:
    head = f"{_HEAD}{number}{count}"
    check = zlib.crc32(head.encode() + body).to_bytes(4, "big")
    return f"{head}{to_base45(body + check)}."


def _reference(entry: Entry, receipt: str) -> str:
    if parse_receipt(receipt) is None:
        raise BadRequest.of("receipt", "a sale of this size is named by its receipt's number")
    total = entry.body.get("total")
    return f"PLR1:{uuid.UUID(entry.id).hex.upper()}:{receipt}:{total if type(total) is int else 0}"


def _joined(parts: Iterable[Part]) -> Proof:
    found = list(parts)
    blob = b"".join(part.chunk for part in found)
    if hashlib.sha256(blob).digest()[:4] != found[0].tag or len(blob) <= _SIGNATURE:
        raise _wrong("its parts do not make a whole: scan all the codes of one receipt again")
    opener = zlib.decompressobj(-15, zdict=_DICTIONARY)
    try:
        raw = opener.decompress(blob[_SIGNATURE:], MAX_ELEMENT_BYTES + 1)  # never more, whatever it would unpack to
    except zlib.error as error:
        raise _wrong("what it carries cannot be unpacked") from error
    if len(raw) > MAX_ELEMENT_BYTES:
        raise _wrong(f"what it carries has more than {MAX_ELEMENT_BYTES} bytes")
    if not opener.eof or opener.unused_data:
        raise _wrong("what it carries cannot be unpacked")
    return Proof(raw, blob[:_SIGNATURE], _read(raw))


def _read(raw: bytes) -> Entry:
    """The entry that an element is, in the journal where it belongs. Raises BadRequest."""
    entry = decode("journal/", raw)  # that is no day's: only to learn the day
    if entry.day:
        entry = decode(f"journal/{entry.day}", raw)
    if entry.fault is not None:
        raise _wrong(f"what it carries is no valid sale: {entry.fault}")
    if entry.kind not in ("sale", "refund", "void"):
        raise _wrong(f"what it carries is no sale but '{entry.kind[:40]}'")
    return entry
