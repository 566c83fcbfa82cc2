"""The stock Yjs packages of tests/sync/stock, installed once for each state of their lock file."""

from __future__ import annotations

import fcntl
import shutil
import subprocess
from pathlib import Path

__all__ = ["stock_folder"]

STOCK = Path(__file__).parent / "sync" / "stock"


def stock_folder() -> Path:
    """The folder with its packages; two test workers that ask at once install once."""
    assert shutil.which("node") is not None, "these tests need Node 18 or newer: 'make test' installs it"
    lock = (STOCK / "package-lock.json").read_text()
    stamp = STOCK / "node_modules" / ".installed"
    with (STOCK / ".installing").open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        if not stamp.exists() or stamp.read_text() != lock:
            subprocess.run(["npm", "ci", "--no-audit", "--no-fund", "--silent"], cwd=STOCK, check=True, timeout=240)
            stamp.write_text(lock)
    return STOCK
