"""What people do about the devices of a shop at the head office: invite one, look at them, remove one.

Pages and commands are thin layers over it. All of it asks the books, and no more than reads the shop.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from posline.errors import BadRequest, NotFound
from relay.authoring import NotOurs, may_write
from relay.hosting.devices import Device
from relay.hosting.tills import IN, state_of
from relay.office import iso_ms
from relay.presence import Standing
from relay.relay import Branch, Relay
from relay.rights import Actor

__all__ = ["Listed", "invite", "listed", "remove", "standings"]

THERE_MS = 150_000  # since it was written that a device was seen: its page asks four times a minute


@dataclass(frozen=True, slots=True)
class Listed:
    """A device, what stands on its receipts (before it is let in, what was asked for), and its `state` as the shop
    itself has it: waiting, in, refused or removed."""

    device: Device
    label: str
    state: str

    def to_dict(self) -> dict[str, Any]:
        """For programs."""
        device = self.device
        return {
            "id": device.author, "label": self.label, "state": self.state, "paired": iso_ms(device.paired_ms),
            "last_seen": device.seen, "waiting": device.waiting if device.seen_ms else None, "agent": device.agent,
            "by": device.invited_by,
        }  # fmt: skip


def invite(relay: Relay, branch: Branch, label: str, *, by: Actor, expires_s: float) -> str:
    """The link with which one device of a shop is paired. Raises NotOurs where the shop would not believe what the head
    office asks, NotPossible, BadRequest, InvitationRefused."""
    if not may_write(branch.replica, relay.key.id):
        raise NotOurs("the shop does not have this head office among its members: attach it once more")
    return relay.devices.invite(branch.id, label.strip().upper(), by=by, expires_s=expires_s)


def listed(relay: Relay, branch: Branch) -> list[Listed]:
    """The devices of a shop."""
    reports, known = branch.reports, branch.replica.store.authority(branch.id).everyone
    return [
        Listed(
            device, reports.label(device.author) if device.author in known else device.label,
            state_of(branch.replica, device),
        )
        for device in relay.devices.of(branch.id)
    ]  # fmt: skip


def standings(relay: Relay, shop: str) -> dict[str, Standing]:
    """Where the devices of a shop that are hosted here stand, as a till that links: there, or not since."""
    found, now_ms = dict[str, Standing](), relay.office.now_ms()
    for device in relay.devices.of(shop):
        if device.seen_ms:
            serving = relay.key.id if now_ms - device.seen_ms < THERE_MS else ""
            seen_ms = device.seen_ms
            found[device.author] = Standing(shop, device.author, serving, "till", seen_ms, seen_ms, 0, None)
    return found


def remove(relay: Relay, branch: Branch, who: str, *, by: Actor) -> dict[str, Any]:
    """Host a device no more, by its label or id. Raises NotFound, BadRequest."""
    named = [each for each in listed(relay, branch) if who and who in (each.device.author, each.label)]
    if not named:
        raise NotFound(f"no device of this shop is called {who[:40]!r}: 'posline-relay device list' names them")
    if len(named) > 1:
        raise BadRequest.of("device", f"{who[:40]} are several: name one by its id")
    (found,) = named
    relay.devices.remove(found.device, by=by, label=found.label)
    theirs = " A manager removes it from the shop's tills, too" if found.state == IN else ""
    detail = f"{found.label or 'the device'} sells here no more, and what it sold counts.{theirs}"
    return {"device": found.device.author, "label": found.label, "detail": detail}
