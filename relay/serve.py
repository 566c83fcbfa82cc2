"""Running a head office until it is told to stop."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.websockets import WebSocket

from posline.errors import NotPossible
from posline.storage.folder import Folder
from posline.sync.accept import WebSocketProtocol
from posline.sync.discovery import local_addresses
from posline.till.guard import LoopbackGuard, is_loopback
from posline.till.listener import Listener
from posline.till.local import Local
from posline.till.problems import exception_handlers
from posline.till.serve import LOOPBACK, heed_signals, until_stopped
from posline.trust.certificate import Tls
from relay.api import build_app
from relay.authoring import authoring_of
from relay.commands import COMMANDS
from relay.delivering import Deliverer, HttpSender
from relay.home import FolderHome, Home
from relay.publishing import Publisher
from relay.relay import Relay
from relay.web.caller import caller_of
from relay.web.frame import WebOptions

__all__ = ["RelayOptions", "database_home", "run_relay"]

log = logging.getLogger("posline.relay")


@dataclass(frozen=True, slots=True)
class RelayOptions:
    """What `posline-relay serve` was given. `address` is where shops reach it, if that is not where it listens."""

    data: Path | str  # a folder, or a database
    host: str = LOOPBACK
    port: int = 8800
    tls: Tls | None = None
    own_certificate: bool = False
    address: str | None = None
    web: WebOptions = field(default_factory=WebOptions)


@contextmanager
def _home(place: Path | str) -> Iterator[Home]:
    if isinstance(place, str):
        yield database_home(place)
        return
    with Folder(place) as folder:
        yield FolderHome(folder)


def database_home(url: str) -> Home:
    """The home at a database's address. Raises NotPossible, Unavailable."""
    try:
        from relay.postgres.home import DatabaseHome  # psycopg is not part of the base installation
    except ImportError as error:
        raise NotPossible(f"PostgreSQL needs the package psycopg ({error}): pip install 'posline[postgres]'") from error
    return DatabaseHome(url)


async def run_relay(options: RelayOptions) -> None:
    """Run a head office. Raises PoslineError where it cannot start."""
    with _home(options.data) as home:
        front: Listener | None = None
        try:
            async with Relay(home) as relay:
                tls = options.tls or _own_tls(relay, options)
                pin = tls.fingerprint if tls is not None else ""
                links = relay.engine.routes(relay.find, tls=pin, address=_address(options.web))
                app = build_app(relay, links, options.web)
                front = Listener(app, host=options.host, port=options.port, websocket=WebSocketProtocol, tls=tls)
                await front.start()
                leads = home.leads()
                deliverer = Deliverer(relay.store, relay.webhooks, HttpSender(), relay.arrivals, leads=leads)
                publisher = Publisher(relay, authoring_of(relay), leads=leads)
                deliverer.start()
                publisher.start()
                try:
                    await _serve(relay, front, options, pin)
                finally:
                    await publisher.stop()
                    await deliverer.stop()
        finally:
            if front is not None:
                await front.stop()  # links have ended with the relay's engine


def _own_tls(relay: Relay, options: RelayOptions) -> Tls | None:
    """The head office's own certificate, where others than this machine can reach it, or where it is wanted."""
    if is_loopback(options.host) and not options.own_certificate:
        return None
    hosts = {options.host.strip("[]"), *local_addresses()} - {"", "0.0.0.0", "::"}
    return relay.home.certificate(hosts).tls


def _address(web: WebOptions) -> Callable[[WebSocket], str]:
    """Where a link comes from, as trusted proxies say it."""
    return lambda socket: caller_of(socket, web.trusted).address


async def _serve(relay: Relay, front: Listener, options: RelayOptions, pin: str) -> None:
    # commands come in by a door of their own, which only this machine can reach
    local = Local(relay, COMMANDS)
    handlers = exception_handlers(relay.suspect)
    app = Starlette(routes=[local.route()], middleware=[Middleware(LoopbackGuard)], exception_handlers=handlers)
    back = Listener(app, host=LOOPBACK, port=0)
    await back.start()
    try:
        reached = options.address or front.reached
        relay.office.remember_address(f"{reached} {pin}".strip())
        relay.home.announce(back.url, local.secret)
        url = f"{'https' if pin else 'http'}://{front.reached}"
        stopped = heed_signals()
        print(f"ready {url}", flush=True)
        log.info("%d shops at %s", len(relay.branches()), url)
        await until_stopped(stopped, relay.broken)
        log.info("stopping")
    finally:
        if not relay.broken.is_set():  # else it stays, and says that this process did not end cleanly
            relay.home.withdraw()
        front.refuse()
        await back.stop()
