"""Invitations: the links that people pass on, and the tokens in them while they are open.

    posline://HOST:PORT/join?shop=ID&pin=FINGERPRINT#TOKEN         a till asks a member to be admitted
    posline://HOST:PORT/attach?store=ID&pin=FINGERPRINT#TOKEN      a shop asks a head office to take it

`pin` is the fingerprint of the certificate under which that address answers; without one the address is on this
machine and speaks without TLS. `at=HOST:PORT`, as often as need be, names further addresses of the same device. The
token stands behind `#`, so that a link pasted into a browser does not send it anywhere. Only hashes of tokens are kept.
Knows nothing of what an invitation leads to.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import parse_qs, urlencode, urlsplit

from posline.errors import BadRequest, PoslineError
from posline.sync.places import is_loopback
from posline.trust.gate import token_hash

__all__ = ["TOKEN_BYTES", "Invitation", "InvitationRefused", "Invitations", "parse_duration"]

TOKEN_BYTES = 16  # 128 bits: beyond guessing, and still short enough for a QR code
TRIES_MAX = 10  # wrong tokens before every open invitation ends
ADDRESSES_MAX = 8  # further ones in a link
OPEN_MAX = 100  # invitations open at a time
EXPIRES_DEFAULT_S = 15 * 60
EXPIRES_MAX_S = 7 * 86400
_PIN = re.compile(r"[A-Za-z0-9_-]{43}")


class InvitationRefused(PoslineError):
    """The token opens nothing (any more)."""

    status = 403
    title = "The invitation is not open"


@dataclass(frozen=True, slots=True)
class Invitation:
    """A link. `purpose` is 'join' or 'attach'; `of` the shop's or the head office's id; `pin` the fingerprint of the
    certificate, "" without TLS."""

    purpose: str
    addresses: tuple[str, ...]
    of: str
    token: str
    pin: str = ""

    def __str__(self) -> str:
        first, *others = self.addresses
        query = [("shop" if self.purpose == "join" else "store", self.of)]
        query += [("pin", self.pin)] if self.pin else []
        query += [("at", address) for address in others]
        return f"posline://{first}/{self.purpose}?{urlencode(query, safe='[]:')}#{self.token}"

    @property
    def urls(self) -> list[str]:
        """Where the invitation is taken up, the best first."""
        return [f"{self._scheme}://{address}/{self.purpose}" for address in self.addresses]

    def sync_url(self, asked: str) -> str:
        """Where the inviter that was `asked` at one of `urls` is dialled afterwards; a head office has the shop's id
        behind it."""
        return asked.removesuffix(f"/{self.purpose}") + "/sync"

    @property
    def _scheme(self) -> str:
        return "wss" if self.pin else "ws"

    @classmethod
    def parse(cls, text: str, purpose: str) -> Invitation:
        """Read a link. Raises BadRequest, with what the link looks like where it is for something else."""
        try:
            parts = urlsplit(text.strip())
            query = parse_qs(parts.query)
            found, of = parts.path.strip("/"), query.get("shop", query.get("store", [""]))[0]
            sound = parts.scheme == "posline" and parts.hostname and parts.port and of and parts.fragment
        except ValueError:
            sound, found = None, ""
        if not sound:
            raise BadRequest.of(
                "link", f"is not a link of Posline: it begins with posline:// and ends with #{'x' * 6}..."
            )
        if found != purpose:
            other = "posline join" if found == "join" else "posline attach"
            raise BadRequest.of("link", f"is one for '{other}'")
        pin, addresses = query.get("pin", [""])[0], (parts.netloc, *query.get("at", [])[:ADDRESSES_MAX])
        if not all(map(_dialable, addresses)):
            raise BadRequest.of("link", "names an address that is none: ask for a whole one")
        if not pin and not all(is_loopback(address) for address in addresses):
            raise BadRequest.of("link", "names no certificate, so anybody could answer there: ask for a whole one")
        if pin and not _PIN.fullmatch(pin):
            raise BadRequest.of("link", "is not whole: the certificate's fingerprint in it is cut off")
        return cls(purpose, addresses, of, parts.fragment, pin)


def _dialable(address: str) -> bool:
    """Whether it is a host and a port, and nothing else."""
    try:
        parts = urlsplit(f"//{address}")
        return bool(parts.hostname and parts.port) and parts.netloc == address and "@" not in address
    except ValueError:
        return False


@dataclass(slots=True)
class _Open:
    ends_s: float
    note: str
    taken_by: str | None = None  # once used, by whom: the same one may ask again when the answer was lost


class Invitations:
    """The open invitations of a running till or relay. They end with the process: an invitation is for now."""

    def __init__(self, monotonic_s: Callable[[], float]) -> None:
        self._now = monotonic_s
        self._open: dict[str, _Open] = {}
        self._wrong = 0

    def add(self, *, expires_s: float = EXPIRES_DEFAULT_S, note: str = "") -> str:
        """A fresh one-time token. `note` comes back from `take`."""
        self._drop_expired()
        if len(self._open) >= OPEN_MAX:
            raise InvitationRefused(f"{OPEN_MAX} invitations are open: wait until some have expired")
        token = secrets.token_urlsafe(TOKEN_BYTES)
        self._open[token_hash(token)] = _Open(self._now() + expires_s, note)
        return token

    def hold(self, hash: str, *, expires_s: float, note: str = "") -> None:
        """Take over an invitation that another process made, known by its token's hash."""
        if 0 < expires_s <= EXPIRES_MAX_S and len(self._open) < OPEN_MAX:
            self._open.setdefault(hash, _Open(self._now() + expires_s, note))

    def take(self, token: str, by: str) -> str:
        """Use the token for `by`, and return its note. Raises InvitationRefused."""
        self._drop_expired()
        found = self._open.get(token_hash(token))
        if found is None:
            self._wrong += 1
            if self._wrong >= TRIES_MAX:
                self._open.clear()
                self._wrong = 0
            raise InvitationRefused("the invitation has expired or is not from here: ask for a new one")
        if found.taken_by not in (None, by):
            raise InvitationRefused("the invitation was used already: ask for a new one")
        found.taken_by = by
        return found.note

    def _drop_expired(self) -> None:
        now = self._now()
        self._open = {hash: held for hash, held in self._open.items() if held.ends_s > now}


def parse_duration(text: str) -> float:
    """`90s`, `15m`, `2h`, `1d` or plain seconds, in seconds. Raises BadRequest."""
    units = {"s": 1, "m": 60, "h": 3600, "d": 86400}
    number, unit = (text[:-1], units[text[-1]]) if text[-1:] in units else (text, 1)
    if not (number.isascii() and number.isdecimal() and len(number) < 10 and 0 < int(number) * unit <= EXPIRES_MAX_S):
        raise BadRequest.of("expires", f"{text!r} is no time such as 90s, 15m or 2h (at most 7d)")
    return float(int(number) * unit)
