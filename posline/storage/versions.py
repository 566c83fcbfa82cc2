"""Which state a catalogue is in, as a text, and which products changed since an earlier one.

What is current of each product follows from the elements of the catalogue's document that count, and, where several
edited while apart, from their authors' roles. A version names all three: the set of elements by its sum, those of them
that do not count, and the roles. So two versions are equal only where all products are, and an earlier one is taken for
such only if what came since, taken away from today's sum, leaves its own: a file that was put back from a copy and went
on otherwise is noticed.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass

from posline.core.members import Shop
from posline.storage.ledger import COUNTED
from posline.storage.store import Store

__all__ = ["CHANGED_MAX", "Version", "changed_since", "version_of"]

CHANGED_MAX = 2000  # products that are named singly; with more of them the whole catalogue is as quick
MODULUS = 1 << 256
HEX = 16  # digits of a digest that tell two states apart
_VERSION = re.compile(r"(catalog/[0-9]{1,9})\.([0-9]{1,18})\.([0-9a-f]{64})\.([0-9a-f]{16})\.([0-9a-f]{16})")

# the index holds all that is asked of the many; only what is not counted is looked at itself
STATE = """
SELECT d.sum, (SELECT coalesce(max(n), 0) FROM entry INDEXED BY entry_standing
        WHERE shop = ?1 AND document = ?2 AND day IS NULL), -1
FROM document d WHERE d.shop = ?1 AND d.key = ?2
UNION ALL SELECT NULL, n, status FROM entry INDEXED BY entry_odd WHERE shop = ?1 AND status <> 0 AND document = ?2"""
SINCE = """
SELECT n, hash, status, raw FROM entry INDEXED BY entry_standing
WHERE shop = ? AND document = ? AND day IS NULL AND n > ?"""


@dataclass(frozen=True, slots=True)
class Version:
    """`last` is the number of the newest element that is in it; `sum`, `odd` and `roles` as above, in hex."""

    catalogue: str
    last: int
    sum: str
    odd: str
    roles: str

    def __str__(self) -> str:
        return f"{self.catalogue}.{self.last}.{self.sum}.{self.odd}.{self.roles}"

    @classmethod
    def parse(cls, text: str) -> Version | None:
        """The version that `text` is; None where it is none of this form."""
        match = _VERSION.fullmatch(text)
        return None if match is None else cls(match[1], int(match[2]), match[3], match[4], match[5])


def version_of(store: Store, shop: str, catalogue: str) -> Version:
    """The state of a catalogue as of the last commit."""
    return _state(store, shop, catalogue)[0]


def changed_since(store: Store, shop: str, have: Version) -> tuple[Version, set[str] | None]:
    """(today's version of the same catalogue, the SKUs of the products that may have changed since `have`).

    None where that cannot be said, or for more than CHANGED_MAX products: then the whole catalogue is to be read.
    """
    now, odd = _state(store, shop, have.catalogue)
    if have == now:
        return now, set()
    if have.roles != now.roles:
        return now, None
    if _odd_digest((n, status) for n, status in odd if n <= have.last) != have.odd:
        return now, None
    came, skus = 0, set[str]()
    place = store.shop_key(shop), store.document_key(shop, have.catalogue), have.last
    for n, hash, status, raw in store.read.execute(SINCE, place).fetchall():
        if n > now.last:  # committed a moment ago, between the two questions
            continue
        came += int.from_bytes(hash, "big")
        entry = json.loads(raw) if status == COUNTED else {}
        if entry.get("kind") == "products":
            skus.update(product["sku"] for product in entry["products"])
        if len(skus) > CHANGED_MAX:
            return now, None
    return now, skus if (int(now.sum, 16) - came) % MODULUS == int(have.sum, 16) else None


def _state(store: Store, shop: str, catalogue: str) -> tuple[Version, list[tuple[int, int]]]:
    place = store.shop_key(shop), store.document_key(shop, catalogue)
    total, last, odd = bytes(32), 0, []
    for digest, n, status in store.read.execute(STATE, place):  # in one question, so as of one commit
        if digest is not None:
            total, last = digest, n
        else:
            odd.append((int(n), int(status)))
    roles = hashlib.sha256(json.dumps(_roles(store.authority(shop))).encode()).hexdigest()[:HEX]
    return Version(catalogue, last, bytes(total).hex(), _odd_digest(odd), roles), odd


def _roles(authority: Shop) -> list[tuple[str, str]]:
    return sorted((author, member.role.value) for author, member in authority.everyone.items())


def _odd_digest(odd: Iterable[tuple[int, int]]) -> str:
    return hashlib.sha256(json.dumps(sorted(odd)).encode()).hexdigest()[:HEX]
