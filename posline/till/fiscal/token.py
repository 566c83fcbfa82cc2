"""The token of a fiscal service: a file of its own in the filer's data folder, mode 0600. It is in no entry, no
setting, no backup (a backup is the database alone), no log and no answer; all that is shown is whether there is one.

The file says for which host it is: the service's address is a shared setting, and whoever changes it must not be sent
the token.
"""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import urlsplit

from posline.errors import BadRequest, FolderDamaged
from posline.storage.files import sync_folder, write_atomically

__all__ = ["origin_of", "read_token", "remove_token", "save_token"]

NAME = "fiscal-token"
MAX_CHARACTERS = 4096


def origin_of(address: str) -> str:
    """Scheme, host and port of an address: whom a token is for."""
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc}".lower()


def read_token(folder: Path) -> tuple[str, str]:
    """(the token, the origin that it is for); ("", "") where none is set. Raises FolderDamaged."""
    try:
        held = json.loads((folder / NAME).read_bytes())
        return str(held["token"]), str(held["origin"])
    except FileNotFoundError:
        return "", ""
    except (OSError, ValueError, KeyError, TypeError):
        raise FolderDamaged(
            f"the file {folder / NAME} cannot be read: set the token again with 'posline fiscal token set'"
        ) from None  # what is in it must not come into a log


def save_token(folder: Path, token: str, origin: str) -> None:
    """Keep the token for `origin`, in place of an earlier one. Raises BadRequest."""
    token = token.strip()
    if not token or len(token) > MAX_CHARACTERS or not all(33 <= ord(c) < 127 for c in token):
        raise BadRequest.of("token", f"is 1 to {MAX_CHARACTERS} letters, digits and signs, with no space in it")
    write_atomically(folder / NAME, json.dumps({"token": token, "origin": origin}).encode())


def remove_token(folder: Path) -> bool:
    """Forget the token; False where there was none."""
    held = (folder / NAME).exists()
    (folder / NAME).unlink(missing_ok=True)
    sync_folder(folder)
    return held
