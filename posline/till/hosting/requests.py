"""Devices that the shop's head office hosts, and asks the shop to let in.

A head office admits nobody, so it asks, by a shared setting of its own for each device. A manager's till lets the
device in by an admission, or refuses it by taking that setting back, which is for good. Where the shop trusts its head
office with it, a manager's till that runs lets in by itself what comes; several may at once, and it stays one member.

Any member can write any setting. So a request is one only where a head office wrote it, about the key that its name is
the id of; and whether the shop trusts its head office, only managers say.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from posline.core.members import Member, Role
from posline.core.numbers import AUTHOR, author_id, valid_label
from posline.errors import BadRequest, NotFound, NotPossible, PoslineError
from posline.till.admitting import NotAdmitted, admit, public_key
from posline.till.hosting.devices import DEVICES_MAX
from posline.till.shared import manages

if TYPE_CHECKING:
    from posline.till.till import Till

__all__ = ["REQUEST", "TRUST", "Request", "Requests"]

log = logging.getLogger("posline.till")

REQUEST = "device/"  # before a device's id: the shared setting {key, label, by, agent} by which it is asked for
TRUST = "let in devices of the head office"  # the shared setting: whether they are let in with nobody asked
READ_MAX = 200  # settings that are looked at, the newest; more than a head office hosts
VALUE_CHARACTERS_MAX = 4000  # of such a setting
TEXT_CHARACTERS = 120  # that are shown of who asks, and by what


@dataclass(frozen=True, slots=True)
class Request:
    """One device that asks. `label` is its wish or "", `by` who paired it, `agent` what its browser calls itself,
    `office` the author of who hosts it, `asked` when (ISO 8601)."""

    author: str
    key: bytes
    label: str
    by: str
    agent: str
    office: str
    asked: str


class Requests:
    """The requests of a shop's head office, as a till of the shop has them."""

    def __init__(self, till: Till) -> None:
        self._till = till
        self._letting: asyncio.Task[None] | None = None

    # -- what is asked -------------------------------------------------------------------------------------------------

    def open(self) -> list[Request]:
        """Those that nobody has decided on, the newest first."""
        till = self._till
        shop = till.store.authority(till.shop_id)
        offices = [member.author for member in shop.members.values() if member.role is Role.HEAD_OFFICE]
        rows = till.reports.settings_by(offices, REQUEST, limit=READ_MAX, characters_max=VALUE_CHARACTERS_MAX)
        found = [request for row in rows if (request := _read(*row)) is not None]
        found = [each for each in found if each.author not in shop.everyone and each.author not in shop.removals]
        refused = self._refused([each.author for each in found])
        return [each for each in found if each.author not in refused][:DEVICES_MAX]

    def _refused(self, authors: list[str]) -> set[str]:
        """Whom a manager's till refused, whatever the head office asked for since."""
        names = self._till.reports.taken_back(self._in_charge(), [REQUEST + author for author in authors])
        return {name.removeprefix(REQUEST) for name in names}

    def _in_charge(self) -> list[str]:
        """Whose word counts: a manager's, also when that till is gone."""
        everyone = self._till.store.authority(self._till.shop_id).everyone.values()
        return [member.author for member in everyone if member.role is Role.MANAGER]

    def shown(self) -> dict[str, Any]:
        """As `posline host list` and GET /api/hosting: {requests, elsewhere, head_office, trust_office}."""
        till = self._till
        members = till.store.members(till.shop_id).values()
        return {
            "requests": [self._shown(request) for request in self.open()],
            "elsewhere": [
                {"id": member.author, "label": till.reports.label(member.author), "host": till.watch.label(member.host)}
                for member in sorted(members, key=lambda m: (m.label, m.author))
                if member.host and member.host != till.id
            ],
            "head_office": any(member.role is Role.HEAD_OFFICE for member in members),
            "trust_office": self.trusted,
        }

    def _shown(self, request: Request) -> dict[str, Any]:
        return {
            "id": request.author, "label": request.label, "by": request.by, "agent": request.agent,
            "host": self._till.watch.label(request.office), "asked": request.asked,
        }  # fmt: skip

    # -- what a person decides -----------------------------------------------------------------------------------------

    async def let_in(self, device: str) -> dict[str, Any]:
        """Make a device a till of the shop, by its id or the label that it wishes; one that is in already stays.
        Answers {id, label, let_in, detail}. Raises NotAdmitted, NotFound, NotPossible, BadRequest, CommitFailed."""
        self._check_may_decide()
        if (request := self._named(device)) is not None:
            author, label = request.author, await self._admit(request)
        elif (member := self._member(device)) is not None:
            author, label = member.author, self._till.reports.label(member.author)
        elif self._is_refused(device):
            raise NotPossible(f"{device} was refused, for good: have it paired anew at the head office")
        else:
            raise _nobody(device)
        detail = f"{label} is a till of the shop, and the head office hosts it"
        return {"id": author, "label": label, "let_in": True, "detail": detail}

    async def refuse(self, device: str) -> dict[str, Any]:
        """Let a device not in, for good. Answers as `let_in`, and raises the same."""
        self._check_may_decide()
        author, label = device, ""
        if (request := self._named(device)) is not None:
            author, label = request.author, request.label
            await self._till.write("setting", {"name": REQUEST + author, "value": None}, document="shop")
        elif (member := self._member(device)) is not None:
            label = self._till.reports.label(member.author)
            raise NotPossible(f"{label} was let in already: remove it with 'posline host remove {label}'")
        elif not self._is_refused(device):
            raise _nobody(device)
        detail = f"{label or author[:6]} is refused: it sells nothing for the shop, unless it is paired anew"
        return {"id": author, "label": label, "let_in": False, "detail": detail}

    async def trust(self, on: bool) -> None:
        """Let in, or let wait, what the head office asks for from now on. Raises NotAdmitted, CommitFailed."""
        self._check_may_decide()
        if on != self.trusted:
            await self._till.write("setting", {"name": TRUST, "value": on}, document="shop")

    def _check_may_decide(self) -> None:
        if not manages(self._till):
            raise NotAdmitted("this till may not admit others: decide on the head office's devices at a till that may")

    def _member(self, device: str) -> Member | None:
        """The member that a head office hosts with this id or label."""
        members = self._till.store.members(self._till.shop_id)
        hosts = {member.author for member in members.values() if member.role is Role.HEAD_OFFICE}
        hosted = (member for member in members.values() if member.host in hosts)
        return next((m for m in hosted if device in (m.author, self._till.reports.label(m.author))), None)

    def _named(self, device: str) -> Request | None:
        """The open request with this id or wish. Raises BadRequest where several wish it."""
        named = [request for request in self.open() if device in (request.author, request.label)]
        if len(named) > 1:
            ids = ", ".join(request.author for request in named)
            raise BadRequest.of("device", f"{device[:40]} are several: name one by its id: {ids}")
        return named[0] if named else None

    def _is_refused(self, device: str) -> bool:
        return AUTHOR.fullmatch(device) is not None and bool(self._refused([device]))

    async def _admit(self, request: Request) -> str:
        fields = {"hosted_by": request.office}
        return await admit(self._till, request.key, role=Role.TILL, label=request.label, fields=fields)

    # -- what the shop trusts its head office with ---------------------------------------------------------------------

    @property
    def trusted(self) -> bool:
        """Whether devices of the head office are let in with nobody asked."""
        rows = self._till.reports.settings_by(self._in_charge(), TRUST, limit=READ_MAX, characters_max=len("false"))
        return any(name == TRUST and value is True for name, value, _, _ in rows)

    def look(self) -> None:
        """Begin to let in what asks, at a manager's till that runs. For the event loop."""
        if self._letting is None and self._till.links.listening and self._next() is not None:
            self._letting = asyncio.create_task(self._let_in_all(), name="letting in devices of the head office")

    def _next(self) -> Request | None:
        """Whom to let in next with nobody asked. No more than a host has: a head office out of hand fills no shop."""
        if not (manages(self._till) and self.trusted):
            return None
        members = self._till.store.members(self._till.shop_id).values()
        for request in reversed(self.open()):
            if sum(member.host == request.office for member in members) < DEVICES_MAX:
                return request
        return None

    async def _let_in_all(self) -> None:
        try:
            while (request := self._next()) is not None:
                log.info("let in %s, which the head office hosts", await self._admit(request))
        except PoslineError as error:
            log.warning("a device of the head office could not be let in: %s", error)
        finally:
            self._letting = None

    async def stop(self) -> None:
        """Let nobody in any more by itself."""
        if self._letting is not None:
            await asyncio.gather(self._letting, return_exceptions=True)


def _read(name: str, value: Any, office: str, asked: str) -> Request | None:
    """A setting as a request; None where it is none."""
    if type(value) is not dict or type(key := value.get("key")) is not str:
        return None
    try:
        raw = public_key(key)
    except BadRequest:
        return None
    author, label = name.removeprefix(REQUEST), value.get("label", "")
    if author_id(raw) != author or type(label) is not str or not (label == "" or valid_label(label)):
        return None
    by, agent = (_shown_text(value.get(field)) for field in ("by", "agent"))
    return Request(author, raw, label, by, agent, office, asked)


def _nobody(device: str) -> NotFound:
    return NotFound(f"no device {device[:40]!r} waits to be let in: 'posline host list' names those that do")


def _shown_text(value: object) -> str:
    """As much of a text as a person is shown: nothing that would steer a terminal or turn a line around."""
    return "".join(filter(str.isprintable, value))[:TEXT_CHARACTERS] if type(value) is str else ""
