"""Bytes as text in entries, messages and links: base64url without padding (RFC 4648, section 5)."""

from __future__ import annotations

import base64

__all__ = ["base64url", "from_base64url"]


def base64url(raw: bytes) -> str:
    """The text of some bytes."""
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def from_base64url(text: str) -> bytes:
    """The bytes of a text. Raises ValueError."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
