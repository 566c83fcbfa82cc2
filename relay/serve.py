"""Running a head office until it is told to stop."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from starlette.applications import Starlette
from starlette.middleware import Middleware

from posline.storage.folder import Folder
from posline.sync.accept import WebSocketProtocol
from posline.till.guard import LoopbackGuard
from posline.till.listener import Listener, Tls
from posline.till.local import Local
from posline.till.problems import exception_handlers
from posline.till.serve import LOOPBACK, until_stopped
from relay.api import build_app
from relay.commands import COMMANDS
from relay.relay import Relay

__all__ = ["RelayOptions", "run_relay"]

log = logging.getLogger("posline.relay")


@dataclass(frozen=True, slots=True)
class RelayOptions:
    """What `posline-relay serve` was given. `address` is where shops reach it, if that is not where it listens."""

    data: Path
    host: str = LOOPBACK
    port: int = 8800
    tls: Tls | None = None
    address: str | None = None


async def run_relay(options: RelayOptions) -> None:
    """Run a head office. Raises PoslineError where it cannot start."""
    with Folder(options.data) as folder:
        front: Listener | None = None
        try:
            async with Relay(folder) as relay:
                app = build_app(relay, relay.engine.routes(relay.find))
                front = Listener(
                    app, host=options.host, port=options.port, websocket=WebSocketProtocol, tls=options.tls
                )
                await front.start()
                await _serve(relay, front, options)
        finally:
            if front is not None:
                await front.stop()  # links have ended with the relay's engine


async def _serve(relay: Relay, front: Listener, options: RelayOptions) -> None:
    # commands come in by a door of their own, which only this machine can reach
    local = Local(relay, COMMANDS)
    app = Starlette(
        routes=[local.route()], middleware=[Middleware(LoopbackGuard)], exception_handlers=exception_handlers()
    )
    back = Listener(app, host=LOOPBACK, port=0)
    await back.start()
    try:
        reached = options.address or front.address
        relay.register.remember_address(f"{reached} tls" if options.tls else reached)
        relay.folder.announce_local(back.url, local.secret)
        print(f"ready {front.url}", flush=True)
        log.info("%d shops at %s", len(relay.branches()), front.url)
        await until_stopped(relay.broken)
        log.info("stopping")
    finally:
        relay.folder.withdraw_local()
        front.refuse()
        await back.stop()
