"""What the commands of `posline` ask of a till, whether it runs already or is opened for the one command.

Each takes the till and plain arguments, and answers JSON or lines. The command line parses and prints; nothing here
does either.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from posline.core.base64url import base64url
from posline.core.members import Role
from posline.core.numbers import author_id
from posline.errors import BadRequest
from posline.storage.verify import Harm, verify
from posline.till.admitting import admit, public_key
from posline.till.catalogue import write_catalogue
from posline.till.counter_commands import COUNTER_COMMANDS, COUNTER_READING
from posline.till.dating import redate, set_time
from posline.till.export_commands import EXPORT_COMMANDS
from posline.till.fiscal.commands import FISCAL_COMMANDS, FISCAL_READING
from posline.till.hosting.commands import HOST_COMMANDS, HOST_READING
from posline.till.importing import import_catalogue
from posline.till.invitation import TOKEN_BYTES, Invitation
from posline.till.inviting import invitation
from posline.till.joining import attach, request_membership
from posline.till.keeping import backup
from posline.till.local import Command, Lines, aside
from posline.till.membership import accept, recover, remove, rotate, set_role
from posline.till.opening import KEY_SEED_BYTES
from posline.till.receipt_commands import RECEIPT_COMMANDS
from posline.till.report_commands import REPORT_COMMANDS
from posline.till.settings import HandedOut
from posline.till.shift_commands import close_day, report_shift
from posline.trust.gate import token_hash
from posline.trust.keys import Key

if TYPE_CHECKING:
    from posline.till.till import Till

__all__ = ["COMMANDS", "READING"]

PAGE = 500


async def status(till: Till, arguments: Mapping[str, Any]) -> Any:
    """As GET /api/status."""
    return till.status()


async def verify_ledger(till: Till, arguments: Mapping[str, Any]) -> Any:
    """Problems found by working the ledger out again from the documents."""

    def work() -> list[str]:
        return list(verify(till.store, till.shop_id))

    problems = await asyncio.to_thread(work)
    if any(isinstance(problem, Harm) for problem in problems):
        again = set(await asyncio.to_thread(work))  # beside a till that sells, one may have been a sale coming in
        problems = [problem for problem in problems if not isinstance(problem, Harm) or problem in again]
    harm = [problem for problem in problems if isinstance(problem, Harm)]
    if harm:
        till.folder.doubt(f"'posline verify' found that {harm[0]}", sure=True)
        problems.append("start the till again: it builds its database anew from what is sound, and keeps this one")
    return {"problems": problems}


async def catalogue_import(till: Till, arguments: Mapping[str, Any]) -> Any:
    """Take over the products of a file; with `replace` they are the whole catalogue; with `dry_run` only say so."""
    file, replace, dry_run = Path(arguments["file"]), *(bool(arguments.get(name)) for name in ("replace", "dry_run"))
    return await import_catalogue(till, file, replace=replace, dry_run=dry_run)


async def catalogue_export(till: Till, arguments: Mapping[str, Any]) -> Any:
    """The current catalogue as lines of a CSV file."""

    def products() -> Iterable[dict[str, Any]]:
        after = ""
        while page := till.reports.catalog.listed(after=after, limit=PAGE, retired=True):
            yield from page
            after = page[-1]["sku"]

    return Lines(aside(write_catalogue(products())))


async def make_backup(till: Till, arguments: Mapping[str, Any]) -> Any:
    """A copy of the folder without its key."""
    return await asyncio.to_thread(backup, till, Path(arguments["file"]))


async def invite(till: Till, arguments: Mapping[str, Any]) -> Any:
    """A link for `posline join`."""
    return {"link": str(invitation(till, float(arguments["expires_s"])))}


async def join(till: Till, arguments: Mapping[str, Any]) -> Any:
    """Leave a shop that was only just founded for the one that invites."""
    invitation = Invitation.parse(arguments["link"], "join")
    label = await request_membership(till.folder, invitation, label=arguments.get("label") or "", store=till.store)
    await till.reopen()
    if till.shop_id != invitation.of:
        raise BadRequest.of(
            "link",
            "this till sold while it waited for the answer, and joining would take those sales away: it goes on in its "
            f"own shop. Remove {label} there, and join with an empty folder",
        )
    return {"shop": till.shop, "shop_id": till.shop_id, "label": label}


async def attach_shop(till: Till, arguments: Mapping[str, Any]) -> Any:
    """Join the whole shop to a head office."""
    return await attach(till, Invitation.parse(arguments["link"], "attach"))


async def token_add(till: Till, arguments: Mapping[str, Any]) -> Any:
    """A token for a program that follows the shop's documents, or writes entries of an admitted author of its own."""
    role, author, answer = arguments["role"], None, {}
    if role == "write":
        if arguments.get("author"):
            author = str(arguments["author"])
            if author not in till.store.members(till.shop_id):
                raise BadRequest.of("author", f"{author[:40]!r} is no member of this shop")
        else:
            key = public_key(arguments["key"]) if arguments.get("key") else None
            if key is None:
                made = Key(secrets.token_bytes(KEY_SEED_BYTES))
                key, answer = made.public, {"secret_key": made.code()}
            await admit(till, key, role=Role.TILL, label=arguments.get("label") or "")
            author = author_id(key)
            answer["key"] = base64url(key)
        answer["author"] = author
    token = secrets.token_urlsafe(TOKEN_BYTES)
    till.settings.tokens[token_hash(token)] = HandedOut(role, arguments.get("name") or "", author)
    till.settings.save(till.folder)
    certificate = till.links.certificate().root
    return {**answer, "role": role, "certificate": str(certificate), "token": token}


async def remove_till(till: Till, arguments: Mapping[str, Any]) -> Any:
    """Remove a till from the shop."""
    vouched_only, force = bool(arguments.get("vouched_only")), bool(arguments.get("force"))
    return await remove(till, arguments["till"], vouched_only=vouched_only, force=force)


async def accept_entries(till: Till, arguments: Mapping[str, Any]) -> Any:
    """Let held or disputed entries count."""
    return await accept(till, arguments["entries"])


async def change_role(till: Till, arguments: Mapping[str, Any]) -> Any:
    """Make a till a manager, or a manager a till."""
    return await set_role(till, arguments["till"], arguments["role"], force=bool(arguments.get("force")))


async def say_time(till: Till, arguments: Mapping[str, Any]) -> Any:
    """Say what time it is."""
    return await set_time(till, arguments["time"])


async def move_entries(till: Till, arguments: Mapping[str, Any]) -> Any:
    """Move entries to another business day."""
    run, first, last = (int(arguments[name]) for name in ("run", "first", "last"))
    return await redate(till, run, first, last, str(arguments["day"]))


async def recover_till(till: Till, arguments: Mapping[str, Any]) -> Any:
    """Make this till a manager with the recovery code."""
    return await recover(till, arguments["code"])


async def damage(till: Till, arguments: Mapping[str, Any]) -> Any:
    """What was found damaged and what became of it; with `seen` it is no alarm any more."""
    told = [alarm["detail"] for alarm in till.watch.mishap.alarms()]
    if arguments.get("seen"):
        till.watch.mishap.seen()
    return {"damage": told}


async def key_rotate(till: Till, arguments: Mapping[str, Any]) -> Any:
    """Give this till a new key."""
    return await rotate(till)


COMMANDS: dict[str, Command] = {
    "status": status,
    "report_shift": report_shift,
    "day_close": close_day,
    "verify": verify_ledger,
    "catalogue_import": catalogue_import,
    "catalogue_export": catalogue_export,
    "backup": make_backup,
    "invite": invite,
    "join": join,
    "attach": attach_shop,
    "token_add": token_add,
    "remove": remove_till,
    "accept": accept_entries,
    "role": change_role,
    "key_rotate": key_rotate,
    "damage": damage,
    "recover": recover_till,
    "set_time": say_time,
    "redate": move_entries,
    **RECEIPT_COMMANDS,
    **COUNTER_COMMANDS,
    **FISCAL_COMMANDS,
    **HOST_COMMANDS,
    **REPORT_COMMANDS,
    **EXPORT_COMMANDS,
}
# those that write no entry: where no till runs they open the folder for reading, and found no shop in an empty one
READING = frozenset({
    "status", "damage", "report_shift", "verify", "catalogue_export", "backup", "receipt", "printer_show",
    *COUNTER_READING, *FISCAL_READING, *HOST_READING, *REPORT_COMMANDS, *EXPORT_COMMANDS,
})  # fmt: skip
