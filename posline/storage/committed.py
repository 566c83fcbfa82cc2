"""One shop as it is committed on this device: all that may leave it, and what it says of itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from zoneinfo import ZoneInfo

from posline.core.clock import business_day
from posline.core.entry import decode
from posline.core.update import StateVector, decode_state
from posline.storage.records import Head, Row
from posline.storage.store import Store

__all__ = ["Committed"]


class Committed:
    """What stands on the disk of one shop. Nothing that is only staged shows here."""

    def __init__(self, store: Store, shop: str) -> None:
        self.store, self.shop = store, shop
        self._founding: Mapping[str, Any] | None = None

    # -- what the shop is --------------------------------------------------------------------------

    @property
    def founding(self) -> Mapping[str, Any]:
        """The founding entry's fields; {} until it is here. Holds name, currency, zone and day_start."""
        if self._founding is None:
            row = self.store.read.execute(
                "SELECT raw FROM entry WHERE shop = ? AND document = ? AND day IS NULL AND kind = 'founding'"
                " AND status = 0",
                (self.store.shop_key(self.shop), self.store.document_key(self.shop, "shop")),
            ).fetchone()
            if row is None:
                return {}
            self._founding = decode("shop", row[0]).body
        return self._founding

    @property
    def zone(self) -> ZoneInfo:
        """The shop's time zone; UTC until its founding is here."""
        return ZoneInfo(str(self.founding.get("zone", "UTC")))

    @property
    def day_start_min(self) -> int:
        """Minutes after midnight at which a business day starts."""
        hours, minutes = str(self.founding.get("day_start", "04:00")).split(":")
        return int(hours) * 60 + int(minutes)

    def day(self, at_ms: int) -> str:
        """The business day of a time."""
        return business_day(at_ms, self.zone, self.day_start_min)

    # -- what a peer may be told -------------------------------------------------------------------

    def head(self, document: str) -> Head:
        """A document as of its last commit."""
        return self.store.head(self.shop, document)

    def known(self, document: str) -> bool:
        """Whether anything of the document was committed here."""
        return self.store.document_key(self.shop, document) is not None

    def documents(self) -> list[str]:
        """The documents that are here."""
        return self.store.documents(self.shop)

    def rows(self, document: str, after: int, limit: int) -> list[Row]:
        """Rows behind row `after`, in commit order, each within a message's limits."""
        return self.store.rows(self.shop, document, after, limit)

    def children(self, node: str) -> dict[str, str]:
        """The ladder of digests below a node: "" has the shop, the catalogues and the years; a year its months; a month
        its journals."""
        answer: dict[str, int] = {}
        for name, total in list(self.store.sums(self.shop).items()):
            if name.startswith("journal/"):
                day = name[8:]
                path = {"": day[:4], day[:4]: day[:7], day[:7]: name}.get(node)
            else:
                path = name if node == "" else None
            if path is not None:
                answer[path] = (answer.get(path, 0) + total) % (1 << 256)
        return {name: f"{total:064x}" for name, total in sorted(answer.items())}

    def root(self) -> str:
        """The digest over everything that is here."""
        return f"{sum(self.store.sums(self.shop).values()) % (1 << 256):064x}"

    def remembered(self, document: str, state: StateVector) -> tuple[int, str] | None:
        """(count, digest) at the last of the remembered commits whose state was `state`."""
        for encoded, count, total in reversed(self.head(document).past):
            if decode_state(encoded) == state:
                return count, f"{total:064x}"
        return None

    def authors(self, document: str) -> dict[str, tuple[int, str]]:
        """Count and digest of each author's elements in a document."""
        return self.store.authors(self.shop, document)

    def prefixes(self, document: str, author: str) -> list[bytes]:
        """The first 8 bytes of the hash of each of an author's elements."""
        return self.store.prefixes(self.shop, document, author, 8)

    def elements(self, document: str, prefixes: Sequence[bytes]) -> list[str]:
        """The elements whose hashes begin so."""
        return [raw.decode() for raw in self.store.entries_by_hash(self.shop, document, prefixes)]
