"""A till as a host of phones and tablets."""

from __future__ import annotations

import re
import socket
from typing import TYPE_CHECKING, Any

from posline.core.clock import Clock
from posline.core.members import Role
from posline.replica import Replica
from posline.storage.folder import Folder
from posline.sync.discovery import local_addresses
from posline.sync.engine import Engine
from posline.till.admitting import NotAdmitted, admit
from posline.till.hosting.door import Door, device_app
from posline.till.hosting.hosting import Hosting
from posline.till.membership import remove
from posline.till.opening import Clockwork
from posline.till.shared import manages

if TYPE_CHECKING:
    from posline.till.till import Till

__all__ = ["hosting_of", "remove_device", "shown"]

NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")  # of a host, as certificates write it


class TillHost:
    """A till, as `posline.till.hosting.hosted.Host` asks."""

    def __init__(self, till: Till) -> None:
        self._till = till

    @property
    def folder(self) -> Folder:
        """See Host."""
        return self._till.folder

    @property
    def clockwork(self) -> Clockwork:
        """See Host."""
        return self._till.clockwork

    @property
    def engine(self) -> Engine:
        """See Host."""
        return self._till.engine

    @property
    def whole(self) -> Replica:
        """See Host."""
        return self._till.whole

    @property
    def clock(self) -> Clock:
        """See Host."""
        clock = self._till.whole.clock
        assert clock is not None
        return clock

    @property
    def label(self) -> str:
        """See Host."""
        return self._till.label

    @property
    def running(self) -> bool:
        """See Host. A till that a command opened for itself has no listener for other tills either."""
        return self._till.running and self._till.links.listening

    def addresses(self) -> list[str]:
        """See Host. The machine's name comes last: not every network answers to it."""
        name = socket.gethostname().partition(".")[0].lower()
        return [*local_addresses(), *([f"{name}.local"] if NAME.fullmatch(name) else [])]

    def check_may_admit(self) -> None:
        """See Host."""
        if not manages(self._till):
            raise NotAdmitted("this till may not admit others: pair phones and tablets at a till of the shop that may")

    async def admit(self, key: bytes, label: str) -> str:
        """See Host."""
        return await admit(self._till, key, role=Role.TILL, label=label, fields={"hosted_by": self._till.id})

    async def dismiss(self, author: str) -> None:
        """See Host."""
        await remove(self._till, author)


def hosting_of(till: Till) -> Hosting:
    """The hosting of a till, off or on."""
    if till.hosting is None:
        till.hosting = Hosting(TillHost(till), Door, device_app)
    return till.hosting


def shown(till: Till) -> dict[str, Any]:
    """As `posline host list` and GET /api/hosting: what is hosted here, and what the shop's other hosts have."""
    return hosting_of(till).shown() | till.requests.shown()


async def remove_device(till: Till, who: str) -> dict[str, Any]:
    """Remove a device that is hosted here or elsewhere in the shop, by label or id: {device, label, detail}. Raises
    NotFound, NotAllowed, BadRequest, CommitFailed."""
    elsewhere = till.requests.shown()["elsewhere"]
    author = next((device["id"] for device in elsewhere if who in (device["id"], device["label"])), None)
    if author is None:
        return await hosting_of(till).remove(who)
    removed = await remove(till, author)
    return {"device": author, "label": removed["label"], "detail": removed["detail"]}
