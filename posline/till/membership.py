"""What a manager decides about the shop's tills: who is removed, what is accepted, who may do what; and a new key.

Each is one signed entry in the shop's document. What it means for the entries of others is decided in posline.core, the
same on every device; here is only who is meant, whether this till may, and what a person is told.
"""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from posline.core.base64url import base64url
from posline.core.kinds import MAX_POINTS
from posline.core.members import Member, Role, Shop
from posline.core.status import Status
from posline.errors import BadRequest, CommitFailed, NotAllowed, NotFound, NotPossible
from posline.storage.ledger import CODE, STATUSES
from posline.storage.removal import holding_of, points_of
from posline.till.opening import KEY_SEED_BYTES, next_key, open_replica, use_new_key
from posline.trust.keys import Key

if TYPE_CHECKING:
    from posline.till.till import Till

__all__ = ["accept", "alarm_of_removal", "in_charge", "recover", "remove", "rotate", "set_role"]

KEYS_UNHEARD_MAX = 8  # an introduction brings every one of them, and has to fit into one proof
PREFIX_DIGITS = 8  # hex digits of an entry's hash that may stand for it
_HEX = re.compile(r"[0-9a-f]{8,64}")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
WAITING = (CODE[Status.HELD], CODE[Status.DISPUTED])


async def remove(till: Till, who: str, *, vouched_only: bool = False, force: bool = False) -> dict[str, Any]:
    """Remove a till, or the head office, from the shop. What is here of it counts on; with `vouched_only` only as far
    as its own signature reaches. `who` is a label or an author id. `force` lets even the last manager go.

    Answers what is here of it: {till, label, entries, last_seq, last_receipt, detail}. Raises NotAllowed, NotFound,
    BadRequest, CommitFailed.
    """
    shop = in_charge(till, "remove others")
    author = _author(till, shop, who).author
    _leave_one(shop, author, force, "removed")
    points = await asyncio.to_thread(points_of, till.store, till.shop_id, author, vouched_only=vouched_only)
    for start in range(0, max(len(points), 1), MAX_POINTS):
        named = [list(point) for point in points[start : start + MAX_POINTS]]
        await till.write("remove", {"member": author, "points": named}, document="shop")
    held = await asyncio.to_thread(holding_of, till.store, till.shop_id, author)
    label = _label(till, author)
    if held.entries:
        upto = f"up to its entry {held.last_seq}" + (f" and receipt {held.last_receipt}" if held.last_receipt else "")
        here = f"{held.entries} of its entries count here, {upto}"
    else:
        here = "none of its entries count here"
    return {
        "till": author,
        "label": label,
        "entries": held.entries,
        "last_seq": held.last_seq,
        "last_receipt": held.last_receipt,
        "detail": f"till {label} is removed. {here[0].upper()}{here[1:]}. What it sold after that is not here; if it "
        "comes, it is held until 'posline accept' names it.",
    }


async def accept(till: Till, entries: Sequence[str]) -> dict[str, Any]:
    """Let held or disputed entries count. Each is named by its hash, at least 8 hex digits of it, or its id.

    Answers {accepted: [{hash, id, kind, till, amount}...]}. Raises NotAllowed, NotFound, BadRequest, CommitFailed.
    """
    in_charge(till, "accept entries")
    if not entries:
        raise BadRequest.of("entries", "names none")
    found: dict[str, dict[str, Any]] = {}
    for name in entries:
        for entry in _waiting(till, name):
            found[entry["hash"]] = entry
    hashes = list(found)
    for start in range(0, len(hashes), MAX_POINTS):
        await till.write("accept", {"entries": hashes[start : start + MAX_POINTS]}, document="shop")
    return {"accepted": list(found.values())}


async def set_role(till: Till, who: str, role: str, *, force: bool = False) -> dict[str, Any]:
    """Make a till a manager, or a manager a till that may not admit, remove or accept.

    Answers {till, label, role}. Raises NotAllowed, NotFound, BadRequest, CommitFailed.
    """
    if role not in (Role.MANAGER, Role.TILL):
        raise BadRequest.of("role", "is manager or till")
    shop = in_charge(till, "say what others may do")
    member = _author(till, shop, who)
    label = _label(till, member.author)
    if member.author in shop.removals:
        raise BadRequest.of("till", f"{label} was removed: a till that was removed joins again as a new one")
    if member.role not in (Role.MANAGER, Role.TILL):
        raise BadRequest.of("till", f"{label} is a {member.role}, and stays one")
    if role == Role.TILL:
        _leave_one(shop, member.author, force, "made a till")
    if member.role != role:
        await till.write("role", {"member": member.author, "role": role}, document="shop")
    return {"till": member.author, "label": label, "role": role}


async def rotate(till: Till) -> dict[str, Any]:
    """Give this till a new key. It stays the same till; what anybody signs with the old key from now on is invalid.

    After a cut at any point the till opens with the key that its last entry was signed for. Answers {till, key}.
    Raises NotAllowed, CommitFailed.
    """
    shop = till.store.authority(till.shop_id)
    if till.id not in shop.members:
        raise NotAllowed("only a till that belongs to the shop can change its key: this one does not, or not yet")
    if len(shop.members) > 1 and _unheard_keys(till) >= KEYS_UNHEARD_MAX:
        raise NotAllowed(
            f"{KEYS_UNHEARD_MAX} new keys of this till have reached no other device yet, and with more of them "
            "none would know it again. Let it link with another till or the head office first"
        )
    fresh = Key(secrets.token_bytes(KEY_SEED_BYTES), till.id)
    path = next_key(till.folder)
    await asyncio.to_thread(fresh.save, path)
    try:
        await till.engine.durable(till.replica.rotate(fresh))
    except CommitFailed:
        path.unlink(missing_ok=True)
        raise
    use_new_key(till.folder)
    till.use_key(fresh)
    return {"till": till.id, "key": fresh.public.hex()}


def _unheard_keys(till: Till) -> int:
    """How many of this till's changes of key are on no other device's disk, as far as is known here."""
    own = [act for act in till.store.acts(till.shop_id) if act.kind == "key" and act.till == till.id]
    holders = [till.reports.durable(act) for act in own]
    return sum(not (held["tills"] or held["head_office"]) for held in holders)


async def recover(till: Till, code: str) -> dict[str, Any]:
    """Make this till a manager with the shop's recovery code, where nobody else may: the managers are lost, or it was
    removed by mistake. What it sold in between counts then, too, also where it changed its key before it heard.

    Answers {till, label, role}. Raises BadRequest, CommitFailed, and NotPossible where others say that it was removed
    and it has not heard that itself: an admission that had not seen the removal would not undo it.
    """
    try:
        recovery = Key.from_code(code)
    except ValueError as error:
        raise BadRequest.of("code", "is no recovery code: it has 52 letters and digits, in groups of five") from error
    shop = till.store.authority(till.shop_id)
    if shop.recovery is None or shop.recovery.author != recovery.id:
        raise BadRequest.of("code", "is the code of another shop")
    acts = till.store.acts(till.shop_id)
    heard = any(act.kind == "remove" and act.body["member"] == till.id for act in acts if not act.fault)
    if not heard and (told := till.watch.shut_out()) is not None:
        raise NotPossible(
            f"{told['detail']}. This till has not heard that itself, so that the code can undo nothing here. Make a "
            "backup ('posline backup FILE') and restore it in an empty folder ('posline restore FILE --recovery CODE'):"
            " the new till brings along what this one sold, and a manager can 'posline accept' it"
        )
    own = shop.members.get(till.id)
    writer = open_replica(till.store, till.shop_id, recovery, till.clockwork)
    if own is None or own.role is not Role.MANAGER:
        first = shop.keys[till.id][0][1] if till.id in shop.keys else till.key.public
        writer.write(
            "member",
            {"key": base64url(first), "member": till.id, "label": till.label, "role": Role.MANAGER.value},
            document="shop",
        )
    changes = [act for act in acts if act.kind == "key" and act.till == till.id]
    unbelieved = [act.hash.hex() for act in changes if act.hash in shop.late]
    if unbelieved:  # it had not heard yet that it was removed; what it signs is worth nothing without them
        writer.write("accept", {"entries": unbelieved}, document="shop")
    for made in writer.staged:  # it travels and is judged like anybody's
        staged = till.whole.integrate(made.document, made.update, origin=recovery.id)
        if staged is not None:
            await till.engine.durable(staged)
    return {"till": till.id, "label": till.label, "role": Role.MANAGER.value}


def alarm_of_removal(till: Till) -> dict[str, Any] | None:
    """What a till says that was removed; None for one that was not."""
    shop = till.store.authority(till.shop_id)
    removal = shop.removals.get(till.id)
    if removal is None:
        return None
    by = " and ".join(_label(till, author) for author in removal.by if author != till.id)
    detail = (
        f"this till was removed from the shop{f' by till {by}' if by else ''}: what it sells is kept, and held until a"
        " manager accepts it. To work in the shop again, join with an empty data folder, as a new till."
    )
    return {"kind": "removed", "detail": detail}


# ----------------------------------------------------------------------------------------------------------------------


def in_charge(till: Till, doing: str) -> Shop:
    """The shop, if this till is a manager of it."""
    shop = till.store.authority(till.shop_id)
    own = shop.members.get(till.id)
    if own is None or own.role is not Role.MANAGER:
        may = ", ".join(_label(till, member.author) for member in shop.in_charge())
        nobody = "nobody is: make it one with 'posline recover' and the shop's recovery code"
        where = f"do it at a till that may: {may}" if may else nobody
        raise NotAllowed(f"this till is no manager and may not {doing}: {where}")
    return shop


def _leave_one(shop: Shop, author: str, force: bool, done: str) -> None:
    if not force and [member.author for member in shop.in_charge()] == [author]:
        raise BadRequest.of(
            "till",
            f"is the shop's last manager: were it {done}, only the recovery code could admit or remove anybody. Make"
            " another till manager first, or say --force",
        )


def _label(till: Till, author: str) -> str:
    member = till.store.authority(till.shop_id).everyone.get(author)
    return till.reports.renamed(author) or (member.label if member is not None and member.label else author[:6])


def _author(till: Till, shop: Shop, who: str) -> Member:
    """Whoever is or was a member under this label or id; one that is goes before those that were."""
    if who in shop.everyone:
        return shop.everyone[who]
    found = [m for m in shop.everyone.values() if who.upper() in (_label(till, m.author), m.label)]
    now = [m for m in found if m.author in shop.members] or found
    if not now:
        known = ", ".join(sorted(_label(till, author) for author in shop.members))
        raise NotFound(f"the shop has no till {who[:40]!r}: it has {known}")
    if len(now) > 1:
        raise BadRequest.of("till", f"{who[:40]} are several: name one by its id: {', '.join(m.author for m in now)}")
    return now[0]


def _waiting(till: Till, name: str) -> list[dict[str, Any]]:
    """The held or disputed entries that `name` means."""
    wanted = name.strip().lower()
    where: tuple[str, tuple[Any, ...]]
    if _UUID.fullmatch(wanted):
        where = "id = ?", (wanted,)
    elif _HEX.fullmatch(wanted):
        first, last = bytes.fromhex(wanted.ljust(64, "0")), bytes.fromhex(wanted.ljust(64, "f"))
        where = "hash BETWEEN ? AND ?", (first, last)
    else:
        raise BadRequest.of("entries", f"{name[:70]!r} is no id, and no {PREFIX_DIGITS} or more hex digits of a hash")
    rows = till.store.read.execute(
        f"SELECT hash, id, kind, author, amount, status FROM entry WHERE shop = ? AND {where[0]}",
        (till.store.shop_key(till.shop_id), *where[1]),
    ).fetchall()
    found = {
        row[0].hex(): {"hash": row[0].hex(), "id": row[1], "kind": row[2], "till": row[3], "amount": row[4]}
        for row in rows
        if row[5] in WAITING
    }
    if not found:
        others = sorted({STATUSES[row[5]].value for row in rows})
        what = f"it is {' and '.join(others)}" if others else "nothing here has that name"
        raise NotFound(f"nothing held or disputed is called {name[:70]}: {what}")
    if len(found) > 1 and not _UUID.fullmatch(wanted):
        raise BadRequest.of("entries", f"{name[:70]} are several: {', '.join(sorted(found))}")
    return list(found.values())
