"""The command line of a head office. Each command parses its arguments, asks the relay, and prints."""

from __future__ import annotations

import getpass
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from posline.cli import checked, day_or_none
from posline.core.numbers import AUTHOR
from posline.errors import PoslineError
from posline.till import terminal, text
from posline.till.invitation import parse_duration
from posline.till.local import ask, run_here
from posline.till.machine import default_folder
from posline.till.report_commands import add_report_commands
from posline.till.serve import run
from posline.till.terminal import Options, Shop, Version, print_json, visible
from posline.trust.certificate import Tls
from relay.commands import COMMANDS
from relay.export_commands import add_export_commands
from relay.hosting.commands import add_device_commands
from relay.hosting.door import TILLS_PORT, origin_of
from relay.number_cli import add_accounting_commands, add_webhook_commands
from relay.operations.cli import add_operation_commands
from relay.operations.draining import DRAIN_S
from relay.operations.logs import FORMATS, LEVELS, last_words, set_up
from relay.operations.service_cli import add_service_commands
from relay.price_cli import add_price_commands
from relay.relay import Relay
from relay.rights import Role
from relay.serve import RelayOptions, database_home, run_relay
from relay.web.caller import network
from relay.web.frame import WebOptions

__all__ = ["app", "main"]

PROGRAM = "posline-relay"
DATA_VARIABLE, DATABASE_VARIABLE = "POSLINE_RELAY_DATA", "POSLINE_RELAY_DATABASE"
DATABASE = "database"


app = typer.Typer(
    add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode=None,
    help="Posline's head office: every shop's sales in one place.",
)  # fmt: skip
shop = typer.Typer(no_args_is_help=True, help="Shops.")
user = typer.Typer(no_args_is_help=True, help="People who use the head office.")
token = typer.Typer(no_args_is_help=True, help="Tokens of programs and people.")
report = typer.Typer(no_args_is_help=True, help="Reports.")
export = typer.Typer(no_args_is_help=True, help="Files for other programs.")
accounting = typer.Typer(no_args_is_help=True, help="What accountants book.")
prices = typer.Typer(no_args_is_help=True, help="Prices of all shops, of groups of them, and of one.")
service = typer.Typer(no_args_is_help=True, help="Start the head office with this machine.")
device = typer.Typer(no_args_is_help=True, help="Phones and tablets that sell by this head office.")
webhook = typer.Typer(no_args_is_help=True, help="Programs that are told of what comes in.")
for name, group in (
    ("shop", shop), ("user", user), ("token", token), ("report", report), ("export", export),
    ("accounting", accounting), ("webhook", webhook), ("prices", prices), ("service", service),
    ("device", device),
):  # fmt: skip
    app.add_typer(group, name=name)


def main() -> None:
    """The entry point of `posline-relay`."""
    terminal.main(app, PROGRAM, places=("--data", "--database"))


@app.callback()
def _root(
    context: typer.Context,
    data: Annotated[
        Path | None, typer.Option(envvar=DATA_VARIABLE, help="The data folder; may stand anywhere on the line.")
    ] = None,
    database: Annotated[
        str | None,
        typer.Option(envvar=DATABASE_VARIABLE, help="postgresql://...: keep everything there, in place of a folder."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Answer in JSON; may stand anywhere on the line.")] = False,
    version: Version = False,
) -> None:
    if data is not None and database is not None and _from_environment(context, "data"):
        data = None  # of a service, whose operator went on to a database
    if data is not None and database is not None:
        raise typer.BadParameter("--data or --database: a head office is kept in one of the two")
    context.obj = Options(data if data is not None else default_folder(PROGRAM), json)
    context.meta[DATABASE] = database


def _from_environment(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name == "ENVIRONMENT"


def _place(context: typer.Context) -> Path | str:
    """Where this head office is kept: a folder, or a database's address."""
    database: str | None = context.meta.get(DATABASE)
    return database if database is not None else context.obj.data


def _ask(context: typer.Context, name: str, arguments: Mapping[str, Any] | None = None) -> Any:
    place, said = _place(context), {**(arguments or {}), "operator": _operator()}
    if isinstance(place, str):  # which any process may open beside others
        return run_here(lambda: Relay(database_home(place), serving=False), said, COMMANDS[name])
    return ask(place, name, said, command=COMMANDS[name], open_here=lambda folder: Relay(folder, serving=False))


def _operator() -> str:
    """Who runs the command, for the audit trail."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # no name for that number
        return ""


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
    trusted_proxy: Annotated[
        list[str] | None,
        typer.Option(help="A proxy's address or network, whose X-Forwarded-For and -Proto count; repeat it."),
    ] = None,
    proxy_cert: Annotated[
        Path | None, typer.Option(help="The certificate (PEM) that a proxy before it shows to tills.")
    ] = None,
    metrics_port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Serve /metrics there, and not beside the pages.")
    ] = None,
    tills: Annotated[
        str | None, typer.Option(help="Host phones and tablets, whose page is at this public address: https://...")
    ] = None,
    tills_port: Annotated[
        int, typer.Option(min=0, max=65535, help="Where that address leads to on this machine; 0 takes a free one.")
    ] = TILLS_PORT,
    drain_seconds: Annotated[
        float, typer.Option(min=0, max=3600, help="How long it may take to go empty once it is told to stop.")
    ] = DRAIN_S,
    log_format: Annotated[str, typer.Option(help="text, or json: one object a line.")] = "text",
    log_level: Annotated[str, typer.Option(help="debug, info, warning or error.")] = "info",
    access_log: Annotated[bool, typer.Option(help="A line for each request.")] = True,
) -> None:
    """Run the head office until it is stopped."""
    try:
        trusted = [network(each) for each in trusted_proxy or ()]
    except ValueError as error:
        raise typer.BadParameter(f"--trusted-proxy: {error}") from error
    if (tls_cert is None) != (tls_key is None):
        raise typer.BadParameter("--tls-cert and --tls-key go together")
    tls = None if tls_cert is None or tls_key is None else Tls(tls_cert, tls_key)
    if log_format not in FORMATS or log_level not in LEVELS:
        raise typer.BadParameter(f"--log-format is {' or '.join(FORMATS)}, --log-level {', '.join(LEVELS)}")
    origin = None if tills is None else checked(origin_of, tills)
    set_up(log_format, log_level)
    options = RelayOptions(
        _place(context), host, port, tls, own_certificate, address, proxy_cert, metrics_port, drain_s=drain_seconds,
        tills=origin, tills_port=tills_port,
        web=WebOptions(trusted, access_log=access_log),
    )  # fmt: skip
    try:
        run(lambda: run_relay(options))
    except PoslineError as error:
        if log_format == "json":  # whoever reads the log reads nothing else
            last_words(error)
        raise


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
        print(visible(f"{each['shop']}  {each['name']}"))


@shop.command("rename")
def shop_rename(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="SHOP", help="Its id, name or alias.")],
    alias: Annotated[str, typer.Argument(help="What the head office calls it; '' leaves it with its own name.")],
) -> None:
    """Give a shop another name here; its tills keep its own."""
    found = _ask(context, "shop_rename", {"shop": name, "alias": alias})
    print_json(found) if context.obj.json else print(visible(f"{found['name']} is called {alias or found['name']}"))


@shop.command("remove")
def shop_remove(
    context: typer.Context, name: Annotated[str, typer.Argument(metavar="SHOP", help="Its id, name or alias.")]
) -> None:
    """Serve a shop no more, until it is invited and attached again. What is held of it stays."""
    found = _ask(context, "shop_remove", {"shop": name})
    print_json(found) if context.obj.json else print(visible(f"{found['name']} is removed; its books stay"))


@user.command("add")
def user_add(
    context: typer.Context,
    name: str,
    role: Annotated[Role | None, typer.Option(help="What they may do [owner]", show_default=False)] = None,
    shops: Annotated[
        list[str] | None, typer.Option("--shop", help="A shop that they may see; repeat it. None: every shop.")
    ] = None,
) -> None:
    """Print a token of a person's: on the page they choose a password with it, and the API takes it as a bearer token
    with what their role allows. Whoever is known already gets one more."""
    found = _ask(context, "user_add", {"name": name, "role": role and role.value, "shops": shops or []})
    if context.obj.json:
        print_json(found)
        return
    if found["known"]:
        print(visible(f"{found['user']} is known already; this is one more token of theirs:"), file=sys.stderr)
    print(found["token"])


@user.command("list")
def user_list(context: typer.Context) -> None:
    """Who may use this head office."""
    found = _ask(context, "user_list")
    if context.obj.json:
        print_json(found)
        return
    rows = [
        (
            each["user"], each["role"], "every shop" if each["shops"] is None else ", ".join(each["shops"]),
            each["signed_in"] or ("never signed in" if each["password"] else "has no password yet"),
        )
        for each in found["users"]
    ]  # fmt: skip
    _table(("name", "role", "shops", "last signed in"), rows)


@user.command("remove")
def user_remove(context: typer.Context, name: str) -> None:
    """Remove a person; their sessions and tokens end at once."""
    found = _ask(context, "user_remove", {"name": name})
    print_json(found) if context.obj.json else print(visible(f"{found['user']} is removed"))


@user.command("password")
def user_password(context: typer.Context, name: str) -> None:
    """Print a token with which a person chooses a new password on the page. The old one and all sessions end."""
    found = _ask(context, "user_password", {"name": name})
    print_json(found) if context.obj.json else print(found["token"])


@token.command("add")
def token_add(
    context: typer.Context,
    shop: Shop,
    role: Annotated[str, typer.Option(help="read, or write")],
    author: Annotated[str, typer.Option(help="write: the member whose entries may pass")] = "",
    name: Annotated[str, typer.Option(help="What the token is for.")] = "",
    certificate: Annotated[
        Path | None, typer.Option(help="Write the certificate that the program must trust to this file.")
    ] = None,
) -> None:
    """Print a token for a program: it reads the API and the feed, and follows the shop's documents. Where the head
    office has a certificate of its own, say also which file that is, or show it where it lies in a database."""
    if role not in ("read", "write"):
        raise typer.BadParameter("the role is read or write")
    if author and AUTHOR.fullmatch(author) is None:
        raise typer.BadParameter("an author's id has 26 letters and digits")
    found = _ask(context, "token_add", {"shop": shop, "role": role, "author": author, "name": name})
    pem = found["certificate_pem"]
    if certificate is not None and pem is not None:
        certificate.write_text(pem)
        found["certificate"] = str(certificate)
    if context.obj.json:
        print_json(found)
        return
    if pem is not None:
        print(f"certificate: {found['certificate'] or 'put this into a file'}", file=sys.stderr)
        print("" if found["certificate"] else pem, end="", file=sys.stderr)
    if found["note"]:
        print(visible(found["note"]), file=sys.stderr)
    print(found["token"])


@token.command("list")
def token_list(context: typer.Context) -> None:
    """The tokens that open something, the newest first; of each only a hash is kept."""
    found = _ask(context, "token_list")
    if context.obj.json:
        print_json(found)
        return
    rows = [
        (
            each["id"], each["name"], each["of"], *_opens(each),
            each["made"], each["used"] or "never", each["sign_in_until"] or "",
        )
        for each in found["tokens"]
    ]  # fmt: skip
    _table(("id", "name", "of a", "shop", "role", "made", "used", "for a password until"), rows)


def _opens(token: Mapping[str, Any]) -> tuple[str, str]:
    """The shops that a token opens, and as what: a person's are those of whoever bears it, as they are now."""
    shop, role = ("theirs", "theirs") if token["of"] == "person" else (token["shop"] or "every shop", token["role"])
    return shop, role if token["bearer"] else ""


@token.command("revoke")
def token_revoke(
    context: typer.Context, id: Annotated[str, typer.Argument(help="Its id, from 'token list'.")]
) -> None:
    """End a token: it opens nothing any more, and links that it opened end within a second or two."""
    found = _ask(context, "token_revoke", {"id": id})
    print_json(found) if context.obj.json else print(visible(f"{found['name'] or found['id']} is revoked"))


@app.command()
def audit(
    context: typer.Context,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many lines.")] = 50,
    before: Annotated[str, typer.Option(help="The id of a line: those that are older (--json shows ids).")] = "",
) -> None:
    """Who did what here, and from where: sign-ins, people, shops, tokens; the newest first."""
    found = _ask(context, "audit", {"limit": limit, "before": before})
    if context.obj.json:
        print_json(found)
        return
    rows = [tuple(each[name] for name in ("at", "who", "from", "act", "about", "detail")) for each in found["lines"]]
    _table(("at", "who", "from", "act", "about", "detail"), rows)


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    table = Table(box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*map(escape, row))
    terminal.console().print(table)


@app.command()
def verify(context: typer.Context, shop: Annotated[str, typer.Option(help="Only this shop.")] = "") -> None:
    """Work the ledgers out again from the documents; print each problem. Exits 1 if there is one."""
    found = _ask(context, "verify", {"shop": shop})
    print_json(found) if context.obj.json else text.print_problems(found)
    if found["problems"]:
        raise typer.Exit(1)


add_report_commands(report, _ask, day_or_none, shops=True)
add_export_commands(export, _ask, day_or_none)
add_accounting_commands(accounting, _ask, day_or_none)
add_price_commands(prices, _ask, day_or_none)
add_device_commands(device, _ask)
add_webhook_commands(webhook, _ask)
add_service_commands(service, _place, serve)
add_operation_commands(app, _ask, _place)


if __name__ == "__main__":
    main()
