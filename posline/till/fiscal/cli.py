"""`posline fiscal`: each command parses, asks the till, and prints."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import Mapping
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from posline.errors import BadRequest
from posline.till.fiscal.simulator import BEHAVIOURS, Simulator, serve
from posline.till.terminal import Ask, console, print_json

__all__ = ["fiscal_app"]



def fiscal_app(ask: Ask) -> typer.Typer:
    """The commands, which reach the till by `ask`."""
    app = typer.Typer(no_args_is_help=True, help="Filing sales with a fiscal service; off until it is set up.")
    token = typer.Typer(no_args_is_help=True, help="The service's token: it stays in this till's folder.")
    app.add_typer(token, name="token")

    @app.command("status")
    def status(context: typer.Context) -> None:
        """How filing goes: the service, what waits, the deadline, what a person must look at."""
        found = ask(context, "fiscal_status")
        print_json(found) if context.obj.json else _print_status(found)

    @app.command("queue")
    def queue(
        context: typer.Context,
        limit: Annotated[int, typer.Option(min=1, max=1000, help="How many at most.")] = 100,
        all: Annotated[bool, typer.Option("--all", help="What is filed too.")] = False,
    ) -> None:
        """What is not filed yet: first what a person must settle, then the oldest."""
        found = ask(context, "fiscal_queue", {"limit": limit, "all": all})
        print_json(found) if context.obj.json else _print_queue(found["queue"])

    @app.command("set")
    def set_up(
        context: typer.Context,
        setting: Annotated[str, typer.Argument(help='JSON such as {"adapter": "fbr_ims", "pos_id": 123}, or off.')],
        own: Annotated[bool, typer.Option("--own", help="For what this till sells alone.")] = False,
    ) -> None:
        """Say with which service this shop files, and by which till; `off` files no more."""
        try:
            value = None if setting == "off" else json.loads(setting)
        except ValueError as error:
            raise typer.BadParameter(f"the setting is no JSON ({error})") from error
        found = ask(context, "fiscal_set", {"value": value, "own": own})
        print_json(found) if context.obj.json else _print_status(found)

    @token.command("set")
    def token_set(context: typer.Context) -> None:
        """Keep the service's token here; it is read from stdin, so that no history of commands has it."""
        given = typer.prompt("token", hide_input=True) if sys.stdin.isatty() else sys.stdin.readline()
        found = ask(context, "fiscal_token", {"token": given.strip()})
        print_json(found) if context.obj.json else print(f"kept, for {found['for']} alone")

    @token.command("remove")
    def token_remove(context: typer.Context) -> None:
        """Forget the token."""
        found = ask(context, "fiscal_token", {"token": None})
        print_json(found) if context.obj.json else print("removed" if found["removed"] else "there was none")

    @app.command("resolve")
    def resolve(
        context: typer.Context,
        id: Annotated[str, typer.Argument(help="A sale's or refund's id, receipt, or reference.")],
        outcome: Annotated[str, typer.Argument(help="accepted, or not-sent")],
        number: Annotated[str | None, typer.Argument(help="accepted: the service's number.")] = None,
        why: Annotated[str, typer.Option(help="What you saw, for the journal.")] = "",
        by: Annotated[str, typer.Option(help="Who you are.")] = "",
    ) -> None:
        """Settle what may have been filed, after a look at the service: it has it, or it has not."""
        if outcome not in ("accepted", "not-sent") or (outcome == "accepted") != (number is not None):
            raise typer.BadParameter("say 'accepted NUMBER' or 'not-sent'")
        _say(context, ask(context, "fiscal_resolve", {"id": id, "number": number, "why": why, "by": by}))

    @app.command("release")
    def release(
        context: typer.Context,
        id: Annotated[str, typer.Argument(help="A sale's or refund's id, receipt, or reference.")],
        to: Annotated[str, typer.Option("--to", help="The till that files it [who is set to]")] = "",
        not_sent: Annotated[
            bool, typer.Option("--not-sent", help="You made sure that the service does not have it.")
        ] = False,
        why: Annotated[str, typer.Option(help="For the journal.")] = "",
        by: Annotated[str, typer.Option(help="Who you are.")] = "",
    ) -> None:
        """Queue again what was rejected, or give what a lost till should have filed to another."""
        arguments = {"id": id, "filer": to, "not_sent": not_sent, "why": why, "by": by}
        _say(context, ask(context, "fiscal_release", arguments))

    @app.command("simulate")
    def simulate(
        port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8524,
        script: Annotated[str, typer.Option(help=f"For the first invoices, by commas: {', '.join(BEHAVIOURS)}")] = "",
        usually: Annotated[str, typer.Option(help="For all others.")] = "accept",
    ) -> None:
        """Run a simulated fiscal service on this machine, to try filing; GET /ledger shows what it accepted."""
        try:
            simulator = Simulator([each.strip() for each in script.split(",") if each.strip()], usually=usually)
        except BadRequest as error:
            raise typer.BadParameter(str(error)) from error

        async def work() -> None:
            await simulator.start(port)
            print(f"ready {simulator.url}", flush=True)
            await serve(simulator)

        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(work())

    return app


def _say(context: typer.Context, found: Mapping[str, Any]) -> None:
    print_json(found) if context.obj.json else print(f"{found['receipt'] or found['id']} is {found['state']}")


def _print_status(found: Mapping[str, Any]) -> None:
    if found["fault"]:
        print(found["fault"])
    if not found["on"]:
        print("filing is off")
    else:
        print(f"{found['adapter']} ({found['mode']}) at {found['address']}, filed by till {found['filer_label']}")
        if found["here"] and not found["running"]:
            print("this till is not running: nothing is filed until it is")
    counts = {state: n for state, n in found["counts"].items() if n}
    if counts:
        print(", ".join(f"{n} {'need reconciliation' if s == 'unknown' else s}" for s, n in counts.items()))
    for name, words in (
        ("token_fault", "token"), ("trouble", "trouble"), ("oldest", "oldest that is not filed"),
        ("down_since", "not reached since"), ("due", "to be filed by"),
    ):  # fmt: skip
        if found.get(name):
            print(f"{words}: {found[name]}{' (overdue)' if name == 'due' and found['overdue'] else ''}")


def _print_queue(queue: list[dict[str, Any]]) -> None:
    if not queue:
        print("everything is filed")
        return
    table = Table("state", "kind", "receipt", "at", "number", "why", "id")
    for each in queue:
        why = "; ".join(each["errors"] or ([each["code"]] if each["code"] else []))
        row = (each["state"], each["kind"], each["receipt"], each["at"][:19], each["number"], why, each["id"])
        table.add_row(*map(escape, row))
    console().print(table)
