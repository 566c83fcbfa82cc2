"""What the scenarios share: a network that goes when they end, tills and head offices on it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.network.hosts import Network, Switch, needs_namespaces
from tests.network.shop import HeadOffice, Till


class Rig:
    """A network, and where its devices keep their data."""

    def __init__(self, network: Network, folder: Path) -> None:
        self.network, self._folder = network, folder

    def switch(self) -> Switch:
        """A switch."""
        return self.network.switch()

    def till(self, name: str, *plugs: tuple[Switch, str], arguments: tuple[str, ...] = ()) -> Till:
        """A till on a host of its own, not yet started."""
        return Till(self.network.host(name, *plugs), self._folder / name, *arguments)

    def office(self, *plugs: tuple[Switch, str]) -> HeadOffice:
        """A head office on a host of its own, not yet started."""
        return HeadOffice(self.network.host("office", *plugs), self._folder / "office")


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    needs_namespaces()
    with Network() as network:
        yield Rig(network, tmp_path)
