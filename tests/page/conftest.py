"""Fixtures of the page's tests: they need Chromium, which `make test` installs where it can."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.page.counter import CHROMIUM, Counter, counter


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Counter]:
    """A till with a few products, and its page in a browser."""
    if CHROMIUM is None:
        pytest.skip("no Chromium here: apt-get install chromium")
    async with counter(tmp_path) as made:
        yield made
