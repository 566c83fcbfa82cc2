"""An author's Ed25519 key: made on the device, kept in a file with mode 0600, never copied by a backup.

An author is named after its first key. Where the key was changed since, the file says whose it is.

Signing is the `cryptography` package's; nothing here invents any. Knows nothing of entries or links.
"""

from __future__ import annotations

import base64
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from posline.core.numbers import AUTHOR, author_id
from posline.errors import FolderDamaged
from posline.storage.files import write_atomically

__all__ = ["Key"]

_HEADER = "posline-key-v1"


class Key:
    """One author's signing key. `id` is the author id (26 characters), drawn from the author's first public key."""

    def __init__(self, seed: bytes, author: str | None = None) -> None:
        """`seed` is the 32 random bytes of the private key; `author` whose it is, where it is not the first one."""
        self._seed = seed
        self._private = Ed25519PrivateKey.from_private_bytes(seed)
        self.public: bytes = self._private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        self.id: str = author or author_id(self.public)

    @property
    def private(self) -> Ed25519PrivateKey:
        """The key itself, for libraries that sign with it."""
        return self._private

    def sign(self, message: bytes) -> bytes:
        """The 64-byte signature of `message`."""
        return self._private.sign(message)

    def code(self) -> str:
        """The seed as text a person can write down: groups of five base32 letters."""
        text = base64.b32encode(self._seed).decode().rstrip("=")
        return "-".join(text[i : i + 5] for i in range(0, len(text), 5))

    @classmethod
    def from_code(cls, code: str) -> Key:
        """The key that `code()` printed. Raises ValueError when the code is mistyped."""
        text = "".join(c for c in code.upper() if c.isalnum()).replace("0", "O").replace("1", "I")
        seed = base64.b32decode(text + "=" * (-len(text) % 8))
        if len(seed) != 32:
            raise ValueError("a recovery code has 52 letters")
        return cls(seed)

    def save(self, path: Path) -> None:
        """Write the key file, readable by its owner alone, safe against a power cut."""
        words = [_HEADER, self._seed.hex()] + ([self.id] if self.id != author_id(self.public) else [])
        write_atomically(path, f"{' '.join(words)}\n".encode(), mode=0o600)

    @classmethod
    def load(cls, path: Path) -> Key:
        """Read a key file. Raises FolderDamaged when it is not whole."""
        try:
            header, seed, *author = path.read_text().split()
            if header != _HEADER or len(author) > 1 or not all(map(AUTHOR.fullmatch, author)):
                raise ValueError(header)
            return cls(bytes.fromhex(seed), *author)
        except (ValueError, UnicodeDecodeError) as error:
            raise FolderDamaged(
                f"the key file {path} is not whole: put back the copy you kept of it, or restore a backup as a new till"
            ) from error
