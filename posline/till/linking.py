"""A till's links: whom it dials, where it listens, and who is admitted there.

Until links prove keys to each other, what opens a shop is its token, and a till listens on this machine alone. Who may
link is decided behind `posline.trust.gate.Gate`; how a link works is `posline.sync`.
"""

from __future__ import annotations

import hmac
import logging
from hashlib import sha256
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.routing import Route

from posline.errors import BadRequest
from posline.sync.accept import WebSocketProtocol
from posline.till.admitting import Admitting
from posline.till.listener import Listener
from posline.till.problems import exception_handlers
from posline.trust.gate import Gate, Grant, Scope, TokenGate, token_hash

if TYPE_CHECKING:
    from posline.till.till import Till

__all__ = ["RELAY_SETTING", "Links", "relay_token", "sync_url"]

log = logging.getLogger("posline.till")

RELAY_SETTING = "relay"  # the shared setting that names the head office: {url, store}


def sync_url(text: str) -> str:
    """The websocket address that `text` means: `host:port`, `http://...` or `ws://...`; `/sync` where no path is given.

    Raises BadRequest.
    """
    try:
        parts = urlsplit(text if "://" in text else f"ws://{text}")
        scheme = {"ws": "ws", "http": "ws", "wss": "wss", "https": "wss"}[parts.scheme]
        if not parts.hostname or (parts.port is None and ":" in parts.netloc.rpartition("]")[2]):
            raise ValueError
    except (KeyError, ValueError) as error:
        raise BadRequest.of("peer", f"{text[:100]!r} is no address such as ws://192.168.1.20:8701") from error
    path = parts.path if parts.path not in ("", "/") else "/sync"
    return f"{scheme}://{parts.netloc}{path}"


def relay_token(shop_token: str, store: str) -> str:
    """What the shop's tills present to the head office `store`. Every till can work it out from the shop's own token,
    so that no document has to carry a secret, and no head office learns the shop's own token or another's."""
    return hmac.new(shop_token.encode(), f"posline head office {store}".encode(), sha256).hexdigest()


class MemberGate:
    """Lets in the shop's own tills, and programs with a token that was handed out (see Gate)."""

    def __init__(self, till: Till) -> None:
        self._till = till

    def admit(self, document: str, token: str) -> Grant | str:
        """See Gate."""
        settings = self._till.settings
        if hmac.compare_digest(token.encode("utf-8", "surrogatepass"), settings.token.encode()):
            return Grant(Scope.REPLICA)
        found = settings.tokens.get(token_hash(token))
        return found.grant if found is not None else "this token does not open the shop: ask for one with 'token add'"

    def token(self) -> str:
        """See Gate."""
        return self._till.settings.token


class Links:
    """The links of one till."""

    def __init__(self, till: Till) -> None:
        self._till = till
        self._gate = MemberGate(till)
        self._listeners: list[Listener] = []
        self._dialled: set[str] = set()

    @property
    def gate(self) -> Gate:
        """Who may link to this till."""
        return self._gate

    @property
    def address(self) -> Listener | None:
        """Where this till listens first; None when nowhere."""
        return self._listeners[0] if self._listeners else None

    async def listen(self, host: str, port: int) -> str:
        """See `Till.listen`."""
        engine, till = self._till.engine, self._till

        def find(shop: str | None) -> Any:
            return (till.replica, self._gate) if shop in (None, till.shop_id, till.shop) else None

        routes = [*engine.routes(find), Route("/join", Admitting(till).join, methods=["POST"])]
        app = Starlette(routes=routes, exception_handlers=exception_handlers())
        listener = Listener(app, host=host, port=port, websocket=WebSocketProtocol)
        await listener.start()
        self._listeners.append(listener)
        self._hold_invitations()
        return f"{listener.sync_url}/sync"

    def dial(self, url: str) -> None:
        """Keep a link to `url`; see `Till.connect`."""
        self._dial(sync_url(url), self._gate)

    def dial_known(self) -> None:
        """Dial whom the settings name: tills learnt at joining, and the shop's head office."""
        for url in self._till.settings.peers:
            self._dial(sync_url(url), self._gate)
        relay = self._till.reports.setting(RELAY_SETTING)
        if isinstance(relay, dict) and isinstance(relay.get("url"), str) and isinstance(relay.get("store"), str):
            token = relay_token(self._till.settings.token, relay["store"])
            try:
                self._dial(sync_url(relay["url"]), TokenGate(token))
            except BadRequest:
                log.warning("the shop's setting names a head office at %r, which is no address", relay["url"])

    def peers(self) -> list[dict[str, Any]]:
        """The devices that this till has or had a link with, and the addresses that it dials in vain."""
        return [
            {
                "name": peer.name,
                "kind": peer.kind,
                "connected": peer.connected,
                "last_seen": peer.last_seen,
                "behind": peer.behind,
                "url": peer.url,
            }
            for peer in self._till.engine.peers(self._till.shop_id)
        ]

    def invite(self, expires_s: float) -> str:
        """The one-time token of a new invitation; where nobody listens yet, it waits in the settings for a start."""
        token = self._till.invitations.add(expires_s=expires_s)
        if not self._listeners:
            settings = self._till.settings
            settings.invitations[token_hash(token)] = self._till.clockwork.wall_ms() + int(expires_s * 1000)
            settings.save(self._till.folder)
        return token

    def _hold_invitations(self) -> None:
        """Take up the invitations that were made while nobody listened."""
        settings, now_ms = self._till.settings, self._till.clockwork.wall_ms()
        if not settings.invitations:
            return
        for hash, ends_ms in settings.invitations.items():
            self._till.invitations.hold(hash, expires_s=(ends_ms - now_ms) / 1000)
        settings.invitations = {}
        settings.save(self._till.folder)

    def addresses(self) -> list[tuple[str, int]]:
        """(host, port) of each listener."""
        return [(listener.host, listener.port) for listener in self._listeners]

    def remember_port(self) -> None:
        """Keep the sync port, for invitations that are made while the till is not running."""
        if self._listeners and self._till.settings.sync_port != self._listeners[0].port:
            self._till.settings.sync_port = self._listeners[0].port
            self._till.settings.save(self._till.folder)

    def refuse(self) -> None:
        """Accept no more links; those that are up end with the engine."""
        for listener in self._listeners:
            listener.refuse()

    async def stop(self) -> None:
        """Stop listening."""
        for listener in self._listeners:
            await listener.stop()
        self._listeners.clear()

    def _dial(self, url: str, gate: Gate) -> None:
        own = {f"{listener.sync_url}/sync" for listener in self._listeners}
        if url not in self._dialled and url not in own:
            self._dialled.add(url)
            self._till.engine.dial(self._till.shop_id, url, gate)
