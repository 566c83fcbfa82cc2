"""Where a head office is kept, for tests of its devices: in a folder, and in PostgreSQL."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.postgres import Cluster


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path | str]:
    """A folder, or a database's address."""
    if request.param == "sqlite":
        yield tmp_path / "office"
    else:
        cluster: Cluster = request.getfixturevalue("cluster")
        yield cluster.url(f"h{uuid.uuid4().hex[:12]}")
