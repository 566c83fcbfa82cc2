"""Dies at each statement that an act writes with, one after another, and looks each time at what the disk then holds.

Run as a program with a folder and the name of an act, it prints one JSON line. Every death is a process of its own,
forked before any thread is there, that ends in the middle with nothing flushed and nobody told, like a till whose power
goes; the same act is then asked for again by the next process, as a caller does that got no answer.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from posline.storage.verify import verify
from posline.till.opening import Clockwork, wall_ms
from posline.till.till import Till, open_till

__all__ = ["ACTS", "Act"]

DEATH = 9
STEPS_MAX = 400  # far more than any act has; one that never ends is a failure
LINES = [{"sku": "TEA", "name": "Tea", "quantity": 3, "price": 250}]
SALE, ID, NEXT = (str(uuid.UUID(int=n, version=4)) for n in (1, 2, 3))
DAY_MS = 86_400_000

Act = Callable[[Till], Awaitable[object]]


async def _refund(till: Till) -> object:
    return (await till.refund(SALE, [{"line": 1, "quantity": 2}], reason="cold", id=ID)).to_dict()["total"]


async def _void(till: Till) -> object:
    return (await till.void(SALE, "mistyped", id=ID)).to_dict()["total"]


async def _close(till: Till) -> object:
    z = (await till.shifts.close({"id": ID, "counted": {"cash": 1}})).answer
    return {name: z[name] for name in ("sales", "net", "expected", "over_short", "number", "receipts")}


async def _nothing(till: Till) -> object:
    return None


async def _next_close(till: Till) -> object:
    """What the death left undone the next close mends: yesterday is closed, and each sale is in one Z report."""
    await till.sell(LINES)
    z = (await till.shifts.close({"id": NEXT, "counted": {}})).answer
    yesterday, today = till.day_report(till.reports.days()[0]), till.day_report()
    assert not yesterday["provisional"] and not yesterday["late"] and len(yesterday["closes"]) == 1, yesterday
    assert z["net"] == 750 and till.shifts.find(ID)["net"] == 1500 == yesterday["net"] + today["net"] - z["net"]
    return None


ACTS: dict[str, tuple[Act, str]] = {  # what is done, and the kind of entry that it leaves once
    "refund": (_refund, "refund"),
    "void": (_void, "void"),
    "close": (_close, "shift closed"),
}
AFTER = {"close": _next_close}  # what else must hold then


def _fork(work: Callable[[], object]) -> int:
    """Do `work` in a process of its own; its exit code."""
    child = os.fork()
    if child:
        _, status = os.waitpid(child, 0)
        return os.waitstatus_to_exitcode(status)
    try:
        work()
        os._exit(0)
    except BaseException as error:
        print(repr(error), file=sys.stderr, flush=True)
        os._exit(1)


def _dying(folder: Path, act: Act, step: int) -> None:
    """Do the act, and die as its statement number `step` is about to run."""

    async def work() -> None:
        async with open_till(folder) as till:
            left = step

            def count(_statement: str) -> None:
                nonlocal left
                left -= 1
                if left == 0:
                    os._exit(DEATH)

            till.store._db.set_trace_callback(count)
            await act(till)
            os._exit(0)  # without the statements of a clean end

    asyncio.run(work())


def _after(folder: Path, act: Act, kind: str, wanted: object, then: Act) -> None:
    """Ask again, and look: the act is there once, the totals are those of one, and every number is there."""

    async def work() -> None:
        async with open_till(folder) as till:
            assert await act(till) == wanted
            assert await act(till) == wanted
            assert len([r for r in till.reports.by_id(ID) if r.entry.kind == kind]) == 1
            report = till.day_report()
            (of_till,) = report["tills"]
            assert not of_till["missing_count"] and not of_till["receipts"]["missing_count"], report
            assert not report["held"] + report["disputed"] + report["invalid"] + report["duplicates"], report
            await then(till)
        async with open_till(folder, read_only=True) as till:
            problems = list(verify(till.store, till.shop_id))
            assert not problems, problems

    asyncio.run(work())


def main(folder: Path, name: str) -> None:
    """Kill the act at each of its statements, until it ends before the death comes."""
    act, kind = ACTS[name]
    whole: list[Any] = []

    async def prepare() -> None:
        if name == "close":  # of a shift that began yesterday
            async with open_till(folder / "before", clockwork=Clockwork(lambda: wall_ms() - DAY_MS)) as till:
                await till.sell(LINES)
        async with open_till(folder / "before") as till:
            await till.sell(LINES, id=SALE)
        shutil.copytree(folder / "before", folder / "whole")
        async with open_till(folder / "whole") as till:
            whole.append(await act(till))

    if _fork(lambda: (asyncio.run(prepare()), (folder / "wanted").write_text(json.dumps(whole[0])))):
        raise SystemExit("the act fails without any death")
    wanted = json.loads((folder / "wanted").read_text())
    for step in range(1, STEPS_MAX):
        here = folder / "dying"
        shutil.copytree(folder / "before", here)
        code = _fork(lambda: _dying(here, act, step))  # noqa: B023
        if code not in (0, DEATH):
            raise SystemExit(f"step {step}: the act failed, {code}")
        if _fork(lambda: _after(here, act, kind, wanted, AFTER.get(name, _nothing))):  # noqa: B023
            raise SystemExit(f"step {step}: what the disk holds is wrong")
        shutil.rmtree(here)
        if code == 0:
            print(json.dumps({"act": name, "deaths": step - 1}))
            return
    raise SystemExit("it never ends")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
