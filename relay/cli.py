"""The command line of a head office. Each command parses its arguments, asks the relay, and prints."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from posline.cli import checked, day_or_none
from posline.core.numbers import AUTHOR
from posline.till import terminal, text
from posline.till.invitation import parse_duration
from posline.till.local import ask
from posline.till.machine import default_folder
from posline.till.report_commands import add_report_commands
from posline.till.serve import run
from posline.till.terminal import Options, Version, print_json
from posline.trust.certificate import Tls
from relay.commands import COMMANDS
from relay.export_commands import add_export_commands
from relay.relay import Relay
from relay.serve import RelayOptions, run_relay

__all__ = ["app", "main"]

PROGRAM = "posline-relay"
DATA_VARIABLE = "POSLINE_RELAY_DATA"

Shop = Annotated[str, typer.Option("--shop", help="The shop's id or name.")]

app = typer.Typer(
    add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode=None,
    help="Posline's head office: every shop's sales in one place.",
)  # fmt: skip
shop = typer.Typer(no_args_is_help=True, help="Shops.")
user = typer.Typer(no_args_is_help=True, help="People who read.")
token = typer.Typer(no_args_is_help=True, help="Tokens for programs.")
report = typer.Typer(no_args_is_help=True, help="Reports.")
export = typer.Typer(no_args_is_help=True, help="Files for other programs.")
for name, group in (("shop", shop), ("user", user), ("token", token), ("report", report), ("export", export)):
    app.add_typer(group, name=name)


def main() -> None:
    """The entry point of `posline-relay`."""
    terminal.main(app, PROGRAM)


@app.callback()
def _root(
    context: typer.Context,
    data: Annotated[
        Path | None, typer.Option(envvar=DATA_VARIABLE, help="The data folder; may stand anywhere on the line.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Answer in JSON; may stand anywhere on the line.")] = False,
    version: Version = False,
) -> None:
    context.obj = Options(data if data is not None else default_folder(PROGRAM), json)


def _ask(context: typer.Context, name: str, arguments: Mapping[str, Any] | None = None) -> Any:
    return ask(
        context.obj.data,
        name,
        arguments or {},
        command=COMMANDS[name],
        open_here=lambda folder: Relay(folder, serving=False),
    )


@app.command()
def serve(
    context: typer.Context,
    host: Annotated[str, typer.Option(help="Where to listen; beyond this machine always with TLS.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8800,
    tls_cert: Annotated[Path | None, typer.Option(help="A certificate chain (PEM).")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="Its key (PEM).")] = None,
    own_certificate: Annotated[
        bool, typer.Option("--own-certificate", help="TLS with a certificate of its own also on this machine.")
    ] = False,
    address: Annotated[str | None, typer.Option(help="HOST:PORT by which shops reach it, if it differs.")] = None,
) -> None:
    """Run the head office until it is stopped."""
    if (tls_cert is None) != (tls_key is None):
        raise typer.BadParameter("--tls-cert and --tls-key go together")
    tls = None if tls_cert is None or tls_key is None else Tls(tls_cert, tls_key)
    terminal.log_to_stderr()
    run(lambda: run_relay(RelayOptions(context.obj.data, host, port, tls, own_certificate, address)))


@app.command()
def invite(
    context: typer.Context,
    shop: Annotated[str, typer.Option(help="What the head office calls the shop [its own name]")] = "",
    expires: Annotated[str, typer.Option(help="How long it stays open.")] = "15m",
) -> None:
    """Print a link with which one shop attaches itself: posline attach LINK."""
    found = _ask(context, "invite", {"shop": shop, "expires_s": checked(parse_duration, expires)})
    print_json(found) if context.obj.json else print(found["link"])


@shop.command("list")
def shop_list(context: typer.Context) -> None:
    """The shops that are attached."""
    found = _ask(context, "shop_list")
    if context.obj.json:
        print_json(found)
        return
    for each in found["shops"]:
        print(f"{each['shop']}  {each['name']}")


@user.command("add")
def user_add(context: typer.Context, name: str) -> None:
    """Print a token with which a person reads every shop, on the dashboard and by the API."""
    found = _ask(context, "user_add", {"name": name})
    print_json(found) if context.obj.json else print(found["token"])


@token.command("add")
def token_add(
    context: typer.Context,
    shop: Shop,
    role: Annotated[str, typer.Option(help="read, or write")],
    author: Annotated[str, typer.Option(help="write: the member whose entries may pass")] = "",
    name: Annotated[str, typer.Option(help="What the token is for.")] = "",
) -> None:
    """Print a token for a program: it reads the API and the feed, and follows the shop's documents."""
    if role not in ("read", "write"):
        raise typer.BadParameter("the role is read or write")
    if author and AUTHOR.fullmatch(author) is None:
        raise typer.BadParameter("an author's id has 26 letters and digits")
    found = _ask(context, "token_add", {"shop": shop, "role": role, "author": author, "name": name})
    if context.obj.json:
        print_json(found)
        return
    if found["certificate"] is not None:
        print(f"certificate: {found['certificate']}", file=sys.stderr)
    print(found["token"])


@app.command()
def verify(context: typer.Context, shop: Annotated[str, typer.Option(help="Only this shop.")] = "") -> None:
    """Work the ledgers out again from the documents; print each problem. Exits 1 if there is one."""
    found = _ask(context, "verify", {"shop": shop})
    print_json(found) if context.obj.json else text.print_problems(found)
    if found["problems"]:
        raise typer.Exit(1)


add_report_commands(report, lambda context, name, arguments: _ask(context, name, arguments), day_or_none, shops=True)
add_export_commands(export, lambda context, name, arguments: _ask(context, name, arguments), day_or_none)


if __name__ == "__main__":
    main()
