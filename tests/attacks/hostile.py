"""A member of the shop that writes whatever it likes: entries by hand, right or wrong, as a peer brings them."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from posline.core.document import lone_update
from posline.core.entry import Entry, decode
from posline.core.entry import _signed as signed_text
from posline.core.entry import _text as plain_text
from posline.core.kinds import SIGNED_KINDS
from posline.till.till import Till
from tests.kit import Writer, text_key

AT_ONCE = 20  # entries in an update


class Hostile(Writer):
    """A writer that is not held to the rules: nothing of what it writes is checked."""

    day = ""
    client = 1000

    def put(self, kind: str, fields: Mapping[str, Any], *, document: str = "", **over: Any) -> Entry:
        """The next entry of the chain, whatever is wrong with it."""
        document = document or {"setting": "shop", "products": "catalog/1"}.get(kind, f"journal/{self.day}")
        prev = self.last.hash.hex()[:24] if self.last is not None else ""
        body = {
            "v": 1, "id": str(uuid.uuid4()), "kind": kind, "till": self.id, "run": self.run, "seq": self.seq + 1,
            "prev": prev, "at": f"{self.day}T12:00:00.000+05:00", "day": self.day, "by": "",
        }  # fmt: skip
        if document == "shop" or kind in ("products", "customer", "redate"):
            body["seen"] = dict(self.seen)
        body |= dict(fields) | over
        signed = kind in SIGNED_KINDS or document == "shop"
        entry = decode(document, signed_text(body, self.key.sign) if signed else plain_text(body))
        self.seq, self.last = self.seq + 1, entry
        if "seen" in body and entry.fault is None:
            self.seen[self.id] = entry.hash.hex()
        return entry


async def bring(till: Till, *entries: Entry) -> None:
    """What a peer passes on: committed here, whatever it is."""
    groups: list[list[Entry]] = []
    for entry in entries:
        if groups and groups[-1][0].document == entry.document and len(groups[-1]) < AT_ONCE:
            groups[-1].append(entry)
        else:
            groups.append([entry])
    for group in groups:
        Hostile.client += 1
        update = lone_update(Hostile.client, "b" * 26, [entry.raw.decode() for entry in group])
        staged = till.replica.integrate(group[0].document, update, origin="x" * 26)
        assert staged is not None
        await till.engine.durable(staged)


async def member_of(till: Till, *, name: str = "zeta", role: str = "manager") -> Hostile:
    """A hostile member of the till's shop, whose run has begun."""
    hostile = Hostile(name, run=7)
    hostile.day = till.day
    fields = {"key": text_key(hostile.key.public), "label": name[0].upper(), "role": role}
    await till.write("member", fields, document="shop")
    await bring(till, hostile.put("run", {"after": None, "label": name[0].upper()}))
    return hostile
