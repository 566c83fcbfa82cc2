"""What some tests need of the machine: root, for a small disk of their own, and strace."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import pytest

__all__ = ["lacks", "tmpfs"]


def lacks(reason: str) -> NoReturn:
    """Skip a test that cannot run on this machine; where CI says that all are to run, it fails."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


@contextmanager
def tmpfs(place: Path, *, size: str = "50%") -> Iterator[None]:
    """A disk of so many bytes (tmpfs(5)) at the folder `place`."""
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False).returncode:
        lacks("this test mounts a tmpfs: run it as root, or in a container with CAP_SYS_ADMIN")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", place], check=True)
