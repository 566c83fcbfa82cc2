"""`make run`: a shop on this machine, one till and one relay, until Ctrl-C. Its data stays in ./run.

python -m examples.shop_on_one_machine [--data DIR] [--port P] [--sync-port P] [--relay-port P]
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import signal
import sys
from pathlib import Path

from examples.rig.programs import Program, ProgramFailed, last_line, run

SHOP = "My shop"
GOODS = Path(__file__).parent / "data" / "kiryana.csv"  # a small grocer's shelf, with a key for each thing


class OneMachine:
    """The till and the relay, and how they come to know each other."""

    def __init__(self, data: Path, *, port: int, sync_port: int, relay_port: int) -> None:
        self._attached = data / "attached"  # an empty file: the till was attached at an earlier start
        self.token = ""  # with which a password for the relay's page is chosen, at the first start
        ports = ["--port", str(port), "--sync-port", str(sync_port)]
        self.relay = Program(
            "the relay",
            "posline-relay",
            ["serve", "--data", str(data / "relay"), "--port", str(relay_port)],
            data / "relay",
        )
        self.till = Program(
            "the till",
            "posline",
            ["till", "--data", str(data / "till"), "--shop", SHOP, *ports, "--no-discovery"],
            data / "till",
        )

    async def start(self) -> None:
        """Start both; at the first start, attach the till's shop to the relay, and put some goods on its shelf."""
        await asyncio.gather(self.relay.start(), self.till.start())
        if not self._attached.exists():
            link = await run("posline-relay", "invite", "--data", str(self.relay.data), "--shop", SHOP)
            await run("posline", "attach", last_line(link), "--data", str(self.till.data))
            await run("posline", "catalog", "import", str(GOODS), "--data", str(self.till.data))
            self.token = last_line(await run("posline-relay", "user", "add", "Owner", "--data", str(self.relay.data)))
            self._attached.touch()

    async def stop(self) -> None:
        """Stop both cleanly."""
        await asyncio.gather(self.till.stop(), self.relay.stop())


async def main(shop: OneMachine) -> int:
    """Run until a signal comes or one of the two ends."""
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):  # Windows: Ctrl-C ends asyncio.run instead
            asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    try:
        await shop.start()
        print(f"till   {shop.till.urls['page']}")
        print(f"relay  {shop.relay.urls['page']}")
        if shop.token:
            print(f"choose a password for the relay's page at {shop.relay.urls['page']}/first with {shop.token}")
        print("Ctrl-C stops both; the data stays.", flush=True)
        ends = [asyncio.ensure_future(end) for end in (stopped.wait(), shop.till.ended(), shop.relay.ended())]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        for end in ends:
            end.cancel()
        for program in (shop.till, shop.relay):
            if not stopped.is_set() and not program.running:
                print(f"{program.name} ended by itself; its log is {program.log}", file=sys.stderr)
        return 0 if stopped.is_set() else 1
    except ProgramFailed as error:
        print(error, file=sys.stderr)
        return 1
    finally:
        await shop.stop()


if __name__ == "__main__":
    asked = argparse.ArgumentParser(prog="shop_on_one_machine", description="A till and a relay on this machine.")
    asked.add_argument("--data", type=Path, default=Path(os.environ.get("POSLINE_RUN", "run")))
    asked.add_argument("--port", type=int, default=8700)
    asked.add_argument("--sync-port", type=int, default=8701)
    asked.add_argument("--relay-port", type=int, default=8800)
    chosen = asked.parse_args()
    chosen.data.mkdir(parents=True, exist_ok=True)
    here = OneMachine(chosen.data, port=chosen.port, sync_port=chosen.sync_port, relay_port=chosen.relay_port)
    sys.exit(asyncio.run(main(here)))
