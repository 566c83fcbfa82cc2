"""A till's links: whom it dials, where it listens, and who is admitted there.

It dials every member of the shop that it knows an address of, the shop's head office, and what it was told to. Who may
link is decided behind `posline.trust.doors`; how a link works is `posline.sync`.
"""

from __future__ import annotations

import functools
import logging
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.routing import WebSocketRoute

from posline.core.members import Role
from posline.errors import BadRequest
from posline.sync.accept import WebSocketProtocol
from posline.sync.discovery import Discovery, local_addresses
from posline.sync.places import is_loopback, read_address
from posline.till.admitting import Admitting
from posline.till.asking import answering
from posline.till.listener import Listener
from posline.till.problems import exception_handlers
from posline.till.salvaging import PLACES
from posline.trust.certificate import Certificate, own_certificate
from posline.trust.doors import MemberDoors
from posline.trust.gate import Grant, token_hash

if TYPE_CHECKING:
    from posline.till.till import Till

__all__ = ["RELAY_SETTING", "Links", "sync_url"]

log = logging.getLogger("posline.till")

RELAY_SETTING = "relay"  # the shared setting that names the head office: {url, store}


def sync_url(text: str) -> str:
    """The websocket address that `text` means: `host:port`, `https://...` or `wss://...`; `/sync` where no path is
    given. Without TLS it may only lead to this machine. Raises BadRequest.
    """
    try:
        parts = urlsplit(text if "://" in text else f"wss://{text}")
        scheme = {"ws": "ws", "http": "ws", "wss": "wss", "https": "wss"}[parts.scheme]
        if not parts.hostname or (parts.port is None and ":" in parts.netloc.rpartition("]")[2]):
            raise ValueError
    except (KeyError, ValueError) as error:
        raise BadRequest.of("peer", f"{text[:100]!r} is no address such as 192.168.1.20:8701") from error
    if scheme == "ws" and not is_loopback(f"{parts.hostname}:0"):
        raise BadRequest.of("peer", f"{text[:100]!r} is without TLS, which is for this machine only: write wss://")
    path = parts.path if parts.path not in ("", "/") else "/sync"
    return f"{scheme}://{parts.netloc}{path}"


class Links:
    """The links of one till."""

    def __init__(self, till: Till) -> None:
        self._till = till
        self.doors = MemberDoors(
            till.shop_id,
            key=lambda: till.key,
            authority=lambda: till.store.authority(till.shop_id),
            acts=lambda: till.store.acts(till.shop_id),
            programs=self._program,
            refused=till.watch.refused,
        )
        self._listeners: list[Listener] = []
        self._discovery: Discovery | None = None
        self._relay: str | None = None  # the head office's address that is dialled

    def _program(self, token: str) -> Grant | None:
        found = self._till.settings.tokens.get(token_hash(token))
        return None if found is None else found.grant

    # -- being reached -------------------------------------------------------------------------------------------------

    @property
    def listening(self) -> bool:
        """Whether anybody can connect."""
        return bool(self._listeners)

    @property
    def looking(self) -> bool:
        """Whether the local network is asked for other tills."""
        return self._discovery is not None

    def addresses(self) -> list[str]:
        """Where others reach this till, as "host:port", best first; also while it does not run, as far as that can be
        told."""
        settings = self._till.settings
        if settings.address:
            return [settings.address]
        found: list[str] = []
        for host, port in self.bound() or [("", settings.sync_port)]:
            hosts = [host] if host else local_addresses()
            found += [f"[{each}]:{port}" if ":" in each else f"{each}:{port}" for each in hosts]
        return found

    def bound(self) -> list[tuple[str, int]]:
        """(host, port) of each listener; the host "" is every address of this machine."""
        return [(listener.host, listener.port) for listener in self._listeners]

    def certificate(self) -> Certificate:
        """This till's certificate, for the addresses that it has now."""
        hosts = {urlsplit(f"//{address}").hostname or "" for address in self.addresses()} | set(local_addresses())
        return own_certificate(self._till.folder.path, self._till.id, sorted(hosts))

    async def listen(self, host: str, port: int) -> str:
        """See `Till.listen`."""
        engine, till = self._till.engine, self._till
        tls = self.certificate().tls

        def find(shop: str | None) -> Any:
            return (till.whole, self.doors) if shop in (None, till.shop_id, till.shop) else None

        routes = [
            *engine.routes(find, tls=tls.fingerprint),
            WebSocketRoute("/join", answering(Admitting(till).join)),
        ]
        app = Starlette(routes=routes, exception_handlers=exception_handlers())
        listener = Listener(app, host=host, port=port, websocket=WebSocketProtocol, tls=tls)
        await listener.start()
        self._listeners.append(listener)
        self._hold_invitations()
        self.moved()
        till.requests.look()
        return f"wss://{self.addresses()[0]}/sync"

    def moved(self) -> None:
        """The addresses of this till may be others now."""
        hub = self._till.engine.hub
        if self._listeners and hub.addresses != tuple(self.addresses()):
            hub.addresses = tuple(self.addresses())
            hub.moved()

    async def discover(self) -> None:
        """Tell the local network where this till is, and look for the shop's others there, until `stop`."""
        till, engine = self._till, self._till.engine
        if self._discovery is not None or not self._listeners:
            return

        def found(author: str, addresses: list[str]) -> None:
            here = bool(addresses) and all(is_loopback(address) for address in addresses)
            engine.hub.hinted(till.shop_id, author, addresses, here=here)

        self._discovery = Discovery(
            till.shop_id, till.id, self._port(), addresses=self._hosts, on_found=found
        )
        await self._discovery.start()

    def _hosts(self) -> list[str]:
        return [urlsplit(f"//{address}").hostname or "" for address in self.addresses()]

    def _port(self) -> int:
        return urlsplit(f"//{self.addresses()[0]}").port or 0

    # -- dialling ------------------------------------------------------------------------------------------------------

    def dial(self, url: str) -> None:
        """Keep a link to `url`; see `Till.connect`."""
        self._till.engine.dial(self._till.shop_id, sync_url(url), self.doors)

    def dial_known(self) -> None:
        """Dial every member whose address is known, and the shop's head office; those who are no members no more."""
        till, engine = self._till, self._till.engine
        members, places = till.store.members(till.shop_id), engine.hub.places(till.shop_id)
        for author in places.authors():
            if author not in members or members[author].role not in (Role.MANAGER, Role.TILL):
                engine.undial(author, shop=till.shop_id)
            elif author != till.id:
                engine.dial_member(
                    till.shop_id, author, functools.partial(self._urls, author), self.doors,
                    functools.partial(self._tried, author),
                )  # fmt: skip
        self._dial_relay()

    def _urls(self, author: str) -> list[str]:
        return [f"wss://{address}/sync" for address in self._till.engine.hub.places(self._till.shop_id).of(author)]

    def _tried(self, author: str, url: str, worked: bool) -> None:
        places, address = self._till.engine.hub.places(self._till.shop_id), urlsplit(url).netloc
        places.worked(author, address) if worked else places.failed(author, address)
        self._remember_places()

    def places_changed(self, shop: str) -> None:
        """It became known where a member listens."""
        self._remember_places()
        self._till.watch.anchor()
        self.dial_known()

    def _remember_places(self) -> None:
        self._till.store.set_meta(PLACES, self._till.engine.hub.places(self._till.shop_id).to_json())

    def _dial_relay(self) -> None:
        till = self._till
        relay = till.reports.setting(RELAY_SETTING)
        if not isinstance(relay, dict) or not isinstance(relay.get("url"), str):
            return
        store = str(relay.get("store"))
        try:
            url = sync_url(relay["url"])
        except BadRequest:
            log.warning("the shop's setting names a head office at %r, which is no address", relay["url"])
            return
        standing = store in till.store.members(till.shop_id)
        if self._relay is not None and (self._relay != url or not standing):
            till.engine.undial(self._relay, shop=till.shop_id)
            self._relay = None
        if standing and self._relay is None:
            self._relay = url
            till.engine.dial(till.shop_id, url, self.doors, expects=store)

    def known_addresses(self) -> dict[str, list[str]]:
        """Where each member listens, this till too, for one that joins."""
        places = self._till.engine.hub.places(self._till.shop_id)
        return {author: places.of(author) for author in places.authors()} | {self._till.id: self.addresses()}

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

    def remember_address(self, address: str | None) -> None:
        """Keep where others reach this till, None where that is where it listens. Raises BadRequest."""
        read = "" if address is None else read_address(address)
        if read is None:
            raise BadRequest.of("address", f"{address!r} is no address such as 192.168.1.20:8701")
        if self._till.settings.address != read:
            self._till.settings.address = read
            self._till.settings.save(self._till.folder)

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
        """Stop listening, and looking."""
        if self._discovery is not None:
            await self._discovery.stop()
            self._discovery = None
        for listener in self._listeners:
            await listener.stop()
        self._listeners.clear()
