"""Packages of npm that tests need beside them, installed once for each state of their lock file."""

from __future__ import annotations

import fcntl
import shutil
import subprocess
from pathlib import Path

__all__ = ["npm_folder", "stock_folder"]

STOCK = Path(__file__).parent / "sync" / "stock"


def stock_folder() -> Path:
    """The folder with the stock Yjs packages."""
    return npm_folder(STOCK)


def npm_folder(folder: Path) -> Path:
    """A folder with the packages of its lock file; two test workers that ask at once install once."""
    assert shutil.which("node") is not None, "these tests need Node 18 or newer: 'make test' installs it"
    lock = (folder / "package-lock.json").read_text()
    stamp = folder / "node_modules" / ".installed"
    with (folder / ".installing").open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        if not stamp.exists() or stamp.read_text() != lock:
            subprocess.run(["npm", "ci", "--no-audit", "--no-fund", "--silent"], cwd=folder, check=True, timeout=240)
            stamp.write_text(lock)
    return folder
