"""Inviting a till into the shop: the link that it joins with, made by a command or at a page that shows it as a QR."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from posline.core.faults import Faults
from posline.core.people import MEMBERS
from posline.till.admitting import NotAdmitted
from posline.till.codes import svg_of
from posline.till.invitation import EXPIRES_DEFAULT_S, Invitation
from posline.till.recording import uuid_of
from posline.till.shared import manages

if TYPE_CHECKING:
    from posline.till.till import Till

__all__ = ["Inviting", "invitation"]

REMEMBERED = 100  # ids of requests, so that one that is repeated opens no second door
SCALE = 4
_FIELDS = frozenset({"id", "by", "pin", "approve"})


def invitation(till: Till, expires_s: float) -> Invitation:
    """A link with which one new till may join within `expires_s` seconds. Raises NotAdmitted where this till may admit
    nobody, and InvitationRefused where too many are open."""
    if not manages(till):
        raise NotAdmitted("this till may not admit others: run 'posline invite' on a till that may")
    token = till.links.invite(expires_s)
    pin = till.links.certificate().tls.fingerprint
    return Invitation("join", tuple(till.links.addresses()), till.shop_id, token, pin)


class Inviting:
    """Invitations that pages ask for."""

    def __init__(self, till: Till) -> None:
        self._till = till
        self._made: OrderedDict[str, tuple[int, str]] = OrderedDict()  # id -> (when it ends, the link)

    async def invite(self, request: Mapping[str, Any]) -> tuple[dict[str, Any], bool]:
        """({link, expires_s, svg}, whether the same id was answered before) for {id, by?, pin?, approve?}. An id whose
        link has expired is a new one. Raises BadRequest, NotAllowed, and what `invitation` does."""
        faults = Faults()
        faults.fields("", request, _FIELDS)
        faults.raise_any()
        id = uuid_of(request)
        await self._till.people.allow(MEMBERS, request)
        now = self._till.clockwork.monotonic_ms()
        ends_ms, link = self._made.get(id, (now, ""))
        repeated = ends_ms > now
        if not repeated:
            ends_ms, link = now + EXPIRES_DEFAULT_S * 1000, str(invitation(self._till, EXPIRES_DEFAULT_S))
            self._made[id] = ends_ms, link
            self._made.move_to_end(id)
            if len(self._made) > REMEMBERED:
                self._made.popitem(last=False)
        return {"link": link, "expires_s": (ends_ms - now) // 1000, "svg": svg_of(link, SCALE)}, repeated
