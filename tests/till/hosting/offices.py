"""A head office as a till's tests need one: an author that asks for the devices which it hosts."""

from __future__ import annotations

from typing import Any

from posline.core.base64url import base64url
from posline.core.members import Role
from posline.till.admitting import admit
from posline.till.hosting.requests import REQUEST
from posline.till.till import Till
from posline.trust.keys import Key
from tests.kit import key_of

__all__ = ["ASKED", "OFFICE", "ask", "attached", "write"]

OFFICE = key_of("head office")
ASKED = {"label": "WEB", "by": "Bilal", "agent": "Chrome on Android"}


async def attached(till: Till) -> None:
    """The shop has a head office."""
    await admit(till, OFFICE.public, role=Role.HEAD_OFFICE, label="HQ")


async def write(till: Till, author: Key, name: str, value: Any) -> None:
    """What another member's setting is, as it comes by sync."""
    clock = till.whole.clock
    assert clock is not None
    staged = till.whole.writer(author, clock).write("setting", {"name": name, "value": value}, document="shop")
    await till.engine.durable(staged)


async def ask(till: Till, device: str = "a phone", **changed: Any) -> str:
    """The head office asks for a device, whose id this is."""
    key = key_of(device)
    await write(till, OFFICE, REQUEST + key.id, ASKED | {"key": base64url(key.public)} | changed)
    return key.id
