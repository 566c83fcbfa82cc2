"""Writes the pages of the docs that would go stale: alarms.md, commands.md, errors.md, moves.md. `make docs` runs it.

tests/test_docs.py fails when a page is not what this would write.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

import posline.cli
import posline.errors
import relay.cli
from posline.sync.moods import MOVES, Mood
from posline.till.health import ALARMS
from relay.alarms import KINDS
from relay.web.words import TEXTS

HERE = Path(__file__).parent
NOTE = "<!-- written by docs/generate.py: change the code, then run `make docs` -->"
ABOUT_ALARMS = f"""# Alarms

{NOTE}

What `posline status`, the till's page and `GET /api/status` show under *alarms*, the most urgent first. Each has
its `kind`, a `detail` in words and what to `do`; none of them stops a sale.

| kind | what it means | what to do |
|---|---|---|"""
ABOUT_OFFICE_ALARMS = """
## At a head office

What the page *Alarms* of a head office shows of all its shops, the worst first
([dashboard.md](dashboard.md)), in English and Urdu.

| kind | | what it means | what to do |
|---|---|---|---|"""
ABOUT_COMMANDS = f"""# Commands

{NOTE}

`--data DIR` names the data folder on every command and may stand anywhere on the line; without it the variable
`POSLINE_DATA` (`POSLINE_RELAY_DATA` for a head office) is asked, and then the platform's user data folder. `--json`
answers in JSON where a command prints data.

Exit codes: 0 done, 1 a problem was found or the thing failed, 2 wrong usage. Answers go to stdout, logs to stderr.

A command works beside a running till (it asks that till) and without one (it opens the folder itself).
"""
ABOUT_MOVES = f"""# A link's moves

{NOTE}

A link is in one of these moods, and each kind of frame may come in some of them. Anything else is refused and changes
nothing. [protocol.md](protocol.md) says what the frames are.
"""
ABOUT_ERRORS = f"""# Errors

{NOTE}

Every error of the Python API is a `posline.PoslineError`; the HTTP API answers the same as a problem document (RFC
9457) with this title and status, and the sentence of the error as `detail`. Commands print that sentence and exit 1.

| error | HTTP | title | |
|---|---|---|---|"""


def commands() -> str:
    """Every command of both programs, from the same source as their --help."""
    parts = [ABOUT_COMMANDS]
    for program, app in (("posline", posline.cli.app), ("posline-relay", relay.cli.app)):
        root = typer.main.get_command(app)
        parts.append(f"\n## {program}\n")
        for path, command in leaves(root, program):
            arguments = [p for p in command.params if p.param_type_name == "argument"]
            names = " ".join(
                (p.name.upper() if p.required else f"[{p.name.upper()}]") + ("..." if p.nargs < 0 else "")
                for p in arguments
            )
            parts.append(f"\n### `{' '.join(filter(None, (path, names)))}`\n")
            parts.append(f"{inspect.cleandoc(command.help or '')}\n")
            options = [p for p in command.params if p.param_type_name == "option" and not p.hidden and p.name != "help"]
            if options:
                parts += ["| option | |", "|---|---|"]
                parts += [f"| {name_of(option)} | {said_of(option)} |" for option in options]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(parts)).rstrip() + "\n"


def leaves(command: Any, path: str) -> Iterator[tuple[str, Any]]:
    """The commands that do something, with how they are called."""
    found = getattr(command, "commands", None)
    if found is None:
        yield path, command
        return
    for name, child in found.items():
        yield from leaves(child, f"{path} {name}")


def name_of(option: Any) -> str:
    """`--port N` as it is typed."""
    longest = max(option.opts, key=len)
    if option.is_flag:
        return f"`{longest}`"
    return f"`{longest} {longest.lstrip('-').upper()}`"


def said_of(option: Any) -> str:
    """What its help says, and its default."""
    said = option.help or ""
    shown = option.default not in (None, "", False, [], ()) and not option.is_flag and not callable(option.default)
    return f"{said} Default: {option.default}." if shown else said


def errors() -> str:
    """The tree of errors, with what each means and what HTTP answers."""
    parts = [ABOUT_ERRORS]
    for kind, depth in tree(posline.errors.PoslineError, 0):
        said = " ".join(inspect.cleandoc(kind.__doc__ or "").split())
        parts.append(f"| {'&nbsp;&nbsp;' * depth}`{kind.__name__}` | {kind.status} | {kind.title} | {said} |")
    return "\n".join(parts) + "\n"


def tree(kind: type[Any], depth: int) -> Iterator[tuple[type[Any], int]]:
    """An error and its kinds, of posline.errors, parents first."""
    yield kind, depth
    for below in sorted(kind.__subclasses__(), key=lambda k: k.__name__):
        if below.__module__ == posline.errors.__name__:
            yield from tree(below, depth + 1)


def moves() -> str:
    """Which frame may come when, from the table that the link goes by."""
    parts = [ABOUT_MOVES, "| frame | " + " | ".join(mood.name.lower() for mood in Mood) + " |"]
    parts.append("|---|" + ":-:|" * len(Mood))
    for frame, moods in MOVES.items():
        parts.append(f"| `{frame.__name__}` | " + " | ".join("x" if mood in moods else "" for mood in Mood) + " |")
    parts.append("")
    parts += [f"- *{mood.name.lower()}*: {mood.value}" for mood in Mood]
    return "\n".join(parts) + "\n"


def alarms() -> str:
    """What can be wrong, what it means, and what to do."""
    parts = [ABOUT_ALARMS]
    parts += [f"| `{kind}` | {advice.means} | {advice.do} |" for kind, advice in ALARMS.items()]
    parts.append(ABOUT_OFFICE_ALARMS)
    for kind, bad in KINDS.items():
        said = [TEXTS["en"][f"alarm_{kind}{part}"] for part in ("", "_means", "_do")]
        parts.append(f"| `{kind}` | {'urgent' if bad > 1 else 'today'} | {said[0]}. {said[1]} | {said[2]} |")
    return "\n".join(parts) + "\n"


PAGES = {"alarms.md": alarms, "commands.md": commands, "errors.md": errors, "moves.md": moves}

if __name__ == "__main__":
    for name, write in PAGES.items():
        (HERE / name).write_text(write())
