"""Running a till until it is told to stop: its page, its sync listener, its commands, one line on stdout."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from posline.errors import DiskFailed, PoslineError
from posline.storage.folder import Folder
from posline.till.api import build_app
from posline.till.commands import COMMANDS
from posline.till.going_on import hear_others
from posline.till.hosting.at_till import hosting_of
from posline.till.listener import Listener
from posline.till.local import Local
from posline.till.opening import RECOVERY_FILE
from posline.till.service import LABEL
from posline.till.till import Till, open_till

__all__ = ["LOOPBACK", "TillOptions", "heed_signals", "run", "run_till", "until_stopped"]

log = logging.getLogger("posline.till")

LOOPBACK = "127.0.0.1"
EVERYWHERE = ""  # every address of this machine


@dataclass(frozen=True, slots=True)
class TillOptions:
    """What `posline till` was given."""

    data: Path
    label: str | None = None
    shop: str | None = None
    currency: str | None = None
    zone: str | None = None
    port: int = 8700
    sync_port: int = 8701
    peers: Sequence[str] = ()
    discovery: bool = True
    host: str = EVERYWHERE
    address: str | None = None


def run(work: Callable[[], Awaitable[None]]) -> None:
    """Run `work` in an event loop of its own, the fast one where it is installed."""
    try:
        import uvloop

        factory: Callable[[], asyncio.AbstractEventLoop] | None = uvloop.new_event_loop
    except ImportError:  # Windows
        factory = None

    async def main() -> None:
        await work()

    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(main())


def heed_signals() -> asyncio.Event:
    """Set once the process is told to stop, by SIGTERM or Ctrl-C. To be called before anybody is told that the process
    is ready: who starts it may stop it at once."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        try:
            loop.add_signal_handler(number, stopped.set)
        except NotImplementedError:  # Windows
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(stopped.set))
    return stopped


async def until_stopped(stopped: asyncio.Event, broken: asyncio.Event) -> None:
    """Return once `stopped` is set. Raises DiskFailed once `broken` is: the file can no longer be believed, so the
    process must end, and whoever runs it start it afresh."""
    waiting = [asyncio.ensure_future(event.wait()) for event in (stopped, broken)]
    await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    for each in waiting:
        each.cancel()
    if broken.is_set():
        raise DiskFailed("the log says how")


def _log_is_kept() -> bool:
    """Whether what goes to stderr ends in a service's log, which others read long after: systemd names the journal's
    end of it (systemd.exec(5)), launchd the job."""
    try:
        of = os.fstat(sys.stderr.fileno())
    except (OSError, ValueError):  # none, or no file
        return False
    journal = os.environ.get("JOURNAL_STREAM") == f"{of.st_dev}:{of.st_ino}"
    return journal or os.environ.get("XPC_SERVICE_NAME", "").startswith(LABEL)


async def _host(till: Till) -> None:
    """Let phones and tablets in where that is switched on; whatever hinders it keeps no till from selling."""
    try:
        hosting = hosting_of(till)
        if hosting.devices.on:
            await hosting.start()
    except PoslineError as error:
        log.error("phones and tablets cannot connect: %s", error)


async def run_till(options: TillOptions) -> None:
    """Run a till. Raises PoslineError where it cannot start."""
    with Folder(options.data) as folder:
        async with open_till(folder, options.label, options.shop, currency=options.currency, zone=options.zone) as till:
            if till.recovery is not None:
                file = folder.path / RECOVERY_FILE
                log.warning(
                    "founded the shop %s. Its recovery code is %s: write it down, keep it away from this machine, then "
                    "delete %s. It admits a new till when all others are lost.",
                    till.shop, f"in {file}" if _log_is_kept() else till.recovery, file,
                )  # fmt: skip
            till.links.remember_address(options.address)
            sync = await till.listen(options.host, options.sync_port)
            local = Local(till, COMMANDS)
            page = Listener(build_app(till, local), host=LOOPBACK, port=options.port)
            asks_first = till.replica.unsure
            if not asks_first:
                await page.start()
            try:
                till.links.remember_port()
                for peer in options.peers:
                    await till.connect(peer)
                if options.discovery:
                    await till.discover()
                if asks_first:
                    await hear_others(till)
                    await page.start()
                till.fiscal.start()
                await _host(till)
                folder.announce_local(page.url, local.secret)
                stopped = heed_signals()
                print(f"ready page={page.url} sync={sync.removesuffix('/sync')}", flush=True)
                log.info("till %s of %s sells at %s", till.label, till.shop, page.url)
                await until_stopped(stopped, till.broken)
                log.info("stopping")
            finally:
                till.hush()
                if not till.broken.is_set():  # else it stays, and says that this process did not end cleanly
                    try:
                        folder.withdraw_local()
                    except OSError as error:
                        till.broken.set()
                        raise DiskFailed(f"{folder.path} does not let a file go ({error.strerror})") from error
                await page.stop()
    sys.stdout.flush()
