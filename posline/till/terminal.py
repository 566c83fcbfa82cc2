"""What every command shares: `--data` and `--json` anywhere on the line, exit codes, tables, JSON.

Exit codes: 0 done, 1 a problem was found or the thing failed, 2 wrong usage. What people read goes to stdout, why
something failed to stderr.
"""

from __future__ import annotations

import json
import logging
import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NoReturn, Protocol

import typer
from rich.console import Console, ConsoleOptions, RenderableType
from rich.logging import RichHandler
from rich.segment import Segment

from posline.errors import DiskFailed, PoslineError
from posline.storage.connection import Error
from posline.till.machine import installed_version

__all__ = [
    "Ask", "DayOf", "Options", "Shop", "Version", "console", "fail", "log_to_stderr", "main", "print_json",
    "print_lines", "value_first", "visible",
]  # fmt: skip

_OBEYED = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")  # all control characters but tab and line feed
PLAIN_WIDTH = 140  # columns where stdout is no terminal: wide enough that a table never breaks a figure


class Ask(Protocol):
    """How a command asks the till or the head office that it is for."""

    def __call__(self, context: typer.Context, name: str, arguments: Mapping[str, Any] | None = None, /) -> Any:
        """The answer to the command called `name`."""


DayOf = Callable[[str | None], str | None]  # reads a day as people type it
Shop = Annotated[str, typer.Option("--shop", help="The shop's id or name.")]


@dataclass(slots=True)
class Options:
    """What stands before the command: the data folder, and whether to answer in JSON."""

    data: Path
    json: bool = False


def _say_version(context: typer.Context, wanted: bool) -> None:
    if wanted:
        print(f"{context.find_root().info_name} {installed_version() or '(run from its sources)'}")
        raise typer.Exit


Version = Annotated[bool, typer.Option("--version", callback=_say_version, is_eager=True, help="Say which version.")]


def visible(text: str) -> str:
    """`text` without what a terminal would obey instead of showing: names come from whoever wrote them."""
    return _OBEYED.sub("", text)


class _Terminal(Console):
    """A console that shows what others wrote, and obeys none of it. Colours are ours: they are no part of a text."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for text, style, control in super().render(renderable, options):
            yield Segment(visible(text) if control is None else text, style, control)


class _Lines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return visible(super().format(record))


def console() -> Console:
    """Where people read."""
    return _Terminal(width=None if sys.stdout.isatty() else PLAIN_WIDTH, highlight=False, soft_wrap=False)


def value_first(arguments: Sequence[str], *, flags: Iterable[str], values: Iterable[str]) -> list[str]:
    """`arguments` with the named options moved to the front, so that they may stand anywhere. What follows `--` is left
    alone."""
    flags, values = set(flags), set(values)
    front: list[str] = []
    rest: list[str] = []
    left = list(arguments)
    while left:
        item = left.pop(0)
        if item == "--":
            rest += [item, *left]
            break
        if item in flags or (item.split("=", 1)[0] in values and "=" in item):
            front.append(item)
        elif item in values and left:
            front += [item, left.pop(0)]
        else:
            rest.append(item)
    return front + rest


def main(
    app: typer.Typer, program: str, arguments: Sequence[str] | None = None, *, places: Sequence[str] = ("--data",)
) -> NoReturn:
    """Run the command line and exit with its code. `places` are the options that say where it works, which may stand
    anywhere."""
    given = sys.argv[1:] if arguments is None else arguments
    try:
        app(args=value_first(given, flags={"--json"}, values=set(places)), prog_name=program, standalone_mode=True)
    except DiskFailed as error:
        print(f"{program}: {visible(str(error))}", file=sys.stderr, flush=True)
        os._exit(1)  # at once: an ordinary end closes files, and would write once more to what can't be believed
    except PoslineError as error:
        fail(program, str(error))
    except BrokenPipeError:
        # whoever read us has gone (`| head`): nothing more can be said, not even at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
    except (OSError, Error) as error:
        print(f"{program}: {visible(str(error))}: the disk gave an error", file=sys.stderr, flush=True)
        os._exit(1)
    sys.exit(0)


def fail(program: str, reason: str) -> NoReturn:
    """Say why on stderr, and exit 1."""
    print(f"{program}: {visible(reason)}", file=sys.stderr)
    sys.exit(1)


def print_json(value: Any) -> None:
    """One JSON text on stdout."""
    print(json.dumps(value, ensure_ascii=False, indent=2 if sys.stdout.isatty() else None))


def print_lines(lines: Iterable[str]) -> None:
    """Lines as they come, byte for byte."""
    sys.stdout.flush()
    for line in lines:
        sys.stdout.buffer.write(line.encode())
    sys.stdout.buffer.flush()


def log_to_stderr(*, verbose: bool = False) -> None:
    """Everything that is logged goes to stderr: colourful on a terminal, plain lines with times elsewhere."""
    handler: logging.Handler
    if sys.stderr.isatty():
        handler = RichHandler(console=Console(stderr=True), show_path=False, rich_tracebacks=False)
        handler.setFormatter(_Lines("%(message)s"))
    else:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(_Lines("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.DEBUG if verbose else logging.INFO, handlers=[handler], force=True)
    for noisy in ("uvicorn", "uvicorn.error", "httpx", "httpcore", "websockets", "asyncio"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
