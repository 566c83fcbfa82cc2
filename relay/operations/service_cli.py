"""`posline-relay service`: the head office starts with its machine."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from posline.errors import BadRequest, NotFound
from posline.till.machine import make_folder, planned
from posline.till.service import Plan, Service, install
from posline.till.service import remove as uninstall
from posline.till.terminal import print_json
from relay.operations.draining import DRAIN_S

__all__ = ["add_service_commands"]

NAME = "posline-relay"
REST_S = 10  # after draining: for the last commit, and for requests that are under way
Name = Annotated[str, typer.Option(help="What the system calls it.")]


def add_service_commands(app: typer.Typer, place: Callable[[typer.Context], Path | str], serve: Any) -> None:
    """Add them to `app`. `place` says where the head office is kept, `serve` is the command that runs it."""

    @app.command("install")
    def service_install(
        context: typer.Context,
        options: Annotated[
            list[str] | None, typer.Argument(metavar="[-- OPTIONS]", help="Options of 'serve', behind --.")
        ] = None,
        environment: Annotated[
            Path | None,
            typer.Option(help="A file of NAME=value lines that only its owner may read, as for a database's address."),
        ] = None,
        name: Name = NAME,
        show: Annotated[bool, typer.Option("--print", help="Only show what would be written.")] = False,
    ) -> None:
        """Start the head office now and whenever this machine starts, and again if it ever ends."""
        made = _plan(place(context), options or [], environment, name, serve)
        if show:
            print(made.text, end="")
            return
        if not context.obj.json and made.note:
            print(made.note)
        make_folder(context.obj.data.absolute())
        install(made)
        if context.obj.json:
            print_json({"file": str(made.path), "watch": made.watch})
        else:
            print(f"installed {made.path}: the head office starts with this machine. To see how it does: {made.watch}")

    @app.command("remove")
    def service_remove(context: typer.Context, name: Name = NAME) -> None:
        """Stop the head office and start it no more. Its data stays."""
        made = planned(Service(name, (sys.executable,), context.obj.data.absolute()))
        if not uninstall(made):
            raise NotFound(f"no service is installed here: there is no {made.path}")
        print_json({"file": str(made.path)}) if context.obj.json else print(f"removed {made.path}")


def _plan(where: Path | str, options: Sequence[str], environment: Path | None, name: str, serve: Any) -> Plan:
    command = typer.main.get_command_from_info(
        typer.models.CommandInfo("serve", callback=serve), pretty_exceptions_short=False, rich_markup_mode=None
    )
    given = command.make_context("serve", list(options)).params  # wrong usage ends here, and not at the next boot
    drain_s = float(given.get("drain_seconds") or DRAIN_S)
    data = where.absolute() if isinstance(where, Path) else Path.home()
    if isinstance(where, str):
        raise BadRequest.of(
            "database", "does not go into a unit, which everybody on the machine can read: write"
            " POSLINE_RELAY_DATABASE=postgresql://... into a file of mode 0600, name it with --environment, and leave"
            " --database away",
        )  # fmt: skip
    arguments = (sys.executable, "-m", "relay.cli", "serve", *(() if environment else ("--data", str(data))), *options)
    return planned(Service(
        name, arguments, data, program="posline-relay", what="head office", stop_s=math.ceil(drain_s) + REST_S,
        server=True, environment=environment.absolute() if environment is not None else None,
    ))  # fmt: skip
