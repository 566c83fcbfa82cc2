"""The command line of a till. Each command parses its arguments, asks the till, and prints; the till does the work."""

from __future__ import annotations

import gzip
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from posline.errors import BadRequest, FolderError, NotFound
from posline.till import terminal, text
from posline.till.commands import COMMANDS, READING
from posline.till.counter_commands import add_counter_commands
from posline.till.export_commands import add_export_commands
from posline.till.fiscal.cli import fiscal_app
from posline.till.hosting.commands import host_app
from posline.till.invitation import Invitation, parse_duration
from posline.till.linking import sync_url
from posline.till.local import ask
from posline.till.machine import default_folder, make_folder, planned_service
from posline.till.offline import join_folder, restore_folder
from posline.till.query import day_of
from posline.till.receipt_commands import add_receipt_commands
from posline.till.report_commands import add_report_commands
from posline.till.serve import TillOptions, run, run_till
from posline.till.service import install
from posline.till.service import remove as uninstall
from posline.till.shift_commands import add_shift_commands
from posline.till.terminal import Options, Version, print_json, print_lines
from posline.till.till import open_till

__all__ = ["app", "checked", "day_or_none", "main"]

PROGRAM = "posline"
SERVICE = "posline-till"

app = typer.Typer(
    add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode=None,
    help="Posline: a till that keeps selling, and records every sale exactly once.",
)  # fmt: skip
report = typer.Typer(no_args_is_help=True, help="Reports.")
export = typer.Typer(no_args_is_help=True, help="Files for other programs.")
catalog = typer.Typer(no_args_is_help=True, help="Products and prices.")
token = typer.Typer(no_args_is_help=True, help="Tokens for programs that follow the shop's documents.")
app.add_typer(report, name="report")
app.add_typer(export, name="export")
app.add_typer(catalog, name="catalog")
key = typer.Typer(no_args_is_help=True, help="This till's key.")
app.add_typer(key, name="key")
app.add_typer(token, name="token")
service = typer.Typer(no_args_is_help=True, help="Start the till with this machine.")
app.add_typer(service, name="service")


def main() -> None:
    """The entry point of `posline`."""
    terminal.main(app, PROGRAM)


@app.callback()
def _root(
    context: typer.Context,
    data: Annotated[
        Path | None, typer.Option(envvar="POSLINE_DATA", help="The data folder; may stand anywhere on the line.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Answer in JSON; may stand anywhere on the line.")] = False,
    version: Version = False,
) -> None:
    context.obj = Options(data if data is not None else default_folder(PROGRAM), json)


def _ask(context: typer.Context, name: str, arguments: Mapping[str, Any] | None = None) -> Any:
    reading = name in READING
    if reading and not context.obj.data.is_dir():
        raise FolderError(f"there is no folder {context.obj.data}: name the till's with --data")
    return ask(
        context.obj.data,
        name,
        arguments or {},
        command=COMMANDS[name],
        open_here=lambda folder: open_till(folder, read_only=reading, found=not reading),
    )


app.add_typer(fiscal_app(_ask), name="fiscal")
app.add_typer(host_app(_ask), name="host")


def checked(parse: Any, value: Any, *more: Any) -> Any:
    """`parse(value)`, where what it objects to is wrong usage (exit code 2)."""
    try:
        return parse(value, *more)
    except BadRequest as error:
        raise typer.BadParameter(str(error)) from error


def day_or_none(value: str | None) -> str | None:
    """A day given on the command line."""
    return None if value is None else str(checked(day_of, value))


@app.command()
def till(
    context: typer.Context,
    label: Annotated[
        str | None, typer.Option(help="What stands before the number on receipts; later, renames.")
    ] = None,
    shop: Annotated[str | None, typer.Option(help="The shop's name, when it is founded.")] = None,
    currency: Annotated[str | None, typer.Option(help="The shop's currency, when it is founded [PKR].")] = None,
    zone: Annotated[str | None, typer.Option(help="The shop's time zone, when it is founded [Asia/Karachi].")] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="For the page and the API; 0 takes a free one.")] = 8700,
    sync_port: Annotated[int, typer.Option(min=0, max=65535, help="For other tills; 0 takes a free one.")] = 8701,
    peer: Annotated[list[str] | None, typer.Option(help="A till or relay to link with; may be given often.")] = None,
    no_discovery: Annotated[bool, typer.Option("--no-discovery", help="Do not look for tills on the network.")] = False,
    host: Annotated[str, typer.Option(help="Where to listen for other tills [every address of this machine]")] = "",
    address: Annotated[
        str | None, typer.Option(help="HOST:PORT by which other tills reach this one, if it differs.")
    ] = None,
) -> None:
    """Run a till until it is stopped. An empty data folder founds a shop."""
    for url in peer or []:
        checked(sync_url, url)
    terminal.log_to_stderr()
    options = TillOptions(
        context.obj.data, label, shop, currency, zone, port, sync_port, tuple(peer or ()),
        not no_discovery, host, address,
    )  # fmt: skip
    run(lambda: run_till(options))


@app.command()
def status(context: typer.Context) -> None:
    """Who this till is, whom it is linked with, what waits, what is wrong."""
    found = _ask(context, "status")
    print_json(found) if context.obj.json else text.print_status(found)


add_report_commands(report, _ask, day_or_none)
add_shift_commands(app, report, _ask, day_or_none)


@app.command()
def verify(context: typer.Context) -> None:
    """Work the ledger out again from the documents; print each problem. Exits 1 if there is one."""
    found = _ask(context, "verify")
    print_json(found) if context.obj.json else text.print_problems(found)
    if found["problems"]:
        raise typer.Exit(1)


@app.command()
def damage(
    context: typer.Context,
    seen: Annotated[bool, typer.Option("--seen", help="Somebody looked after it: it is no alarm any more.")] = False,
) -> None:
    """What of this till's data was found damaged, what was saved, and where the damaged file is kept."""
    found = _ask(context, "damage", {"seen": seen})
    print_json(found) if context.obj.json else print_lines(f"{line}\n" for line in found["damage"])


add_export_commands(export, _ask, day_or_none)


@catalog.command("import")
def catalog_import(
    context: typer.Context,
    file: Path,
    replace: Annotated[
        bool, typer.Option("--replace", help="The file is the whole catalogue: what is not in it is gone.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Write nothing; say what would be written, and what is wrong.")
    ] = False,
) -> None:
    """Take over products from a CSV file (or .gz): sku, name, price, and what else it has. Bad rows are listed."""
    asked = {"file": str(file.absolute()), "replace": replace, "dry_run": dry_run}
    found = _ask(context, "catalogue_import", asked)
    print_json(found) if context.obj.json else text.print_import(found, dry_run=dry_run)
    if found["bad_count"]:
        raise typer.Exit(1)


@catalog.command("export")
def catalog_export(
    context: typer.Context, file: Annotated[Path | None, typer.Argument(help="A file (.gz packs it) [stdout]")] = None
) -> None:
    """The current catalogue as CSV."""
    lines = _ask(context, "catalogue_export")
    if file is None:
        print_lines(lines)
        return
    with gzip.open(file, "wb") if file.suffix == ".gz" else file.open("wb") as target:
        for line in lines:
            target.write(line.encode())


@app.command()
def backup(context: typer.Context, file: Path) -> None:
    """A consistent copy of the data, without the till's key, while the till runs."""
    found = _ask(context, "backup", {"file": str(file.absolute())})
    print_json(found) if context.obj.json else print(f"{found['file']}: {found['bytes']} bytes")


@app.command()
def restore(
    context: typer.Context,
    file: Path,
    recovery: Annotated[str | None, typer.Option(help="The shop's recovery code: admits the new till at once.")] = None,
    join: Annotated[str | None, typer.Option(help="A link of 'posline invite': a till of the shop admits it.")] = None,
    label: Annotated[str, typer.Option(help="The new till's label [the old one's with a digit behind it]")] = "",
) -> None:
    """Make a new till out of a backup, in an empty data folder. It succeeds the old till under a new label."""
    invitation = None if join is None else checked(Invitation.parse, join, "join")
    terminal.log_to_stderr()
    found = restore_folder(context.obj.data, file, recovery=recovery, invitation=invitation, label=label)
    print_json(found) if context.obj.json else text.print_restored(found)


@app.command()
def invite(
    context: typer.Context, expires: Annotated[str, typer.Option(help="How long it stays open.")] = "15m"
) -> None:
    """Print a link with which one new till joins this shop."""
    found = _ask(context, "invite", {"expires_s": checked(parse_duration, expires)})
    print_json(found) if context.obj.json else text.print_invitation(found["link"])


@app.command()
def join(
    context: typer.Context, link: str, label: Annotated[str, typer.Option(help="This till's label [next letter]")] = ""
) -> None:
    """Take this till into the shop that the link is from. A shop that was only just founded here gives way."""
    invitation = checked(Invitation.parse, link, "join")
    terminal.log_to_stderr()
    found = join_folder(context.obj.data, invitation, label)
    print_json(found) if context.obj.json else print(f"joined {found['shop']} as till {found['label']}")


@app.command()
def attach(context: typer.Context, link: str) -> None:
    """Join the whole shop to a head office, with a link of 'posline-relay invite'."""
    invitation = checked(Invitation.parse, link, "attach")
    found = _ask(context, "attach", {"link": str(invitation)})
    print_json(found) if context.obj.json else print(f"attached to {found['url']}; the other tills learn it by sync")


@app.command()
def remove(
    context: typer.Context,
    till: Annotated[str, typer.Argument(help="Its label, or its id.")],
    vouched_only: Annotated[
        bool, typer.Option("--vouched-only", help="Only what its signature vouches for counts on: for a stolen till.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Even if it is the shop's last manager.")] = False,
) -> None:
    """Remove a lost or stolen till from the shop. What is here of its sales counts; what comes later is held."""
    found = _ask(context, "remove", {"till": till, "vouched_only": vouched_only, "force": force})
    print_json(found) if context.obj.json else print(found["detail"])


@app.command()
def accept(
    context: typer.Context,
    entry: Annotated[list[str], typer.Argument(help="Ids, or hashes or the first 8 digits of them.")],
) -> None:
    """Let entries count that are held or disputed, as the day report lists them."""
    found = _ask(context, "accept", {"entries": entry})
    if context.obj.json:
        print_json(found)
        return
    for each in found["accepted"]:
        print(f"accepted {each['kind']} {each['id']}")


@app.command()
def role(
    context: typer.Context,
    till: Annotated[str, typer.Argument(help="Its label, or its id.")],
    role: Annotated[str, typer.Argument(help="manager, or till: one that may not admit, remove or accept.")],
    force: Annotated[bool, typer.Option("--force", help="Even if it is the shop's last manager.")] = False,
) -> None:
    """Say what a till may do."""
    if role not in ("manager", "till"):
        raise typer.BadParameter("the role is manager or till")
    found = _ask(context, "role", {"till": till, "role": role, "force": force})
    print_json(found) if context.obj.json else print(f"till {found['label']} is a {found['role']} now")


@app.command()
def recover(context: typer.Context, code: str) -> None:
    """Make this till a manager with the shop's recovery code: where the managers are lost, or removed it by mistake."""
    found = _ask(context, "recover", {"code": code})
    print_json(found) if context.obj.json else print(f"till {found['label']} is a manager of the shop")


@app.command("set-time")
def set_time(
    context: typer.Context,
    time: Annotated[str, typer.Argument(help="Such as 2026-11-24T15:30, by the shop's own time zone.")],
) -> None:
    """Say what time it is, to a running till that cannot know. What it filed under a wrong day is moved."""
    found = _ask(context, "set_time", {"time": time})
    print_json(found) if context.obj.json else print(f"it is {found['at']}, business day {found['day']}")


@app.command()
def redate(
    context: typer.Context,
    run: Annotated[int, typer.Argument(help="The run, as a sale's JSON has it.")],
    first: Annotated[int, typer.Argument(help="The first entry's number in it (seq).")],
    last: Annotated[int, typer.Argument(help="The last one's.")],
    day: Annotated[str, typer.Argument(help="YYYY-MM-DD")],
) -> None:
    """Move entries to the business day that they belong to, where a wrong clock filed them under another."""
    arguments = {"run": run, "first": first, "last": last, "day": checked(day_of, day)}
    found = _ask(context, "redate", arguments)
    print_json(found) if context.obj.json else print(f"{found['entries']} entries count on {found['day']}")


@key.command("rotate")
def key_rotate(context: typer.Context) -> None:
    """Give this till a new key, where the old one may have been seen. It stays the same till."""
    found = _ask(context, "key_rotate")
    print_json(found) if context.obj.json else print("this till signs with a new key from now on")


@service.command("install")
def service_install(
    context: typer.Context,
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="As for `posline till`.")] = None,
    sync_port: Annotated[int | None, typer.Option(min=1, max=65535, help="As for `posline till`.")] = None,
    peer: Annotated[list[str] | None, typer.Option(help="As for `posline till`.")] = None,
    no_discovery: Annotated[bool, typer.Option("--no-discovery", help="As for `posline till`.")] = False,
    host: Annotated[str | None, typer.Option(help="As for `posline till`.")] = None,
    name: Annotated[str, typer.Option(help="What the system calls it; another one for a second till.")] = SERVICE,
    show: Annotated[bool, typer.Option("--print", help="Only show what would be written.")] = False,
) -> None:
    """Start the till now and whenever this machine starts, after a power cut too, and again if it ever ends."""
    for url in peer or []:
        checked(sync_url, url)
    options = {"--port": port, "--sync-port": sync_port, "--host": host}
    given = [word for option, value in options.items() if value is not None for word in (option, str(value))]
    given += [word for url in peer or [] for word in ("--peer", url)] + ["--no-discovery"] * no_discovery
    data = context.obj.data.absolute()
    planned = planned_service(data, name, given)
    if show:
        print(planned.text, end="")
        return
    if not context.obj.json and planned.note:
        print(planned.note)
    make_folder(data)
    install(planned)
    if context.obj.json:
        print_json({"file": str(planned.path), "watch": planned.watch})
    else:
        print(f"installed {planned.path}: the till starts with this machine. To see how it does: {planned.watch}")


@service.command("remove")
def service_remove(
    context: typer.Context, name: Annotated[str, typer.Option(help="What the system calls it.")] = SERVICE
) -> None:
    """Stop the till and start it no more. Its data stays."""
    planned = planned_service(context.obj.data.absolute(), name, ())
    if not uninstall(planned):
        raise NotFound(f"no service is installed here: there is no {planned.path}")
    print_json({"file": str(planned.path)}) if context.obj.json else print(f"removed {planned.path}")


@token.command("add")
def token_add(
    context: typer.Context,
    role: Annotated[str, typer.Option(help="read, or write")],
    author: Annotated[str, typer.Option(help="write: the member whose entries may pass")] = "",
    key: Annotated[str, typer.Option(help="write: a public key (base64url) to admit as a member")] = "",
    label: Annotated[str, typer.Option(help="write: the new member's label [next letter]")] = "",
    name: Annotated[str, typer.Option(help="What the token is for.")] = "",
) -> None:
    """Print a token for a program that follows the shop's documents, or writes entries of its own author."""
    if role not in ("read", "write"):
        raise typer.BadParameter("the role is read or write")
    found = _ask(context, "token_add", {"role": role, "author": author, "key": key, "label": label, "name": name})
    if context.obj.json:
        print_json(found)
        return
    for line in ("author", "key", "secret_key", "certificate"):
        if line in found:
            print(f"{line.replace('_', ' ')}: {found[line]}", file=sys.stderr)
    print(found["token"])


add_receipt_commands(app, _ask)
add_counter_commands(app, _ask)

if __name__ == "__main__":
    main()
