"""What people do about the devices of a shop at the head office: invite one, look at them, remove one.

Pages and commands are thin layers over it. All of it asks the books, and no more than reads the shop.
"""

from __future__ import annotations

from typing import Any

from posline.errors import BadRequest, NotFound
from posline.storage.reports import Reports
from relay.authoring import NotOurs, may_write
from relay.hosting.devices import Device
from relay.hosting.tills import IN, standing_of
from relay.office import iso_ms
from relay.relay import Branch, Relay
from relay.rights import Actor

__all__ = ["invite", "listed", "remove"]


def invite(relay: Relay, branch: Branch, label: str, *, by: Actor, expires_s: float) -> str:
    """The link with which one device of a shop is paired. Raises NotOurs where the shop would not believe what the head
    office asks, NotPossible, BadRequest, InvitationRefused."""
    if not may_write(branch.replica, relay.key.id):
        raise NotOurs("the shop does not have this head office among its members: attach it once more")
    return relay.devices.invite(branch.id, label.strip().upper(), by=by, expires_s=expires_s)


def listed(relay: Relay, branch: Branch) -> list[dict[str, Any]]:
    """The devices of a shop: {id, label, state, paired, last_seen, waiting, agent, by}; `state` is waiting, in or
    removed, as the shop itself has it."""
    reports = Reports(branch.replica.store, branch.id, here=branch.replica.store_id)
    return [
        {
            "id": device.author, "label": _label(reports, branch, device),
            "state": standing_of(branch.replica, device.author), "paired": iso_ms(device.paired_ms),
            "last_seen": device.seen, "waiting": device.waiting if device.seen_ms else None, "agent": device.agent,
            "by": device.invited_by,
        }
        for device in relay.devices.of(branch.id)
    ]  # fmt: skip


def remove(relay: Relay, branch: Branch, who: str, *, by: Actor) -> dict[str, Any]:
    """Host a device no more, by its label or id. Raises NotFound, BadRequest."""
    reports = Reports(branch.replica.store, branch.id, here=branch.replica.store_id)
    labels = {device: _label(reports, branch, device) for device in relay.devices.of(branch.id)}
    named = [device for device, label in labels.items() if who and who in (device.author, label)]
    if not named:
        raise NotFound(f"no device of this shop is called {who[:40]!r}: 'posline-relay device list' names them")
    if len(named) > 1:
        raise BadRequest.of("device", f"{who[:40]} are several: name one by its id")
    device, label = named[0], labels[named[0]]
    relay.devices.remove(device, by=by, label=label)
    theirs = " A manager removes it from the shop's tills, too." if _is_in(branch, device) else ""
    detail = f"{label or 'the device'} sells here no more, and what it sold counts.{theirs}"
    return {"device": device.author, "label": label, "detail": detail}


def _is_in(branch: Branch, device: Device) -> bool:
    return standing_of(branch.replica, device.author) == IN


def _label(reports: Reports, branch: Branch, device: Device) -> str:
    """What stands on its receipts; before it is let in, what was asked for."""
    known = device.author in branch.replica.store.authority(branch.id).everyone
    return reports.label(device.author) if known else device.label
