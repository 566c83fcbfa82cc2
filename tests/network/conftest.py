"""What the scenarios share: a network that goes when they end, tills and head offices on it, and their figures."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.network.hosts import Network, Switch, needs_namespaces
from tests.network.shop import HeadOffice, Till

PROOF = bool(os.environ.get("POSLINE_PROOF"))
OUT = os.environ.get("POSLINE_PROOF_OUT")
Note = Callable[..., None]


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


@pytest.fixture
def note(request: pytest.FixtureRequest) -> Note:
    """Print a scenario's figures, and keep them where POSLINE_PROOF_OUT says."""

    def write(**figures: Any) -> None:
        name = request.node.name
        print(f"{name}: {json.dumps(figures)}")
        if PROOF and OUT:
            path = Path(OUT)
            found = json.loads(path.read_text()) if path.exists() else {}
            found[name] = {**found.get(name, {}), **figures}
            path.write_text(json.dumps(found, indent=2) + "\n")

    return write
