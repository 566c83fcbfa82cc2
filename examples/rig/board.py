"""What the demo shows while it runs: a live board on a terminal, plain lines everywhere else."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

EVENTS_SHOWN = 8
PLAIN_EVERY_S = 5.0  # a line of progress where there is no terminal


@dataclass(frozen=True, slots=True)
class Row:
    """One replica on the board."""

    name: str
    state: str
    rung: int
    holds: str
    waiting: str


@dataclass(frozen=True, slots=True)
class View:
    """All that the board shows at one moment."""

    done: int
    of: int
    note: str
    rows: tuple[Row, ...]
    lines: tuple[tuple[str, str], ...]  # name and state of each line between two programs


class Board:
    """`say` tells of an event, `show` replaces what is on the board."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._live = Live(console=console, refresh_per_second=8, transient=True) if console.is_terminal else None
        self._events: deque[str] = deque(maxlen=EVENTS_SHOWN)
        self._start_s = time.monotonic()
        self._plain_s = 0.0
        self._view: View | None = None

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._live is not None:
            self._live.stop()
            for event in self._events:
                self.console.print(event, highlight=False)

    def say(self, event: str) -> None:
        """Something happened."""
        stamped = f"{time.monotonic() - self._start_s:5.1f} s  {event}"
        if self._live is None:
            self.console.print(stamped, highlight=False, soft_wrap=True)
            return
        if len(self._events) == EVENTS_SHOWN:
            self._live.console.print(self._events[0], highlight=False)
        self._events.append(stamped)
        self._refresh()

    def show(self, view: View) -> None:
        """What is so now."""
        self._view = view
        if self._live is not None:
            self._refresh()
        elif time.monotonic() - self._plain_s >= PLAIN_EVERY_S:
            self._plain_s = time.monotonic()
            held = ", ".join(f"{row.name} {row.state} holds {row.holds}" for row in view.rows)
            self.say(f"{view.done}/{view.of} {view.note}: {held}")

    def _refresh(self) -> None:
        if self._live is not None:
            self._live.update(self._render())

    def _render(self) -> RenderableType:
        parts: list[RenderableType] = [Text(event) for event in self._events]
        if self._view is not None:
            view = self._view
            table = Table(box=None, pad_edge=False)
            for heading in ("", "state", "rung", "holds", "not yet on another device"):
                table.add_column(heading, justify="left" if heading in ("", "state") else "right")
            for row in view.rows:
                style = "green" if row.state == "up" else "red"
                table.add_row(row.name, Text(row.state, style), str(row.rung or ""), row.holds, row.waiting)
            states = Text.assemble(
                *(part for name, state in view.lines for part in (f"{name} ", (state, _STYLES[state]), "   "))
            )
            bar = Table.grid(padding=(0, 1))
            bar.add_row(ProgressBar(total=view.of, completed=view.done, width=40), f"{view.done}/{view.of} {view.note}")
            parts += [Text(), bar, table, states]
        return Group(*parts)


_STYLES = {"up": "green", "cut": "red", "dead": "yellow"}


@dataclass(frozen=True, slots=True)
class Result:
    """A replica's row of the closing table."""

    name: str
    rung: str
    recorded: int
    lost: int
    doubled: int
    total: int
    digest: str


def closing_table(results: list[Result], baskets: Result) -> Table:
    """What each replica holds, under what the baskets say."""
    table = Table(title="What each replica holds", title_justify="left")
    for heading in ("", "rung", "recorded", "lost", "doubled", "total", "digest"):
        table.add_column(heading, justify="left" if heading in ("", "digest") else "right")
    table.add_row(baskets.name, baskets.rung, "", "", "", f"{baskets.total:,}", "", style="bold", end_section=True)
    for result in results:
        complete = (result.recorded, result.lost, result.doubled) == (int(baskets.rung), 0, 0)
        table.add_row(
            result.name, result.rung, str(result.recorded), str(result.lost), str(result.doubled), f"{result.total:,}",
            result.digest, style="green" if complete and result.total == baskets.total else "red",
        )  # fmt: skip
    return table
