"""How two devices prove to each other who they are: one signed statement each way, good for one connection.

    dialler   -> upgrade request with a nonce
    listener  -> upgrade response with its proof: it signs the dialler's nonce, a nonce of its own, the shop and the
                 fingerprint of the certificate that this connection runs under
    dialler   -> its token: it signs the listener's nonce, the listener, the shop and the same fingerprint

So neither can be replayed, nor used at another listener or in another shop, nor passed on by somebody in between, whose
certificate is another. Nothing here has a date: a till that boots in 1970 must connect to learn the time. The
statements are JSON Web Tokens (RFC 7519) signed with EdDSA by PyJWT. Pure: knows no socket and no membership.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from posline.core.numbers import AUTHOR
from posline.trust.keys import Key

__all__ = ["NONCE_BYTES", "Statement", "read_statement", "state", "vouches"]

NONCE_BYTES = 24
DIALLER, LISTENER = "posline-dialler+jwt", "posline-listener+jwt"
STATEMENT_CHARS_MAX = 131_072
INTRODUCTION_MAX = 32  # entries: who admitted whom, from somebody the other side knows, and changes of key
INTRODUCTION_CHARS_MAX = 60_000  # of them in base64url; in the statement they are a third more


@dataclass(frozen=True, slots=True)
class Statement:
    """What a device says of itself. `to` is the listener that a dialler means; `next` the nonce that a listener wants
    signed; `introduction` the entries (as their bytes in base64url) that say who admitted it."""

    listener: bool
    author: str
    shop: str
    nonce: str
    tls: str
    to: str = ""
    next: str = ""
    introduction: tuple[str, ...] = ()


def state(key: Key, statement: Statement) -> str:
    """The signed statement."""
    claims: dict[str, Any] = {
        "iss": statement.author, "shop": statement.shop, "nonce": statement.nonce, "tls": statement.tls,
    }  # fmt: skip
    if statement.listener:
        claims["next"] = statement.next
    else:
        claims["aud"] = statement.to
    if statement.introduction:
        claims["intro"] = list(statement.introduction)
    headers = {"typ": LISTENER if statement.listener else DIALLER}
    return jwt.encode(claims, key.private, algorithm="EdDSA", headers=headers)


def read_statement(text: str, *, listener: bool) -> Statement | None:
    """What an unproven statement says; None when it is none. Its signature is `vouches`' business."""
    if len(text) > STATEMENT_CHARS_MAX or text.count(".") != 2:
        return None
    try:
        if jwt.get_unverified_header(text).get("typ") != (LISTENER if listener else DIALLER):
            return None
        claims = jwt.decode(text, options={"verify_signature": False})
    except (jwt.PyJWTError, ValueError, RecursionError):
        return None
    introduction = claims.get("intro", [])
    texts = [claims.get(name, "") for name in ("iss", "shop", "nonce", "tls", "aud", "next")]
    if not all(isinstance(each, str) for each in texts) or not AUTHOR.fullmatch(texts[0]):
        return None
    if not _texts(introduction) or len(introduction) > INTRODUCTION_MAX:
        return None
    author, shop, nonce, tls, to, following = texts
    return Statement(listener, author, shop, nonce, tls, to, following, tuple(introduction))


def vouches(text: str, public_key: bytes) -> bool:
    """Whether the statement was signed with this key (32 bytes)."""
    try:
        jwt.decode(
            text,
            Ed25519PublicKey.from_public_bytes(public_key),
            algorithms=["EdDSA"],
            # the audience is ours to compare, and no statement has a date
            options={"verify_aud": False, "verify_exp": False, "verify_nbf": False, "verify_iat": False},
        )
    except (jwt.PyJWTError, ValueError):
        return False
    return True


def _texts(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str) and all(isinstance(each, str) for each in value)
