"""Reports as people read them: tables for the terminal, and plain text where stdout is a file."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import segno
from rich.table import Table
from rich.text import Text

from posline.core.money import minor_digits
from posline.till.terminal import console

__all__ = ["print_day", "print_import", "print_invitation", "print_problems", "print_restored", "print_status"]


def print_status(status: Mapping[str, Any]) -> None:
    """Who this till is, its links, what waits, what is wrong."""
    out = console()
    out.print(f"{status['shop']}: till {status['label']}, day {status['day']}", style="bold", markup=False)
    waiting = status["waiting"]
    some = "1 entry is" if waiting == 1 else f"{waiting} entries are"
    if not waiting:
        out.print("everything that was rung here is on another device too", style="green")
    elif status["peers"]:
        out.print(f"{some} on this till's disk alone; passed on as soon as a line is up", style="yellow")
    else:
        out.print(f"{some} on this till's disk alone: a second till or a head office would keep a copy", style="yellow")
    if status["peers"]:
        out.print(_devices(status["peers"]))
    for alarm in status["alarms"]:
        out.print()
        out.print(Text.assemble((f"{alarm['kind'].upper()}  ", "bold red"), alarm["detail"]))
        out.print(Text.assemble(("what to do  ", "bold"), alarm["do"]))
    if status["refused"]:
        out.print()
        out.print("not let in:", style="bold")
    for refused in status["refused"]:
        times = "" if refused["times"] == 1 else f" ({refused['times']} times)"
        out.print(f"  {_when(refused['at'])}  {refused['who']}: {refused['why']}{times}", markup=False)


def _devices(peers: Sequence[Mapping[str, Any]]) -> Table:
    """The other devices: how each is, and how far behind."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for heading in ("device", "line", "holds", "last linked", "why not"):
        table.add_column(heading, overflow="fold")
    for peer in peers:
        line = Text("up", "green") if peer["connected"] else Text("down", "red")
        behind = peer["behind"]
        holds = Text("everything", "green") if not behind else Text(f"all but {behind}", "yellow")
        kind = "" if peer["kind"] in ("till", "head office") and peer["name"] else f" ({peer['kind']})"
        office = " (head office)" if peer["kind"] == "head office" else kind
        seen = "now" if peer["connected"] else _when(peer["last_seen"]) if peer["last_seen"] else "never"
        table.add_row(Text(peer["name"] + office), line, holds, seen, Text(peer["why"]))
    return table


def _when(text: str) -> str:
    """A time as the wall clock of this machine shows it."""
    return datetime.fromisoformat(text).astimezone().strftime("%d %b %H:%M")


def print_day(day: Mapping[str, Any]) -> None:
    """A day report."""
    out = console()
    currency = day["currency"]

    def amount(minor: int) -> str:
        return money(minor, currency)

    state = "provisional" if day["provisional"] else "final"
    out.print(f"Day {day['day']} ({state}), {currency}", markup=False)
    figures = Table(show_header=False, box=None, pad_edge=False)
    figures.add_column()
    figures.add_column(justify="right")
    for name, value in (
        ("sales", str(day["sales"]["count"])),
        ("total", amount(day["sales"]["total"])),
        ("of which discount", amount(day["sales"]["discount"])),
        ("of which tax", amount(day["sales"]["tax"])),
        ("refunds", amount(day["refunds"]["total"])),
        ("voids", amount(day["voids"]["total"])),
        ("net", amount(day["net"])),
        ("rounding", amount(day["rounding"])),
        *((f"paid by {kind}", amount(total)) for kind, total in day["tenders"].items()),
    ):
        figures.add_row(name, value)
    out.print(figures)
    if day["tills"]:
        tills = Table("till", "label", "receipts", "missing", title=None)
        for name in ("sales", "total", "not vouched for"):
            tills.add_column(name, justify="right")
        for till in day["tills"]:
            receipts = till["receipts"]
            span = f"{receipts['first']} to {receipts['last']}" if receipts["first"] else "none"
            tills.add_row(
                till["till"], till["label"], span, _ranges(receipts["missing"], receipts["missing_count"]),
                str(till["count"]), amount(till["total"]), str(till["unvouched"]["count"]),
            )  # fmt: skip
        out.print(tills)
    labels = {till["till"]: till["label"] for till in day["tills"]}
    if day["waiting_for"]:
        out.print("not closed yet: till " + ", ".join(labels[till] for till in day["waiting_for"]), markup=False)
    for close in day["closes"]:
        out.print(f"closed at till {labels.get(close['till'], close['till'])}", markup=False)
    if day["late"]:
        out.print(f"late, in no close: {day['addendum']['count']} entries, net {amount(day['addendum']['net'])}")
    for name in ("late", "duplicates", "held", "disputed", "invalid"):
        for entry in day[name]:
            out.print(f"{name}: {entry}", markup=False)
    if day["newer"]:
        out.print(f"{day['newer']} entries are from a newer version of Posline")
    out.print(f"digest {day['digest']}")


def print_invitation(link: str) -> None:
    """A link alone on the last line; on a terminal, with its QR code above it."""
    if sys.stdout.isatty():
        segno.make(link, error="l").terminal(compact=True)
    print(link)


def print_problems(found: Mapping[str, Any]) -> None:
    """What `verify` found."""
    for problem in found["problems"]:
        print(problem if isinstance(problem, str) else _plain(problem))
    print(f"{len(found['problems'])} problems" if found["problems"] else "no problems")


def print_import(found: Mapping[str, Any], *, dry_run: bool = False) -> None:
    """What an import did; bad rows go to stderr."""
    for row in found["bad"]:
        print(f"line {row['line']}: {row['detail']}", file=sys.stderr)
    for row in found["warnings"]:
        print(f"line {row['line']}: taken, but {row['detail']}", file=sys.stderr)
    print(
        f"{found['products']} products: {found['written']} new or changed, {found['unchanged']} as before; "
        f"{found['bad_count']} bad rows left out" + ("; nothing was written: a dry run" if dry_run else "")
    )


def print_restored(found: Mapping[str, Any]) -> None:
    """What a restore did, and what is left to do."""
    print(f"restored {found['name']} as till {found['label']}")
    if not found["admitted"]:
        print(
            "It is not admitted yet: it sells, but its sales are held. Run 'posline invite' on a till of the shop and "
            "'posline join LINK' here; or restore again with --recovery and the shop's recovery code."
        )


def _ranges(missing: Sequence[Sequence[int]], count: int) -> str:
    if not count:
        return "none"
    shown = ", ".join(f"{first}-{last}" if first != last else str(first) for first, last in missing[:5])
    return f"{count}: {shown}" + (", ..." if len(missing) > 5 else "")


def _plain(problem: Mapping[str, Any]) -> str:
    return " ".join(f"{name}={value}" for name, value in problem.items())


def money(minor: int, currency: str) -> str:
    """An amount as people write it: 123456 is 1,234.56 in most currencies."""
    decimals = minor_digits(currency)
    whole, rest = divmod(abs(minor), 10**decimals)
    return f"{'-' if minor < 0 else ''}{whole:,}" + (f".{rest:0{decimals}d}" if decimals else "")
