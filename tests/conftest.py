"""What all tests may ask for."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import certifi
import pytest

from tests.postgres import Cluster, Schemas, standing_in
from tests.proof import PROOF, Note, keep
from tests.zygote import settle

settle()

HERE = Path(__file__).parent
OF_FILES = {"test_folder", "test_readers", "test_verify"}
OF_NO_STORE = {
    "test_accept", "test_discovery", "test_discovery_hosts", "test_link", "test_messages", "test_places",
    "test_stock_processes",
}  # fmt: skip
# what is asked of a store, whichever database is under it
ON_BOTH = [
    path
    for pattern in ("storage/test_*.py", "sync/test_*.py", "test_replica.py", "test_clocks.py", "relay/test_acc*.py")
    for path in sorted(HERE.glob(pattern))
    if path.stem not in OF_FILES | OF_NO_STORE
]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    marks = {mark.name for mark in metafunc.definition.iter_markers()}
    if Path(metafunc.module.__file__) in ON_BOTH and "sqlite" not in marks and (PROOF or "many" not in marks):
        metafunc.parametrize("database", ["sqlite", "postgresql"], indirect=True, scope="module")


def pytest_collection_finish() -> None:
    gc.collect()
    gc.freeze()  # what was collected and imported stays: no look for garbage needs to go through it again


@pytest.fixture(scope="session", autouse=True)
def _one_authority(tmp_path_factory: pytest.TempPathFactory) -> None:
    """No test asks the internet, so whoever makes an HTTP client need not read some hundred authorities each time."""
    all_of_them, end = Path(certifi.where()).read_text(), "-----END CERTIFICATE-----\n"
    path = tmp_path_factory.mktemp("authorities") / "one.pem"
    path.write_text(all_of_them[all_of_them.index("-----BEGIN") : all_of_them.index(end) + len(end)])
    certifi.where = lambda: str(path)


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A PostgreSQL that is thrown away, in which nothing is lost but by a power cut."""
    with Cluster() as found:
        yield found


@pytest.fixture(scope="module", autouse=True)
def database(request: pytest.FixtureRequest) -> Iterator[Schemas | None]:
    """Which database `Store.open` opens."""
    if getattr(request, "param", "sqlite") == "sqlite":
        yield None
        return
    with standing_in(request.getfixturevalue("cluster")) as schemas:
        yield schemas


@pytest.fixture(autouse=True)
def _swept(database: Schemas | None) -> Iterator[None]:
    """A test leaves no store behind for the next one."""
    yield
    if database is not None:
        database.sweep()


@pytest.fixture
def note(request: pytest.FixtureRequest) -> Note:
    """Print this test's figures, and keep them in a proof."""

    def write(**figures: Any) -> None:
        keep(request.node.name, figures)

    return write
