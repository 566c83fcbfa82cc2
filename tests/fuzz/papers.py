"""What opens doors, or is typed or scanned: invitations, durations, signed statements, keys, QR codes of receipts."""

from __future__ import annotations

import hashlib
import json
import zlib
from functools import cache
from random import Random
from urllib.parse import urlsplit

from posline.core.base64url import base64url, from_base64url
from posline.core.entry import decode
from posline.core.members import read_shop, shop_id
from posline.core.numbers import parse_receipt, parse_reference
from posline.core.proof import (
    CODE_CHARS,
    MAX_CODES,
    Part,
    Reference,
    from_base45,
    make_proof,
    open_codes,
    read_code,
    receipt_message,
    to_base45,
)
from posline.errors import BadRequest
from posline.till.invitation import EXPIRES_MAX_S, Invitation, parse_duration
from posline.trust.doors import MemberDoors
from posline.trust.gate import Scope, Stranger
from posline.trust.handshake import Statement, read_statement, state, vouches
from posline.trust.keys import Key
from tests.fuzz.entries import bodies, envelope
from tests.fuzz.mutate import dump, pack, spoil, tree, twist, twist_text, unpack
from tests.fuzz.target import Target, refusing
from tests.kit import Writer, key_of, shop_of

__all__ = ["CODES", "INVITATIONS", "KEYS", "STATEMENTS"]

PIN = "p" * 43


def _twist_bytes(data: bytes, rng: Random) -> bytes:
    if rng.random() < 0.5:
        return spoil(data, rng)
    return twist_text(data.decode("utf-8", "replace"), rng).encode("utf-8", "replace")


# -- invitations -----------------------------------------------------------------------------------


def _invitation_seeds() -> list[bytes]:
    made = [
        Invitation("join", ("10.0.0.1:8701", "[fd00::1]:8701"), "a" * 26, "token", PIN),
        Invitation("attach", ("office.example:8800",), "b" * 26, "t" * 22, PIN),
        Invitation("join", ("127.0.0.1:8701",), "a" * 26, "token"),
    ]
    return [*(str(one).encode() for one in made), b"90s", b"15m", b"2h", b"7d", b"3600", b"A-12-K7QM", b"R-5F0E4D6E6E"]


def _check_invitation(data: bytes) -> str:
    text = data.decode("utf-8", "replace")
    receipt, reference = parse_receipt(text), parse_reference(text)
    assert receipt is None or (0 < receipt[1] < 10**16 and receipt[0].isascii())
    assert reference is None or len(reference) == 11
    try:
        seconds = parse_duration(text)
        assert 0 < seconds <= EXPIRES_MAX_S, f"{seconds} seconds are no time that an invitation may be open"
        return "a duration"
    except BadRequest:
        pass
    for purpose in ("join", "attach"):
        try:
            found = Invitation.parse(text, purpose)
        except BadRequest:
            continue
        assert Invitation.parse(str(found), purpose) == found, "it is another one once written down"
        assert found.of and found.token and (found.pin or all("wss" not in url for url in found.urls))
        for url in found.urls:
            assert urlsplit(url).scheme in ("ws", "wss")
            assert found.sync_url(url).endswith("/sync")
        return f"{purpose} {min(len(found.addresses), 3)}"
    with refusing(BadRequest):
        Invitation.parse(text, "join")
    return "none"


# -- statements ------------------------------------------------------------------------------------


@cache
def _doors() -> tuple[MemberDoors, Writer, Writer, str]:
    """The doors of a shop with two members, a stranger, and the nonce of the connection."""
    writers = [Writer("alif"), Writer("be")]
    shop = shop_of(*writers)
    acts = [entry for writer in writers for entry in writer.entries if entry.document == "shop"]
    authority = read_shop(acts, shop)
    doors = MemberDoors(shop, lambda: writers[0].key, lambda: authority, lambda: acts, lambda token: None)
    return doors, writers[1], Writer("stranger"), shop


def _statements() -> list[tuple[Key, Statement]]:
    doors, member, stranger, shop = _doors()
    at = doors.key().id
    entries = tuple(base64url(act.raw) for act in doors._acts())
    honest = Statement(False, member.id, shop, "nonce", "tls", to=at)
    return [
        (member.key, honest),
        (member.key, Statement(False, member.id, shop, "nonce", "tls", to=at, introduction=entries)),
        (member.key, Statement(True, member.id, shop, "mine", "tls", next="theirs", introduction=entries[:1])),
        (stranger.key, Statement(False, stranger.id, shop, "nonce", "tls", to=at, introduction=entries)),
        (stranger.key, Statement(False, member.id, shop, "nonce", "tls", to=at)),
    ]


@cache
def _signed() -> frozenset[str]:
    """What members signed: header and claims."""
    member = _doors()[1]
    return frozenset(state(key, said).rpartition(".")[0] for key, said in _statements() if key is member.key)


def _statement_seeds() -> list[bytes]:
    return [state(key, said).encode() for key, said in _statements()]


def _mutate_statement(data: bytes, rng: Random) -> bytes:
    """A part of the token spoilt, as JSON mostly; signed again by a stranger now and then."""
    parts = data.split(b".")
    if len(parts) != 3 or rng.random() < 0.2:
        return _twist_bytes(data, rng)
    at = rng.choice((0, 1, 1, 1, 2))
    try:
        raw = from_base64url(parts[at].decode())
        raw = spoil(raw, rng) if at == 2 else dump(twist(tree(raw), rng))
    except (ValueError, RecursionError, UnicodeDecodeError):
        return _twist_bytes(data, rng)
    parts[at] = base64url(raw).encode()
    if rng.random() < 0.3:
        parts[2] = base64url(_doors()[2].key.sign(b".".join(parts[:2]))).encode()
    return b".".join(parts)


def _check_statement(data: bytes) -> str:
    text = data.decode("utf-8", "replace")
    doors, member, _stranger, _ = _doors()
    said = []
    for listener in (False, True):
        found = read_statement(text, listener=listener)
        if found is None:
            continue
        assert found.listener is listener and len(found.author) == 26
        good = vouches(text, member.key.public)
        if good:
            assert text.rpartition(".")[0] in _signed(), "a signature over something else was believed"
        said.append(f"{listener} {good}")
    _, gate = doors.welcome("", introduce=False, tls="tls")
    gate.nonce = "nonce"  # type: ignore[attr-defined]  # the one that the tokens were made for
    grant = gate.admit("shop", text)
    if not isinstance(grant, str):
        assert grant.scope is Scope.REPLICA and text.rpartition(".")[0] in _signed() and gate.peer == member.id
        said.append("admitted")
    try:
        doors.approach(text, "mine", introduce=True, tls="tls")
        assert text.rpartition(".")[0] in _signed()
        said.append("approached")
    except Stranger:
        pass
    return ";".join(said) or f"no {str(grant)[:40]}"


# -- keys ------------------------------------------------------------------------------------------


def _check_key(data: bytes) -> str:
    text = data.decode("utf-8", "replace")
    with refusing(ValueError):
        key = Key.from_code(text)
    assert Key.from_code(key.code()).public == key.public
    return "a key"


# -- the codes on receipts -------------------------------------------------------------------------


@cache
def _proofs() -> tuple[str, list[tuple[str, ...]], frozenset[bytes]]:
    """(the shop, the codes of some sales, their elements)."""
    rng = Random("proofs")
    writer = Writer("alif")
    shop = shop_id(writer.founding())
    raws: list[bytes] = []
    for kind, fields in bodies()[:5]:
        raws.append(json.dumps(envelope(kind, fields, rng, writer), ensure_ascii=False, separators=(",", ":")).encode())
    line = {"sku": "SKU", "quantity": "1", "price": 1}
    for size in (40, 450):
        lines = [line | {"sku": f"SKU {rng.getrandbits(60)}"} for _ in range(size)]
        many = {"number": 7, "label": "A", "lines": lines, "total": size}
        raws.append(json.dumps(envelope("sale", many, rng, writer), separators=(",", ":")).encode())
    codes = [make_proof(raw, shop, writer.key.sign, receipt="A-7-K7QM") for raw in raws]
    return shop, codes, frozenset(raws)


def _code_seeds() -> list[bytes]:
    return [pack([code.encode() for code in codes]) for codes in _proofs()[1]]


def _mutate_codes(data: bytes, rng: Random) -> bytes:
    codes = unpack(data)
    how = rng.randrange(10)
    if not codes:
        return rng.choice(_code_seeds())
    at = rng.randrange(len(codes))
    if how == 0:
        rng.shuffle(codes)
    elif how == 1:
        del codes[at]
    elif how == 2:
        codes += unpack(rng.choice(_code_seeds()))
    elif how == 3:
        codes[at] = codes[at].lower()
    elif how < 8:  # what is in it spoilt, with a check sum that is right
        try:
            part = read_code(codes[at].decode())
            assert isinstance(part, Part)
        except (BadRequest, UnicodeDecodeError, AssertionError):
            codes[at] = _twist_bytes(codes[at], rng)
            return pack(codes)
        number, count = (part.number, part.count) if rng.random() < 0.7 else (rng.randrange(1, 8), rng.randrange(1, 8))
        chunk = rng.choice((spoil(part.chunk, rng), part.chunk, part.chunk[:64] + _bomb(rng)))
        tag = part.tag if rng.random() < 0.5 else hashlib.sha256(chunk).digest()[:4]
        head = f"PL1:{number}{count}"
        body = tag + chunk
        codes[at] = f"{head}{to_base45(body + zlib.crc32(head.encode() + body).to_bytes(4, 'big'))}.".encode()
    else:
        codes[at] = _twist_bytes(codes[at], rng)
    return pack(codes[:8])


def _bomb(rng: Random) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(b"0" * rng.choice((10, 48 * 1024, 48 * 1024 + 1, 200_000))) + packer.flush()


def _check_codes(data: bytes) -> str:
    texts = [part.decode("utf-8", "replace") for part in unpack(data)]
    for text in texts:
        try:
            found = read_code(text)
        except BadRequest:
            continue
        assert len(text) <= 2 * CODE_CHARS
        if isinstance(found, Reference):
            assert parse_receipt(found.receipt) is not None
        else:
            assert 1 <= found.number <= found.count <= MAX_CODES and len(found.tag) == 4
    try:
        raw = from_base45(texts[0]) if texts else b""
        assert to_base45(raw) == texts[0] if texts else True
    except BadRequest:
        pass
    shop, _, elements = _proofs()
    with refusing(BadRequest):
        proof = open_codes(texts)
    assert proof.entry.fault is None and proof.entry.kind in ("sale", "refund", "void")
    assert decode(proof.entry.document, proof.raw).fault is None
    try:
        proof.verify(shop, [key_of("alif").public])
    except BadRequest:
        return "opened, and of no member's"
    assert proof.raw in elements and key_of("alif").sign(receipt_message(proof.raw, shop)) == proof.signature
    return "opened"


INVITATIONS = Target("invitations", _invitation_seeds, _twist_bytes, _check_invitation, 60_000)
STATEMENTS = Target("statements", _statement_seeds, _mutate_statement, _check_statement, 20_000)
KEYS = Target(
    "keys", lambda: [key_of(name).code().encode() for name in ("alif", "be")], _twist_bytes, _check_key, 8_000
)
CODES = Target("codes", _code_seeds, _mutate_codes, _check_codes, 26_000)
