"""What a host keeps of the devices that it hosts, beside its database: who they are, and whether it hosts at all.

    hosting.json      whether it is switched on, its port, its name, and the devices; mode 0600
    hosted/AUTHOR     the signing key of a device, mode 0600

Of a device's secret only the hash is kept. No backup holds any of it: a restored till is a new one, and hosts nobody.
"""

from __future__ import annotations

import json
import secrets
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from posline.core.numbers import AUTHOR
from posline.errors import FolderDamaged
from posline.storage.files import make_folder, write_atomically
from posline.till.opening import KEY_SEED_BYTES
from posline.trust.gate import token_hash
from posline.trust.keys import Key

__all__ = ["DEVICES_MAX", "PORT", "Device", "Devices"]

PORT = 8702
DEVICES_MAX = 50  # of a host
SECRET_BYTES = 32
FILE, KEYS = "hosting.json", "hosted"


@dataclass(slots=True)
class Device:
    """One hosted till. `secret` is its hash, `request` the pairing that it came by, `paired` when (ISO 8601), `agent`
    what its browser calls itself."""

    author: str
    label: str
    shop: str
    secret: str
    request: str
    paired: str
    agent: str = ""


@dataclass(slots=True)
class _Kept:
    on: bool = False
    port: int = PORT
    name: str = ""  # by which the devices find it, where that is better than its address
    devices: list[Device] = field(default_factory=list)


class Devices:
    """The devices of the host that lives in a folder. Each change is on the disk when its call returns."""

    def __init__(self, folder: Path) -> None:
        """Raises FolderDamaged."""
        self._file, self._keys = folder / FILE, folder / KEYS
        try:
            held = json.loads(self._file.read_bytes()) if self._file.exists() else {}
            self._kept = msgspec.convert(held, _Kept)
        except (OSError, ValueError) as error:
            raise FolderDamaged(
                f"the file {self._file}, which says which phones and tablets are hosted here, is not whole ({error}): "
                "put it away, switch hosting on again, and pair each device anew. Their sales wait in them meanwhile"
            ) from error

    @property
    def on(self) -> bool:
        """Whether hosting is switched on."""
        return self._kept.on

    @property
    def port(self) -> int:
        """Where browsers connect."""
        return self._kept.port

    @property
    def name(self) -> str:
        """The name in the links that devices are paired with; "" for this machine's address."""
        return self._kept.name

    def switch(self, on: bool, *, port: int | None = None, name: str | None = None) -> None:
        """Host from now on, or no more."""
        kept = self._kept
        kept.on = on
        kept.port = kept.port if port is None else port
        kept.name = kept.name if name is None else name
        self._save()

    def of(self, shop: str) -> list[Device]:
        """The devices that sell for a shop."""
        return [device for device in self._kept.devices if device.shop == shop]

    def presenting(self, secret: str) -> Device | None:
        """The device whose secret this is."""
        hash = token_hash(secret)
        return next((device for device in self._kept.devices if device.secret == hash), None)

    def paired_by(self, request: str) -> Device | None:
        """The device that came by this pairing."""
        return next((device for device in self._kept.devices if device.request == request), None)

    def key(self, author: str) -> Key:
        """A device's signing key. Raises FolderDamaged."""
        try:
            return Key.load(self._keys / author)
        except OSError as error:
            raise FolderDamaged(
                f"the key {self._keys / author} of a hosted device cannot be read ({error.strerror}): put it back, or "
                "remove the device and pair it again as a new till"
            ) from error

    def fresh_key(self) -> Key:
        """A new key for a device, kept already."""
        made = Key(secrets.token_bytes(KEY_SEED_BYTES))
        make_folder(self._keys)
        made.save(self._keys / made.id)
        return made

    def keep(self, device: Device) -> None:
        """Keep a device, or what changed of it."""
        self._kept.devices = [d for d in self._kept.devices if d.author != device.author] + [device]
        self._save()

    def fresh_secret(self, device: Device) -> str:
        """Another secret for a device; the one before opens nothing any more."""
        secret = secrets.token_urlsafe(SECRET_BYTES)
        device.secret = token_hash(secret)
        self.keep(device)
        return secret

    def forget(self, author: str) -> None:
        """A device is hosted no more, and its key is gone."""
        assert AUTHOR.fullmatch(author)
        self._kept.devices = [device for device in self._kept.devices if device.author != author]
        self._save()
        (self._keys / author).unlink(missing_ok=True)

    def _save(self) -> None:
        held: dict[str, Any] = asdict(self._kept)
        write_atomically(self._file, json.dumps(held, indent=1, ensure_ascii=False).encode(), mode=0o600)
