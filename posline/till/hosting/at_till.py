"""A till as a host of phones and tablets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from posline.core.members import Role
from posline.replica import Replica
from posline.storage.folder import Folder
from posline.sync.discovery import local_addresses
from posline.sync.engine import Engine
from posline.till.admitting import admit
from posline.till.hosting.door import Door, device_app
from posline.till.hosting.hosting import Hosting
from posline.till.membership import remove
from posline.till.opening import Clockwork

if TYPE_CHECKING:
    from posline.till.till import Till

__all__ = ["hosting_of"]


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
    def running(self) -> bool:
        """See Host. A till that a command opened for itself has no listener for other tills either."""
        return self._till.running and self._till.links.listening

    def addresses(self) -> list[str]:
        """See Host."""
        return local_addresses()

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
