"""What the operator's commands ask of a head office: how it stands, a copy, what came of a drill, that it drains."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from posline.errors import BadRequest, NotPossible
from posline.storage.renewal import RULES
from posline.till.local import Command
from posline.till.machine import installed_version
from relay.home import FolderHome
from relay.office import iso_ms
from relay.operations.backups import place_of, write_copy
from relay.operations.drilling import compare
from relay.operations.figures import BACKUP, DRILL, last_of, links_by_kind
from relay.operations.roster import Roster, Running
from relay.relay import Relay

__all__ = ["OPERATION_COMMANDS"]

log = logging.getLogger("posline.relay")

DAY_MS = 86_400_000
BACKUP_MS, DRILL_MS = 2 * DAY_MS, 100 * DAY_MS  # after which somebody should be told
BEHIND_MAX = 1000  # events of the feed, for a webhook
FREE_MIN = 1 << 30  # bytes on the disk
WAITING_MAX = 1000  # events without a number


async def status(relay: Relay, arguments: Mapping[str, Any]) -> Any:
    """How the head office stands, and what somebody should do about it."""
    links = links_by_kind(relay) if relay.serving else None
    linked = len(relay.engine.hub.linked_shops()) if relay.serving else None
    return await asyncio.to_thread(_status, relay, links, linked)


def _linked_anywhere(relay: Relay) -> int:
    """Shops with a link to any process, as the books have it."""
    return sum(any(one.linked for one in found) for found in relay.presence.everywhere(None).values())


def _status(relay: Relay, links: dict[str, int] | None, linked: int | None) -> dict[str, Any]:
    now_ms = relay.office.now_ms()
    running = Roster(relay.office.database).listed(now_ms) if relay.home.shared else []
    webhooks = [(one, relay.webhooks.progress(one.id)) for one in relay.webhooks.listed()]
    end, backup, drill = relay.feed.end(), last_of(relay, BACKUP), last_of(relay, DRILL)
    found = {
        "version": installed_version(), "rules": RULES, "store": relay.key.id,
        "database": "postgresql" if relay.home.shared else "sqlite",
        "serving": relay.serving or bool(running), "draining": relay.draining.is_set(),
        "address": relay.office.address.partition(" ")[0],
        "processes": [_worker(each) for each in running],
        "shops": {
            "attached": len(relay.office.shops()), "linked": _linked_anywhere(relay) if relay.home.shared else linked,
        },
        "links": links if links is not None else {"all": sum(each.links for each in running)} if running else None,
        "feed": {"end": end, "waiting": relay.home.waiting(relay.store)},
        "webhooks": {
            "count": len(webhooks), "off": sum(not one.active for one, _ in webhooks),
            "behind": max((end - at.at for one, at in webhooks if one.active), default=0),
            "given_up": sum(relay.webhooks.dead_counts().values()),
        },
        "backup": _shown(backup), "drill": _shown(drill),
    }  # fmt: skip
    return found | {"problems": _problems(relay, found, backup, drill, now_ms)}


def _worker(each: Running) -> dict[str, Any]:
    return {
        "id": each.id, "host": each.host, "pid": each.pid, "version": each.version, "rules": each.rules,
        "since": iso_ms(each.began_ms), "links": each.links, "state": each.state,
    }  # fmt: skip


def _shown(note: Mapping[str, Any]) -> dict[str, Any] | None:
    return {"at": iso_ms(note["at_ms"])} | {k: v for k, v in note.items() if k != "at_ms"} if note else None


def _problems(
    relay: Relay, found: Mapping[str, Any], backup: Mapping[str, Any], drill: Mapping[str, Any], now_ms: int
) -> list[dict[str, str]]:
    """What a person should look at, each with what to do."""
    hooks, versions = found["webhooks"], {(each["version"], each["rules"]) for each in found["processes"]}
    free = relay.home.free_bytes()
    checks = (
        (not found["serving"], "no process serves", "start it: posline-relay serve"),
        (found["draining"], "this process is going down", "nothing, where that was meant"),
        (
            len(versions) > 1, f"processes of {len(versions)} versions run",
            "go on with the upgrade until all are of one: docs/upgrading.md",
        ),
        (bool(unfit := relay.home.unfit(relay.store)), unfit, "upgrade this machine too: docs/upgrading.md"),
        (
            bool(found["shops"]["attached"]) and now_ms - backup.get("at_ms", 0) > BACKUP_MS,
            f"the last backup was made {iso_ms(backup['at_ms'])}" if backup else "there is no backup",
            "posline-relay backup FILE, and let a timer do it each night: docs/operations.md",
        ),
        (
            bool(backup) and now_ms - drill.get("at_ms", 0) > DRILL_MS,
            f"the last drill was on {iso_ms(drill['at_ms'])}" if drill else "no backup was ever tried",
            "posline-relay drill FILE",
        ),
        (
            bool(drill) and not drill.get("ok"), "the last drill found the backup wanting",
            "make a new one and try that; where it is so again, run posline-relay verify",
        ),
        (
            found["feed"]["waiting"] >= WAITING_MAX, f"{found['feed']['waiting']} events wait for their number",
            "look in the logs for 'events wait': the database refuses a lock or a connection",
        ),
        (hooks["off"] > 0, f"{hooks['off']} webhooks are off", "posline-relay webhook list says why; webhook on ID"),
        (
            hooks["given_up"] > 0, f"{hooks['given_up']} events were not taken by a webhook's receiver",
            "posline-relay webhook dead ID; mend the receiver, then webhook requeue ID",
        ),
        (
            hooks["behind"] > BEHIND_MAX, f"a webhook is {hooks['behind']} events behind",
            "posline-relay webhook list: its receiver is away, or slower than what comes in",
        ),
        (free is not None and free < FREE_MIN, "less than 1 GiB is free on the disk", "free some room, or move it"),
    )  # fmt: skip
    return [{"what": what, "do": do} for wrong, what, do in checks if wrong]


# -- copies ------------------------------------------------------------------------------------------------------------


async def backup(relay: Relay, arguments: Mapping[str, Any]) -> Any:
    """{file, with_key}: a copy of all of it, while it runs."""
    at_ms = relay.office.now_ms()
    target = place_of(Path(str(arguments["file"])), at_ms, relay.home.is_copy)
    if isinstance(relay.home, FolderHome):
        about = await _of_folder(relay, relay.home, target, at_ms, bool(arguments.get("with_key")))
    else:
        about = await asyncio.to_thread(relay.home.dump, target)
    made = {"file": str(target.absolute()), "bytes": target.stat().st_size} | about
    await asyncio.to_thread(relay.office.set_note, BACKUP, json.dumps({"at_ms": at_ms} | made))
    log.info("a backup was made: %s", target, extra={"event": "backup", **made})
    return {"at": iso_ms(at_ms)} | made


async def _of_folder(relay: Relay, home: FolderHome, target: Path, at_ms: int, with_key: bool) -> dict[str, Any]:
    loop = asyncio.get_running_loop()

    def still(work: Callable[[], None]) -> None:
        if relay.serving:
            asyncio.run_coroutine_threadsafe(relay.engine.between_commits(work), loop).result()
        else:
            work()

    names = {shop.id: shop.name for shop in relay.office.shops(removed=True)}
    made = await asyncio.to_thread(
        write_copy, home.folder, target, still=still, with_key=with_key, office=relay.key.id, names=names, at_ms=at_ms
    )
    return {"shops": len(made.shops), "entries": sum(s["entries"] for s in made.shops.values()), "key": made.with_key}


async def drill_compare(relay: Relay, arguments: Mapping[str, Any]) -> Any:
    """{shops}: what a copy held of them, held against what is here."""
    return {"differences": await asyncio.to_thread(compare, relay.store, arguments["shops"])}


async def drilled(relay: Relay, arguments: Mapping[str, Any]) -> Any:
    """{file, wrong, took_s}: keep what came of a drill, in which so much was found wrong."""
    wrong = int(arguments["wrong"])
    ok = not wrong
    note = {
        "at_ms": relay.office.now_ms(), "ok": ok, "file": str(arguments["file"]), "differences": wrong,
        "took_s": float(arguments["took_s"]),
    }  # fmt: skip
    await asyncio.to_thread(relay.office.set_note, DRILL, json.dumps(note))
    log.log(
        logging.INFO if ok else logging.ERROR, "a restore of %s was tried: %s", arguments["file"],
        "it is whole" if ok else "it is NOT what it should be: make a new backup", extra={"event": "drill", "ok": ok},
    )  # fmt: skip
    return {"ok": ok}


# -- going down --------------------------------------------------------------------------------------------------------


async def drain(relay: Relay, arguments: Mapping[str, Any]) -> Any:
    """{process}: let a process go empty and end; without one, those of this machine."""
    if relay.serving:
        relay.draining.set()
        return {"draining": [{"host": socket.gethostname(), "pid": os.getpid()}]}
    if not relay.home.shared:
        raise NotPossible("no head office runs on this folder")
    roster, wanted = Roster(relay.office.database), str(arguments.get("process") or "")
    running = roster.listed(relay.office.now_ms())
    found = [each for each in running if (each.id == wanted if wanted else each.host == socket.gethostname())]
    if not found:
        raise BadRequest.of("process", "no such process runs: 'posline-relay status' lists those that do")
    roster.tell_to_drain([each.id for each in found])
    return {"draining": [{"id": each.id, "host": each.host, "pid": each.pid} for each in found]}


async def running(relay: Relay, arguments: Mapping[str, Any]) -> Any:
    """{ids}: which of these processes still run."""
    listed = {each.id for each in Roster(relay.office.database).listed(relay.office.now_ms())}
    return {"running": [id for id in arguments["ids"] if id in listed]}


OPERATION_COMMANDS: dict[str, Command] = {
    "status": status, "backup": backup, "drill_compare": drill_compare, "drilled": drilled, "drain": drain,
    "running": running,
}  # fmt: skip
