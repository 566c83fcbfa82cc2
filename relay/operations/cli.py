"""The operator's commands: how it stands, copies, drills, draining."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from posline.errors import BadRequest, FolderLocked, NotPossible
from posline.storage.folder import Folder
from posline.till.terminal import Ask, print_json, visible
from relay.operations.backups import put_back
from relay.operations.drilling import try_copy

__all__ = ["add_operation_commands"]

Place = Callable[[typer.Context], Path | str]
GONE_S = 120.0  # how long 'drain' waits for a process to be gone
LOOK_S, LOOK_FAR_S = 0.2, 1.0  # between two looks, in a folder and in a database
PROBLEMS_TOLD = 20
SHOPS_AT_ONCE = 500  # in one question


def add_operation_commands(app: typer.Typer, ask: Ask, place: Place) -> None:
    """Add them to `app`. `ask` runs a command of the head office, `place` says where that is kept."""

    @app.command()
    def status(context: typer.Context) -> None:
        """How the head office stands. Exits 1 where somebody should look at something."""
        found = ask(context, "status", {})
        print_json(found) if context.obj.json else _print_status(found)
        if found["problems"]:
            raise typer.Exit(1)

    @app.command()
    def backup(
        context: typer.Context,
        file: Annotated[Path, typer.Argument(help="A file, or a folder for one that is named by the time.")],
        with_key: Annotated[
            bool, typer.Option("--with-key", help="The head office's key, too: whoever has it can be this head office.")
        ] = False,
    ) -> None:
        """Write a copy of all of it while it runs, and look at it."""
        found = ask(context, "backup", {"file": str(file.absolute()), "with_key": with_key})
        if context.obj.json:
            print_json(found)
            return
        held = f": {found['shops']} shops, {found['entries']} entries" if "shops" in found else ""
        print(f"{found['file']}, {found['bytes']} bytes{held}")
        if found.get("key") is False:
            print("without the head office's key: keep a copy of the file 'key' elsewhere")

    @app.command()
    def restore(
        context: typer.Context,
        file: Path,
        key: Annotated[Path | None, typer.Option(help="The head office's key file, where the backup has none.")] = None,
    ) -> None:
        """Make a head office of a backup, in an empty folder or in a schema that is not there yet."""
        where = place(context)
        if isinstance(where, str):
            _restore_database(file, where)
            answer: dict[str, Any] = {"restored": str(file)}
        else:
            with Folder(where) as folder:
                made = put_back(folder, file, key)
                answer = {"restored": str(file), "shops": len(made.shops), "key": folder.key.exists()}
        if context.obj.json:
            print_json(answer)
            return
        print("restored. Start it once the one that it is a copy of is gone for good: posline-relay serve")
        if answer.get("key") is False:
            print(f"it lacks its key: put the file 'key' that you kept into {where} first")

    @app.command()
    def drill(
        context: typer.Context,
        file: Path,
        within: Annotated[
            Path | None, typer.Option("--in", help="A folder with room for it [the system's own for such]")
        ] = None,
    ) -> None:
        """Try a backup: put it back somewhere else, work it out again, compare it with what runs, throw it away.
        Exits 1 if anything differs."""
        where, began_s = place(context), time.monotonic()
        tried = try_copy(file, where if isinstance(where, str) else None, within)
        took_s = round(time.monotonic() - began_s, 1)
        shops, differences = list(tried["shops"].items()), list[str]()
        for at in range(0, len(shops), SHOPS_AT_ONCE):
            asked = {"shops": dict(shops[at : at + SHOPS_AT_ONCE])}
            differences += ask(context, "drill_compare", asked)["differences"]
        wrong = len(differences) + len(tried["problems"])
        said = ask(context, "drilled", {"file": str(file.absolute()), "took_s": took_s, "wrong": wrong})
        found = tried | said | {"differences": differences, "took_s": took_s}
        print_json(found) if context.obj.json else _print_drill(found)
        if not found["ok"]:
            raise typer.Exit(1)

    @app.command()
    def drain(
        context: typer.Context,
        process: Annotated[str, typer.Option(help="On a database: its id in 'status' [those of this machine]")] = "",
        wait: Annotated[bool, typer.Option(help="Return once it is gone.")] = True,
    ) -> None:
        """Let the head office go empty and end: links find another process, what is under way ends first."""
        where = place(context)
        if isinstance(where, Path) and not _is_running(where):
            raise NotPossible(f"no head office runs on {where}")
        found = ask(context, "drain", {"process": process})
        ids = [each["id"] for each in found["draining"] if "id" in each]

        def runs() -> bool:
            if isinstance(where, Path):
                return _is_running(where)
            return bool(ask(context, "running", {"ids": ids})["running"])

        until_s = time.monotonic() + GONE_S
        while wait and runs():
            if time.monotonic() > until_s:
                raise NotPossible(f"it is not gone after {GONE_S:.0f} s: read its log")
            time.sleep(LOOK_S if isinstance(where, Path) else LOOK_FAR_S)
        print_json(found) if context.obj.json else print("drained" if wait else "draining")


def _is_running(folder: Path) -> bool:
    if not folder.exists():
        return False
    try:
        Folder(folder).close()
    except FolderLocked:
        return True
    return False


def _restore_database(file: Path, url: str) -> None:
    try:
        from relay.operations.dumps import load
        from relay.postgres.connection import Database
    except ImportError as error:
        raise NotPossible(f"PostgreSQL needs the package psycopg ({error}): pip install 'posline[postgres]'") from error
    if not file.is_file():
        raise BadRequest.of("file", f"there is no {file}")
    load(file, Database(url))


def _print_status(found: Mapping[str, Any]) -> None:
    state = "draining" if found["draining"] else "serving" if found["serving"] else "not running"
    of = f"version {found['version']}, rules {found['rules']}, {found['database']}"
    print(f"head office {found['store']}: {state}, {of}")
    for each in found["processes"]:
        print(visible(
            f"    process {each['id']} at {each['host']}, pid {each['pid']}: {each['state']}, {each['links']} links,"
            f" version {each['version']}, since {each['since']}"
        ))  # fmt: skip
    shops, links, hooks = found["shops"], found["links"], found["webhooks"]
    linked = "" if shops["linked"] is None else f", {shops['linked']} linked"
    print(f"shops: {shops['attached']} attached{linked}")
    if links is not None:
        print("links: " + (", ".join(f"{count} {kind}" for kind, count in links.items() if count) or "none"))
    print(f"feed: {found['feed']['end']} events, {found['feed']['waiting']} wait for a number")
    print(f"webhooks: {hooks['count']}, {hooks['off']} off, {hooks['behind']} events behind at the most")
    for name in ("backup", "drill"):
        about = found[name]
        outcome = "" if about is None or "ok" not in about else ", whole" if about["ok"] else ", NOT whole"
        print(f"last {name}: " + ("never" if about is None else visible(f"{about['at']}, {about['file']}{outcome}")))
    for each in found["problems"]:
        print(visible(f"! {each['what']}: {each['do']}"))


def _print_drill(found: Mapping[str, Any]) -> None:
    wrong = [*found["problems"], *found["differences"]]
    for line in wrong[:PROBLEMS_TOLD]:
        print(visible(line))
    if len(wrong) > PROBLEMS_TOLD:
        print(f"and {len(wrong) - PROBLEMS_TOLD} more")
    count = sum(each["entries"] for each in found["shops"].values())
    held = f"{len(found['shops'])} shops and {count} entries in {found['took_s']} s"
    print(f"{held}: the backup is whole" if found["ok"] else f"{held}: the backup is NOT whole, make a new one")
