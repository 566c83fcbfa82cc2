"""What all tests may ask for."""

from __future__ import annotations

from typing import Any

import pytest

from tests.proof import Note, keep
from tests.zygote import settle

settle()


@pytest.fixture
def note(request: pytest.FixtureRequest) -> Note:
    """Print this test's figures, and keep them in a proof."""

    def write(**figures: Any) -> None:
        keep(request.node.name, figures)

    return write
