"""Fixtures of the page's tests: they need Chromium, which `make test` installs where it can."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.page.counter import CHROMIUM, Counter, counter, stocked_folder


@pytest.fixture(scope="session")
def stocked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A till's data folder with a few products."""
    return asyncio.run(stocked_folder(tmp_path_factory.mktemp("stocked")))


@pytest.fixture
async def desk(tmp_path: Path, stocked: Path) -> AsyncIterator[Counter]:
    """A till with a few products, and its page in a browser."""
    if CHROMIUM is None:
        pytest.skip("no Chromium here: apt-get install chromium")
    async with counter(tmp_path, stocked) as made:
        yield made
