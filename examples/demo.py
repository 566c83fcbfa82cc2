"""`make demo`: a real day of baskets over three tills and a relay, while lines are cut and programs killed.

One relay and three tills run as programs of their own, joined by the commands that an owner would use. Every line
between two of them goes through a proxy here, so it can be cut or go dead. Six cashiers ring the baskets over HTTP.
At the end every replica must agree with the baskets: each sale once, to the minor unit. Exits 0 only then.

    python -m examples.demo [--fast] [--keep DIR]
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import shutil
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import httpx
from rich.console import Console

from examples.rig.audit import Books, Holding, disagreements, read_books, read_day_reports
from examples.rig.baskets import BUSIEST, CATALOGUE, Basket, catalogue_of, read_baskets, shelf_prices
from examples.rig.board import Board, Result, Row, View, closing_table
from examples.rig.cashiers import Cashier, Tally
from examples.rig.programs import run
from examples.rig.shop import LABELS, Shop

CASHIERS_A_TILL = 2
RING_S, FAST_RING_S = 40.0, 8.0  # the day is pressed into this
FAST_BASKETS = 120
HEAL_S = 60  # within this of the last repair all replicas must agree
WHOLE_S = 420  # only what hangs comes to this: a slow machine takes several times the minute that a quick one does
POLL_S = 0.4
BURST = 12  # sales sent to a till at the moment it is killed


class DemoFailed(Exception):
    """A promise was not kept, or a deadline passed."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How much, and where."""

    baskets: list[Basket]
    ring_s: float
    folder: Path
    catalogue: Path


@dataclass(frozen=True, slots=True)
class Verdict:
    """What each replica holds, and where one disagrees with the baskets, in words."""

    results: list[Result]
    baskets: Result
    summary: str
    faults: list[str]

    def show(self, console: Console) -> None:
        """Print it."""
        console.print(closing_table(self.results, self.baskets))
        console.print(self.summary, highlight=False)
        for fault in self.faults:
            console.print(f"WRONG  {fault}", style="red", highlight=False)
        if not self.faults:
            console.print("All replicas agree with the baskets, to the last sale and minor unit.", style="green")


class Demo:
    """The day, told once."""

    def __init__(self, settings: Settings, board: Board) -> None:
        self.settings, self.board = settings, board
        self.shop = Shop(settings.folder)
        self.tally = Tally()
        self.holds: dict[str, str] = {}
        self.waiting: dict[str, str] = {}
        self.note = ""
        self.killed_in_flight = 0
        self._spare: list[Basket] = []
        self._cashiers: list[Cashier] = []

    async def run(self) -> Verdict:
        """Set up, ring while things break, heal, compare."""
        try:
            await self.shop.set_up(self.board.say, self.settings.catalogue)
            await self._until("the catalogue has reached all tills", self._catalogue_everywhere, HEAL_S)
            watching = asyncio.create_task(self._watch())
            try:
                await self._day()
                self.note = "rung; waiting until all agree"
                holdings = await self._healed()
            finally:
                watching.cancel()
                await asyncio.gather(watching, return_exceptions=True)
            return await self._verdict(holdings)
        finally:
            for cashier in self._cashiers:
                await cashier.close()
            await self.shop.close()

    # -- the day -------------------------------------------------------------------------------------------------------

    async def _day(self) -> None:
        baskets = list(self.settings.baskets)
        self._spare = [baskets.pop(len(baskets) // 2) for _ in range(BURST)]
        shelf = shelf_prices(self.settings.catalogue)
        tills = self.shop.tills
        for number in range(CASHIERS_A_TILL * len(LABELS)):
            label = LABELS[number % len(LABELS)]
            others = [till for name, till in tills.items() if name != label]
            self._cashiers.append(Cashier(tills[label], others, self.tally, shelf, seed=number))
        share = len(self._cashiers)
        self.note = "baskets rung"
        async with asyncio.TaskGroup() as day:
            start_s = time.monotonic()
            for number, cashier in enumerate(self._cashiers):
                until_s = start_s + self.settings.ring_s
                day.create_task(cashier.ring_all(baskets[number::share], time.monotonic, until_s))
            day.create_task(self._trouble(start_s))
        self.board.say("the last basket is rung")

    async def _trouble(self, start_s: float) -> None:
        """What goes wrong, at which share of the day."""
        plot: list[tuple[float, str, Callable[[], Awaitable[None]]]] = [
            (0.06, "the internet is cut", self.shop.internet.cut),
            (0.16, "the line to till A goes dead while its router stays up", self._dead_lan),
            (0.26, "the LAN is cut: every till is alone", self._cut_lan),
            (0.38, "", self._kill_till),
            (0.50, "till B is started again on the same folder", self._restart_till),
            (0.56, "the LAN heals", self._heal_lan),
            (0.64, "the internet heals", self._heal_internet),
            (0.72, "the relay is stopped and started again", self._restart_relay),
            (0.80, "the internet goes dead while the router stays up", self._dead_internet),
            (0.92, "the internet heals", self._heal_internet),
        ]
        for share, event, act in plot:
            await asyncio.sleep(max(0.0, start_s + share * self.settings.ring_s - time.monotonic()))
            if event:
                self.board.say(event)
            await act()

    async def _dead_lan(self) -> None:
        self.shop.lan["A"].die()

    async def _cut_lan(self) -> None:
        for line in self.shop.lan.values():
            await line.cut()

    async def _heal_lan(self) -> None:
        for line in self.shop.lan.values():
            line.heal()

    async def _dead_internet(self) -> None:
        self.shop.internet.die()

    async def _heal_internet(self) -> None:
        self.shop.internet.heal()

    async def _restart_relay(self) -> None:
        await self.shop.relay.stop()
        await self.shop.start_relay()

    async def _kill_till(self) -> None:
        """SIGKILL while sales are in flight; their cashiers have no answer and will ask again with the same ids."""
        till = self.shop.tills["B"]
        cashier = next(c for c in self._cashiers if c.till is till)
        before = self.tally.by_till.get(till.name, 0)
        burst = [asyncio.create_task(cashier.ring(self._spare.pop())) for _ in range(BURST)]
        for _ in range(1000):  # until some of them have their answer, and others not
            await asyncio.sleep(0.001)
            if self.tally.by_till.get(till.name, 0) >= before + BURST // 4:
                break
        till.kill_now()
        self.killed_in_flight = self.tally.in_flight.get(till.name, 0)
        self.board.say(f"till B is killed with SIGKILL; {self.killed_in_flight} requests had no answer yet")
        await till.kill()
        self._burst = asyncio.gather(*burst)

    async def _restart_till(self) -> None:
        await self.shop.start_till("B")
        await self._burst

    # -- watching ------------------------------------------------------------------------------------------------------

    async def _watch(self) -> None:
        async with httpx.AsyncClient(timeout=2, trust_env=False, verify=self.shop.trust()) as http:
            while True:
                await asyncio.gather(*(self._look(http, books) for books in self._open_books()))
                rows = [
                    Row(
                        program.name,
                        "up" if program.running else "down",
                        self.tally.by_till.get(program.name, 0),
                        self.holds.get(program.name, "?"),
                        self.waiting.get(program.name, ""),
                    )
                    for program in self.shop.programs
                ]
                lines = tuple((line.name, line.state.value) for line in self.shop.lines)
                done, of = len(self.tally.confirmed), len(self.settings.baskets)
                self.board.show(View(done, of, self.note, tuple(rows), lines))
                await asyncio.sleep(POLL_S)

    def _open_books(self) -> list[Books]:
        running = {program.name for program in self.shop.programs if program.running}
        return [books for books in self.shop.books() if books.name in running]

    async def _look(self, http: httpx.AsyncClient, books: Books) -> None:
        with contextlib.suppress(httpx.HTTPError):
            held = await read_day_reports(http, books, self.tally.days)
            self.holds[books.name] = str(held.count)
            if not books.token:
                self.waiting[books.name] = str((await http.get(books.address + "/status")).json()["waiting"])

    # -- the end -------------------------------------------------------------------------------------------------------

    async def _catalogue_everywhere(self) -> bool:
        """Whether every till has as many products as the file."""
        exports = [run("posline", "catalog", "export", "--data", str(till.data)) for till in self.shop.tills.values()]
        products = len(shelf_prices(self.settings.catalogue))
        return all(text.count("\n") == 1 + products for text in await asyncio.gather(*exports))

    async def _healed(self) -> list[Holding]:
        """Wait until nothing is waiting and all replicas answer alike, and return their books."""
        self.board.say("everything is whole again; waiting until all replicas agree")
        holdings: list[Holding] = []
        async with httpx.AsyncClient(timeout=20, trust_env=False, verify=self.shop.trust()) as http:

            async def agree() -> bool:
                """Tills sign what they wrote when a link comes up, so the books are still growing for a moment."""
                days, books = sorted(self.tally.days), self.shop.books()
                status = [(await http.get(b.address + "/status")).json() for b in books if not b.token]
                waiting = [f"{found['waiting']} at till {found['label']}" for found in status if found["waiting"]]
                if waiting:
                    self.note = f"rung; not yet on another device: {', '.join(waiting)}"
                    return False
                differ = disagreements([await read_day_reports(http, b, days) for b in books])
                if not differ:
                    holdings[:] = [await read_books(http, b, days) for b in books]
                    differ = disagreements(holdings)
                self.note = f"rung; {'; '.join(differ) or 'all agree'}"
                return not differ

            try:
                await self._until("all replicas agree", agree, HEAL_S)
            except DemoFailed:  # the verdict says what is wrong, replica by replica
                holdings[:] = [await read_books(http, b, sorted(self.tally.days)) for b in self.shop.books()]
        return holdings

    async def _until(self, what: str, done: Callable[[], Awaitable[bool]], within_s: float) -> None:
        start_s = time.monotonic()
        while time.monotonic() < start_s + within_s:
            if await done():
                self.board.say(f"{what} ({time.monotonic() - start_s:.1f} s)")
                return
            await asyncio.sleep(POLL_S)
        raise DemoFailed(f"not within {within_s} s: {what}")

    async def _verdict(self, holdings: list[Holding]) -> Verdict:
        wanted = {basket.name: basket.total for basket in self.settings.baskets}
        faults = [f"{holding.name}: {fault}" for holding in holdings for fault in holding.faults(self.tally.confirmed)]
        faults += disagreements(holdings)
        if len(self.tally.confirmed) != len(wanted) or self.tally.total != sum(wanted.values()):
            faults.append(f"the cashiers saw {len(self.tally.confirmed)} sales confirmed, of {len(wanted)} baskets")
        programs = self.shop.programs
        verified = await asyncio.gather(
            *(run(program.command, "verify", "--data", str(program.data)) for program in programs),
            return_exceptions=True,
        )
        faults += [
            f"{p.name}: {error}" for p, error in zip(programs, verified, strict=True) if isinstance(error, Exception)
        ]
        results = [
            Result(
                holding.name,
                str(self.tally.by_till.get(holding.name, "")),
                holding.count,
                holding.lost(self.tally.confirmed),
                holding.doubled(),
                holding.total,
                " ".join(digest[:16] for digest in holding.digests),
            )
            for holding in holdings
        ]
        tally = self.tally
        twice = sum(len(figures["duplicates"]) for figures in holdings[0].figures.values())
        baskets = Result("baskets", str(len(wanted)), 0, 0, 0, sum(wanted.values()), "")
        summary = (
            f"{tally.requests} requests for {len(wanted)} baskets: {tally.repeats} posted again on purpose, "
            f"{tally.retries} retried without an answer, {tally.walked} taken to another till, "
            f"{self.killed_in_flight} in flight at the kill. "
            f"{twice} sales were recorded at two tills while those were apart, and count once."
        )
        return Verdict(results, baskets, summary, faults)


async def play(settings: Settings, console: Console) -> bool:
    """Run the demo within its deadline; True if every replica agrees with the baskets."""
    with Board(console) as board:
        demo = Demo(settings, board)
        try:
            async with asyncio.timeout(WHOLE_S):
                verdict = await demo.run()
        except TimeoutError:
            raise DemoFailed(f"not done within {WHOLE_S} s") from None
    verdict.show(console)
    return not verdict.faults


def main() -> int:
    """The command."""
    asked = argparse.ArgumentParser(prog="demo", description="A real day of baskets, with cuts and kills.")
    asked.add_argument("--fast", action="store_true", help="a part of the day, with no other goods, in a few seconds")
    asked.add_argument("--keep", type=Path, metavar="DIR", help="put the data folders and logs here, and leave them")
    chosen = asked.parse_args()
    console = Console()
    folder = chosen.keep or Path(tempfile.mkdtemp(prefix="posline-demo-"))
    folder.mkdir(parents=True, exist_ok=True)
    baskets = read_baskets(BUSIEST)
    settings = Settings(baskets, RING_S, folder, CATALOGUE)
    if chosen.fast:
        baskets = baskets[:FAST_BASKETS]
        settings = Settings(baskets, FAST_RING_S, folder, catalogue_of(baskets, folder / "products.csv.gz"))
    console.print(
        f"Replaying {len(baskets)} baskets of {BUSIEST} over three tills and a relay, in {folder}", highlight=False
    )
    try:
        sound = asyncio.run(play(settings, console))
    except (Exception, asyncio.CancelledError) as error:
        for cause in error.exceptions if isinstance(error, ExceptionGroup) else [error]:
            console.print(f"The demo failed: {cause}", style="red", highlight=False)
        sound = False
    except KeyboardInterrupt:
        console.print("Stopped.")
        if chosen.keep is None:
            shutil.rmtree(folder, ignore_errors=True)
        return 130
    if sound and chosen.keep is None:
        shutil.rmtree(folder, ignore_errors=True)
    elif not sound:
        console.print(f"Data folders and logs are in {folder}", highlight=False)
    return 0 if sound else 1


if __name__ == "__main__":
    sys.exit(main())
