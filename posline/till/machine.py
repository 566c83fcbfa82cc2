"""What this machine says of itself: its clocks, whether the kernel believes them, where data lies by default, and which
Posline it has.

The one place in a till that asks the operating system for time; the rules for it are `posline.core.clock`.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import getpass
import os
import sys
import time
from collections.abc import Callable, Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import platformdirs

from posline.errors import FolderError
from posline.till.service import Plan, Service, System, plan

__all__ = [
    "default_folder", "installed_version", "kernel_synchronised", "make_folder", "monotonic_ms", "planned",
    "planned_service", "wall_ms",
]  # fmt: skip

_TIMEX_BYTES = 512  # larger than any platform's struct timex (208 bytes on 64-bit Linux)
_TIME_ERROR = 5  # adjtimex(2): the clock is not synchronised
_ASK_AGAIN_S = 1.0


def wall_ms() -> int:
    """What the wall clock shows, right or wrong, in milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def monotonic_ms() -> int:
    """Milliseconds that never jump. Where the system can tell, time in suspend counts."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.clock_gettime_ns(clock) // 1_000_000 if clock is not None else time.monotonic_ns() // 1_000_000


def kernel_synchronised() -> Callable[[], bool]:
    """A function that says whether the kernel's clock is kept right by NTP; never more than a second old."""
    adjtimex = _adjtimex()
    asked_s, answer = -_ASK_AGAIN_S, False

    def synchronised() -> bool:
        nonlocal asked_s, answer
        now = time.monotonic()
        if now - asked_s >= _ASK_AGAIN_S:
            asked_s, answer = now, adjtimex is not None and 0 <= adjtimex(bytes(_TIMEX_BYTES)) != _TIME_ERROR
        return answer

    return synchronised


def _adjtimex() -> Callable[[bytes], int] | None:
    if not sys.platform.startswith("linux"):
        return None
    try:
        found = ctypes.CDLL(ctypes.util.find_library("c") or "libc.so.6").adjtimex
    except (OSError, AttributeError):
        return None
    found.argtypes, found.restype = [ctypes.c_char_p], ctypes.c_int

    def ask(buffer: bytes) -> int:
        return int(found(ctypes.create_string_buffer(buffer, len(buffer))))

    return ask


def default_folder(program: str) -> Path:
    """Where `program` keeps its data unless told otherwise."""
    return Path(platformdirs.user_data_dir(program, appauthor=False))


def _system_of(data: Path) -> System:
    """This machine as far as services go. Whose till it is says the data folder; where there is none yet, whoever asks
    is its owner, also by way of sudo."""
    root = hasattr(os, "geteuid") and os.geteuid() == 0
    if sys.platform == "win32":
        domain = os.environ.get("USERDOMAIN", "")
        return System(sys.platform, f"{domain}\\{getpass.getuser()}" if domain else getpass.getuser(), Path.home())
    import pwd  # there is none on Windows

    if data.exists():
        owner = pwd.getpwuid(data.stat().st_uid)
    elif root and "SUDO_USER" in os.environ:
        owner = pwd.getpwnam(os.environ["SUDO_USER"])
    else:
        owner = pwd.getpwuid(os.geteuid())
    return System(sys.platform, owner.pw_name, Path(owner.pw_dir), owner.pw_uid, root)


def planned_service(data: Path, name: str, options: Sequence[str]) -> Plan:
    """How this Python's till would start with this machine, on `data` (absolute), with `options` of `posline till`.

    Raises BadRequest, ServiceFailed.
    """
    command = (sys.executable, "-m", "posline", "till", "--data", str(data), *options)
    return planned(Service(name, command, data))


def planned(service: Service) -> Plan:
    """How a program would start with this machine. Raises BadRequest, ServiceFailed."""
    return plan(service, _system_of(Path(service.data)))


def make_folder(data: Path) -> None:
    """The data folder, where there is none yet: a service finds it there, and it is its owner's. Raises FolderError."""
    if data.exists():
        return
    owner = _system_of(data)
    try:
        data.mkdir(parents=True, mode=0o700)
        if owner.root:
            os.chown(data, owner.uid, -1)
    except OSError as error:
        raise FolderError(f"cannot make the data folder {data} ({error.strerror or error})") from error


@cache
def installed_version() -> str:
    """The version of Posline, as it was installed; empty where it is run from its sources."""
    try:
        return version("posline")
    except PackageNotFoundError:
        return ""
