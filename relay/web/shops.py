"""Shops as an administrator sees them: who is attached, under which name, with which tills; and letting one more in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from starlette.responses import Response
from starlette.routing import Route

from posline.core.base64url import base64url
from posline.core.members import Role as Membership
from posline.core.members import member_key
from posline.core.numbers import author_id
from posline.errors import NotPossible, PoslineError
from posline.till.invitation import EXPIRES_DEFAULT_S
from relay.hosting.desk import listed, standings
from relay.relay import Branch
from relay.rights import Right
from relay.web.codes import drawing
from relay.web.frame import Frame, Visit, off

__all__ = ["PATH", "shop", "shops_routes"]

PATH = "/office/shops"
EXPIRES_S = {"15m": EXPIRES_DEFAULT_S, "1h": 3600, "1d": 86400, "7d": 7 * 86400}


@dataclass(frozen=True, slots=True)
class Device:
    """One member of a shop, and by what it is known: `key` is the one with which it signs and links (base64url), `by`
    the label of whoever let it in, "" for itself or where that is not known here. `admitted_ms` is 0 where that is not
    known here."""

    id: str
    key: str
    by: str
    label: str
    role: str
    admitted_ms: int
    removed: bool
    linked: bool
    behind: int


def shops_routes(frame: Frame) -> list[Route]:
    """For those who administer."""
    right = Right.ADMINISTER
    return [
        frame.get(PATH, shops, right=right),
        frame.post(PATH + "/invite", invite, right=right),
        frame.get(PATH + "/{shop}", shop, right=right),
        frame.post(PATH + "/{shop}/rename", rename, right=right),
        frame.post(PATH + "/{shop}/remove", remove, right=right),
    ]


async def shops(visit: Visit, error: PoslineError | None = None) -> Response:
    """The list, and a form for an invitation."""
    relay = visit.relay
    removed = [each for each in await off(lambda: relay.office.shops(removed=True)) if each.removed_ms]
    branches = relay.branches()
    linked = [sum(peer["connected"] for peer in peers) for peers in relay.peers_of(branches)]
    listed = list(zip(branches, linked, strict=True))
    return visit.show(
        "shops.html", error=error, shops=listed, removed=removed, alias=visit.form.get("alias", ""),
        spans=list(EXPIRES_S),
    )  # fmt: skip


async def invite(visit: Visit) -> Response:
    """{alias, expires}: the link, and its QR code."""
    invitations, alias = visit.relay.invitations, visit.form.get("alias", "")
    expires_s = EXPIRES_S.get(visit.form.get("expires", ""), EXPIRES_DEFAULT_S)
    try:
        token = await off(lambda: invitations.add(expires_s=expires_s, note=alias, by=visit.actor))
    except PoslineError as error:
        return await shops(visit, error)
    link = str(await off(invitations.link, token, visit.relay.key.id))
    ends_ms = visit.relay.office.now_ms() + expires_s * 1000
    return visit.show("invited.html", link=link, code=drawing(link), alias=alias, ends_ms=ends_ms)


async def shop(visit: Visit, error: PoslineError | None = None) -> Response:
    """One shop, with its tills."""
    branch = visit.branch(visit.request.path_params["shop"])
    devices = await off(lambda: sorted(_devices(visit, branch), key=lambda each: (each.removed, each.label)))
    hosted = await off(listed, visit.relay, branch)
    return visit.show(
        "shop.html", error=error, branch=branch, devices=devices, refused=branch.refusals.listed(), hosted=hosted,
        hosting=await off(lambda: visit.relay.devices.url),
    )  # fmt: skip


async def rename(visit: Visit) -> Response:
    """{alias}."""
    branch = visit.branch(visit.request.path_params["shop"])
    try:
        alias = visit.form.get("alias", "")
        await off(lambda: visit.relay.office.rename_shop(branch.id, alias, by=visit.actor))
    except PoslineError as error:
        return await shop(visit, error)
    return visit.go(f"{PATH}/{branch.id}", "shop_renamed")


async def remove(visit: Visit) -> Response:
    """Serve it no more; what is held of it stays."""
    branch = visit.branch(visit.request.path_params["shop"])
    if branch.registered.removed_ms:
        raise NotPossible(f"{branch.name} was removed already")
    await off(lambda: visit.relay.office.remove_shop(branch.id, by=visit.actor))
    return visit.go(PATH, "shop_removed")


def _devices(visit: Visit, branch: Branch) -> Iterator[Device]:
    authority = branch.replica.store.authority(branch.id)
    admitted = _admitted(branch)
    peers = {peer["name"]: peer for peer in visit.relay.peers(branch)}
    hosted = standings(visit.relay, branch.id)
    for author, member in authority.everyone.items():
        if member.role is Membership.HEAD_OFFICE:
            continue
        peer = {"connected": hosted[author].linked} if author in hosted else peers.get(member.label, {})
        admitted_ms, admitter = admitted.get(author, (0, author))
        by = authority.everyone.get(admitter) if admitter != author else None
        yield Device(
            author, base64url(authority.key_of(author) or b""), by.label if by is not None else "",
            member.label, member.role.value, admitted_ms, author not in authority.members,
            bool(peer.get("connected")), int(peer.get("behind") or 0),
        )  # fmt: skip


def _admitted(branch: Branch) -> dict[str, tuple[int, str]]:
    """When each author was let in last, and by whom, as whoever did it says."""
    found: dict[str, tuple[int, str]] = {}
    acts = [act for act in branch.replica.store.acts(branch.id) if not act.fault and act.kind in ("member", "founding")]
    for act in sorted(acts, key=lambda act: act.at):
        key = act.body.get("key")
        if isinstance(key, str):
            at_ms = int(datetime.fromisoformat(act.at).timestamp() * 1000)
            found[author_id(member_key(key))] = at_ms, act.till
    return found
