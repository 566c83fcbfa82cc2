"""Running a head office until it is told to stop."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.websockets import WebSocket

from posline.errors import BadRequest, NotPossible
from posline.storage.folder import Folder
from posline.sync.accept import WebSocketProtocol
from posline.sync.discovery import local_addresses
from posline.till.guard import LoopbackGuard, is_loopback
from posline.till.listener import Listener
from posline.till.local import Local
from posline.till.serve import LOOPBACK, until_stopped
from posline.trust.certificate import Tls
from relay.api import build_app
from relay.authoring import authoring_of
from relay.commands import COMMANDS
from relay.delivering import Deliverer, HttpSender
from relay.home import FolderHome, Home
from relay.hosting.door import TILLS_PORT, Origin, build_tills
from relay.hosting.steward import Steward
from relay.operations.certificates import Shown
from relay.operations.draining import DRAIN_S, Told, drain
from relay.operations.logs import hide
from relay.operations.readiness import health_routes
from relay.operations.roster import Roster
from relay.publishing import Publisher
from relay.relay import Relay
from relay.web.caller import caller_of, is_one_of
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
    proxy_certificate: Path | None = None  # of a proxy that ends TLS before it
    metrics_port: int | None = None  # where figures have a port of their own
    metrics_host: str = LOOPBACK
    drain_s: float = DRAIN_S
    tills: Origin | None = None  # the public address at which devices are hosted
    tills_port: int = TILLS_PORT
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
        hide(*home.secrets())
        listeners: list[Listener] = []
        try:
            async with Relay(home) as relay:
                tls = options.tls or _own_tls(relay, options)
                shown = Shown(tls, options.proxy_certificate)
                links = relay.engine.routes(
                    relay.find, tls=lambda: shown.pin, address=_address(options.web),
                    turned_away=relay.meters.refused.add,
                )  # fmt: skip
                app = build_app(relay, links, replace(options.web, metrics=options.metrics_port is None))
                front = Listener(
                    app, host=options.host, port=options.port, websocket=WebSocketProtocol, tls=tls,
                    tls_1_2=options.tls is not None, is_crowd=lambda host: is_one_of(host, options.web.trusted),
                )  # fmt: skip
                listeners.append(front)
                if options.tills is not None:
                    listeners.append(_for_devices(relay, options.tills, tls, options))
                for listener in listeners:
                    await listener.start()
                leads = home.leads()
                deliverer = Deliverer(
                    relay.store, relay.webhooks, HttpSender(), relay.arrivals, leads=leads, measured=relay.delivered
                )
                relay.lag_s = deliverer.lag_s
                authoring = authoring_of(relay)
                publisher, steward = Publisher(relay, authoring, leads=leads), Steward(relay, authoring, leads=leads)
                deliverer.start()
                publisher.start()
                steward.start()
                try:
                    async with _monitored(relay, options):
                        await _serve(relay, listeners, deliverer, shown, options)
                finally:
                    await steward.stop()
                    await publisher.stop()
                    await deliverer.stop()
        finally:
            for listener in listeners:
                await listener.stop()  # links have ended with the relay's engine


def _own_tls(relay: Relay, options: RelayOptions) -> Tls | None:
    """The head office's own certificate, where others than this machine can reach it, or where it is wanted."""
    if is_loopback(options.host) and not options.own_certificate:
        return None
    hosts = {options.host.strip("[]"), *local_addresses()} - {"", "0.0.0.0", "::"}
    return relay.home.certificate(hosts).tls


def _for_devices(relay: Relay, origin: Origin, tls: Tls | None, options: RelayOptions) -> Listener:
    """What devices connect to. Raises BadRequest where no browser would take it."""
    if origin.secure and options.tls is None and not options.web.trusted:
        raise BadRequest.of(
            "tills", f"browsers open {origin} by a certificate that they know: give --tls-cert and --tls-key, or name "
            "the proxy that ends TLS before this with --trusted-proxy",
        )  # fmt: skip
    return Listener(
        build_tills(relay, origin, options.web), host=options.host, port=options.tills_port,
        tls=tls if origin.secure else None, is_crowd=lambda host: is_one_of(host, options.web.trusted),
    )  # fmt: skip


def _address(web: WebOptions) -> Callable[[WebSocket], str]:
    """Where a link comes from, as trusted proxies say it."""
    return lambda socket: caller_of(socket, web.trusted).address


@asynccontextmanager
async def _monitored(relay: Relay, options: RelayOptions) -> AsyncIterator[None]:
    """Figures and health at an address of their own, where that is wanted."""
    if options.metrics_port is None:
        yield
        return
    app = Starlette(routes=health_routes(relay), exception_handlers=relay.exception_handlers())
    listener = Listener(app, host=options.metrics_host, port=options.metrics_port)
    await listener.start()
    log.info("figures at %s/metrics", listener.url, extra={"event": "metrics", "url": listener.url})
    try:
        yield
    finally:
        await listener.stop()


async def _serve(
    relay: Relay, listeners: Sequence[Listener], deliverer: Deliverer, shown: Shown, options: RelayOptions
) -> None:
    front = listeners[0]
    # commands come in by a door of their own, which only this machine can reach
    local = Local(relay, COMMANDS)
    handlers = relay.exception_handlers()
    app = Starlette(routes=[local.route()], middleware=[Middleware(LoopbackGuard)], exception_handlers=handlers)
    back = Listener(app, host=LOOPBACK, port=0)
    await back.start()
    told = Told(relay.draining)
    reached = options.address or front.reached

    def remember() -> None:
        relay.office.remember_address(f"{reached} {shown.pin}".strip())

    jobs: list[asyncio.Task[None]] = []
    try:
        remember()
        if options.tills is not None or not relay.home.shared:  # else another process may host
            relay.devices.remember(str(options.tills or ""))
        relay.home.announce(back.url, local.secret)
        told.heed()
        jobs.append(asyncio.create_task(shown.follow(listeners, told.reload, remember), name="certificate"))
        if relay.home.shared:
            follow = Roster(relay.office.database).follow(
                relay.office.now_ms, relay.links_here, relay.draining
            )
            jobs.append(asyncio.create_task(follow, name="roster"))
        url = front.url.replace(front.address, front.reached)
        print(f"ready {url}" + (f" tills={options.tills}" if options.tills is not None else ""), flush=True)
        if options.tills is not None:
            event = {"event": "hosting", "url": str(options.tills)}
            log.info("phones and tablets are hosted at %s, by %s", options.tills, listeners[-1].url, extra=event)
        count = len(relay.office.shops())
        log.info("%d shops at %s", count, url, extra={"event": "ready", "shops": count, "url": url})
        await until_stopped(relay.draining, relay.broken)
        relay.tills.hush()
        await drain(relay, deliverer, told, options.drain_s)
        log.info("stopping", extra={"event": "stopping"})
    finally:
        for job in jobs:
            job.cancel()
        await asyncio.gather(*jobs, return_exceptions=True)
        if not relay.broken.is_set():  # else it stays, and says that this process did not end cleanly
            relay.home.withdraw()
        for listener in listeners:
            listener.refuse()
        await back.stop()
