"""A till's own settings: the small file beside its database. Each change is written whole and durably.

Knows what the settings are called, and nothing of what is done with them.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import msgspec

from posline.errors import FolderDamaged
from posline.storage.folder import Folder
from posline.trust.gate import Grant, Scope

__all__ = ["HandedOut", "Settings"]


@dataclass(frozen=True, slots=True)
class HandedOut:
    """What a token of `posline token add` may do; only its hash is kept."""

    role: str
    name: str = ""
    author: str | None = None

    @property
    def grant(self) -> Grant:
        """What a link that presents it may do."""
        if self.role == "write" and self.author:
            return Grant(Scope.WRITER, self.author)
        return Grant(Scope.READER)


@dataclass(slots=True)
class Settings:
    """`shop` is "" until the folder belongs to a shop; `label` is what a till calls itself until it is admitted;
    `address` is where others reach this till, if that is not where it listens; `joining` is a join that was cut off
    half-way; `printer` is as posline.till.printers reads it; `author` is whose the key is."""

    shop: str = ""
    label: str = ""
    address: str = ""
    tokens: dict[str, HandedOut] = field(default_factory=dict)
    invitations: dict[str, int] = field(default_factory=dict)
    sync_port: int = 8701
    joining: dict[str, Any] | None = None
    printer: dict[str, Any] = field(default_factory=dict)
    author: str = ""

    @classmethod
    def load(cls, folder: Folder) -> Settings:
        """The settings of `folder`; empty ones when there are none yet. Raises FolderDamaged."""
        held = folder.settings
        try:
            tokens = {hash: HandedOut(**found) for hash, found in held.pop("tokens", {}).items()}
            return msgspec.convert(asdict(cls(**held, tokens=tokens)), cls)  # each of its kind, or the till trips later
        except (TypeError, AttributeError, ValueError) as error:
            raise FolderDamaged(
                f"the settings in {folder.path} are not those of a till of this version ({error}): update Posline, or "
                "name another folder with --data"
            ) from error

    def save(self, folder: Folder) -> None:
        """Write them, durably."""
        folder.save_settings(asdict(self))
