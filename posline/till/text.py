"""Reports as people read them: tables for the terminal, and plain text where stdout is a file."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import segno
from rich.table import Table

from posline.till.terminal import console

_DECIMALS = {
    "JPY": 0,
    "KRW": 0,
    "VND": 0,
    "CLP": 0,
    "BHD": 3,
    "IQD": 3,
    "JOD": 3,
    "KWD": 3,
    "OMR": 3,
    "TND": 3,
}  # ISO 4217; else 2

__all__ = ["print_day", "print_import", "print_invitation", "print_problems", "print_restored", "print_status"]


def print_status(status: Mapping[str, Any]) -> None:
    """Who this till is, its links, what waits, what is wrong."""
    out = console()
    out.print(f"{status['shop']}: till {status['label']} ({status['till']}), day {status['day']}", markup=False)
    waiting = status["waiting"]
    out.print(f"{waiting} entries on this till only" if waiting else "everything is on another device too")
    for peer in status["peers"]:
        state = f"behind by {peer['behind']}" if peer["behind"] else "up to date"
        if not peer["connected"]:
            state = f"not connected, last seen {peer['last_seen'] or 'never'}"
        out.print(f"  {peer['name']} ({peer['kind'] or 'unknown'}): {state}", markup=False)
    for alarm in status["alarms"]:
        out.print(f"ALARM {alarm['kind']}: {alarm['detail']}", markup=False)


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
    for name in ("duplicates", "held", "disputed", "invalid"):
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


def print_import(found: Mapping[str, Any]) -> None:
    """What an import did; bad rows go to stderr."""
    for row in found["bad"]:
        print(f"line {row['line']}: {row['detail']}", file=sys.stderr)
    print(
        f"{found['products']} products: {found['written']} new or changed, {found['unchanged']} as before; "
        f"{found['bad_count']} bad rows left out"
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
    decimals = _DECIMALS.get(currency, 2)
    whole, rest = divmod(abs(minor), 10**decimals)
    return f"{'-' if minor < 0 else ''}{whole:,}" + (f".{rest:0{decimals}d}" if decimals else "")
