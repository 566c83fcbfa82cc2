"""Where a head office is kept: a data folder with SQLite, or a PostgreSQL database that several processes share.

A home has the head office's key, its certificate, its books about people and its store. What differs between the two is
here and in `relay.postgres`; whoever uses one need not know which it is.
"""

from __future__ import annotations

import contextlib
import secrets
import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Protocol

from posline.errors import FolderDamaged, FolderError
from posline.storage.folder import Folder
from posline.storage.soundness import examine
from posline.storage.store import Store
from posline.till.metrics import Metric
from posline.till.opening import KEY_SEED_BYTES, close_store, open_store
from posline.trust.certificate import ROOT_FILE, Certificate, own_certificate
from posline.trust.keys import Key
from relay.delivering import Leads, leads_always
from relay.office import Office, open_office
from relay.operations.backups import is_copy

__all__ = ["FolderHome", "Home", "Telling"]


class Telling(Protocol):
    """See `Home.telling`."""

    def start(self) -> None:
        """Begin."""

    async def stop(self) -> None:
        """The end."""

    def committed(self) -> None:
        """This process committed something."""


class Home(ABC):
    """What a head office is made of. `key` and `office` are there from the beginning."""

    key: Key
    office: Office
    shared = False  # whether other processes may work in it at the same time

    @abstractmethod
    def open_store(self) -> Store:
        """Its store. Raises FolderDamaged, DiskFailed, Unavailable."""

    @abstractmethod
    def close_store(self, store: Store) -> None:
        """Close it; what was noted on the side is written first if there is room."""

    @abstractmethod
    def failed(self, error: BaseException) -> None:
        """The store failed in a way after which nothing there is believed; the next start looks closely."""

    @abstractmethod
    def certificate(self, hosts: Iterable[str]) -> Certificate:
        """Its own certificate, for these addresses."""

    @property
    @abstractmethod
    def root(self) -> Path | None:
        """The file of the certificate that a program must trust, where there is one that stays."""

    @property
    @abstractmethod
    def root_pem(self) -> str:
        """That certificate as text, "" where there is none."""

    def leads(self, what: str = "leads") -> Leads:
        """Who of several processes does `what` must be done once."""
        return leads_always

    def alone(self, what: str) -> contextlib.AbstractContextManager[None]:
        """Nobody else does `what` meanwhile."""
        return contextlib.nullcontext()

    def telling(
        self, store: Store, live: Callable[[], Iterable[str]], changed: Callable[[str], None], fed: Callable[[], None]
    ) -> Telling | None:
        """What hears of other processes' commits, and numbers events, where that is not the commit's own business.
        `live` are the shops that have links here, `changed` is told of one in which another process may have
        committed, `fed` that there are new events."""
        return None

    def behind(self, store: Store, shops: list[str]) -> list[str]:
        """Those of these shops in which other processes committed something that is not known here."""
        return []

    def refresh(self, store: Store, shop: str) -> dict[str, int]:
        """Take note of what other processes committed in a shop: {document: the last row that was known here}."""
        return {}

    def figures(self, store: Store) -> list[Metric]:
        """What a monitor should know of the database."""
        return []

    def unfit(self, store: Store) -> str:
        """Why this process may not work in it though it answers, such as that a newer one does; "" where it may."""
        return ""

    def waiting(self, store: Store) -> int:
        """How many events wait for their number in the feed, up to a limit."""
        return 0

    def free_bytes(self) -> int | None:
        """Room on the disk, where it is this machine's."""
        return None

    @abstractmethod
    def is_copy(self, path: Path) -> bool:
        """Whether a file is a copy of a home of this sort."""

    def dump(self, target: Path) -> dict[str, Any]:
        """Have the database write a copy of itself to `target`; what is known of it."""
        raise NotImplementedError

    def secrets(self) -> tuple[str, ...]:
        """What no log may show."""
        return ()

    def announce(self, url: str, secret: str) -> None:  # noqa: B027  # by nothing, where commands go to the database
        """Commands that are given beside the running head office reach it there."""

    def withdraw(self) -> None:  # noqa: B027
        """They do not any more."""

    def close(self) -> None:
        """Let go of all that was opened."""
        self.office.database.close()


class FolderHome(Home):
    """A data folder. It stays the caller's to close."""

    def __init__(self, folder: Folder) -> None:
        """Raises FolderError, FolderDamaged, DiskFailed."""
        self.folder = folder
        if "shop" in folder.settings:
            raise FolderError(f"{folder.path} is a till's folder: name another with --data")
        self.key = self._own_key()
        self.office = open_office(folder)

    def _own_key(self) -> Key:
        if not self.folder.key.exists():
            if self.folder.database.exists():
                raise FolderDamaged(
                    f"{self.folder.path} holds shops but not this head office's key: put the file 'key' back"
                )
            Key(secrets.token_bytes(KEY_SEED_BYTES)).save(self.folder.key)
        return Key.load(self.folder.key)

    def open_store(self) -> Store:
        """See Home."""
        try:
            self._check()
            return open_store(self.folder, feed=True)
        except FolderDamaged as error:
            raise self._damaged(error.__cause__ or error) from error

    def _check(self) -> None:
        """A head office does not go on with a file that is not what it wrote: what integrators were given has numbers,
        and would be given others, or be left out."""
        doubted, held = self.folder.doubted(), bool(self.office.shops(removed=True))
        ran = self.folder.left_running()
        damage = examine(self.folder.database, held=held, ran=ran, doubted=doubted is not None)
        if damage is not None:
            raise FolderDamaged(damage.why)
        if doubted is not None:
            self.folder.trust()
        self.folder.forget_local()  # a command that closes the file takes its log away, which is no damage

    def _damaged(self, why: object) -> FolderDamaged:
        return FolderDamaged(
            f"the head office's database {self.folder.database} is damaged ({why}). Put a copy of the whole folder "
            "back. Or begin anew: keep this folder, name an empty one with --data, and attach each shop again. Either "
            "way its tills bring all that they hold, and whoever reads the feed reads it from the beginning"
        )

    def close_store(self, store: Store) -> None:
        """See Home."""
        close_store(store)

    def failed(self, error: BaseException) -> None:
        """See Home."""
        self.folder.doubt(str(error))

    def certificate(self, hosts: Iterable[str]) -> Certificate:
        """See Home."""
        return own_certificate(self.folder.path, self.key.id, sorted(hosts))

    @property
    def root(self) -> Path | None:
        """See Home."""
        path = self.folder.path / ROOT_FILE
        return path if path.exists() else None

    @property
    def root_pem(self) -> str:
        """See Home."""
        return "" if self.root is None else self.root.read_text()

    def figures(self, store: Store) -> list[Metric]:
        """See Home."""
        path = self.folder.database
        size, log = (each.stat().st_size if each.exists() else 0 for each in (path, Path(f"{path}-wal")))
        return [
            ("posline_relay_database_bytes", "gauge", "Size of the ledger's file", [({}, size)]),
            ("posline_relay_database_log_bytes", "gauge", "Size of its write-ahead log", [({}, log)]),
            (
                "posline_relay_disk_free_bytes", "gauge", "Room on the disk that it is on",
                [({}, self.free_bytes())],
            ),
        ]  # fmt: skip

    def is_copy(self, path: Path) -> bool:
        """See Home."""
        return is_copy(path)

    def free_bytes(self) -> int:
        """See Home."""
        return shutil.disk_usage(self.folder.path).free

    def announce(self, url: str, secret: str) -> None:
        """See Home."""
        self.folder.announce_local(url, secret)

    def withdraw(self) -> None:
        """See Home."""
        self.folder.withdraw_local()

