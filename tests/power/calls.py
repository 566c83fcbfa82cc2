"""A program's system calls as strace wrote them down: what it did to its folder, and what it said to whom.

A call has two moments. What it writes may be on the disk from when it began, and what it made durable is so only once
it returned; what it says to somebody is said when it begins. Both are places in one order, that of strace's lines: a
thread that waits for another one's call goes on only after strace has written down that the call returned.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

__all__ = ["STRACE", "Call", "Moment", "Traced", "read_calls", "whole"]

_DISK = (
    "open,openat,creat,close,pwrite64,pwritev,pwritev2,ftruncate,truncate,fallocate,fsync,fdatasync,sync_file_range,"
    "rename,renameat,renameat2,unlink,unlinkat,mkdir,mkdirat,rmdir,link,linkat,symlink,sendfile,copy_file_range"
)
_SAID = "write,writev,sendto,sendmsg,read,recvfrom"
STRACE = (
    "strace", "-D", "-f", "--seccomp-bpf", "-y", "-xx", "-s", "67108864", "-e", "signal=none",
    "-e", f"trace={_DISK},{_SAID}",
)  # fmt: skip

_LINE = re.compile(r"(\w+)\((.*)$", re.DOTALL)
_RESUMED = re.compile(r"<\.\.\. \w+ resumed>")
_FILE_READ = re.compile(r"read\(\d+<(?!\\x73\\x6f\\x63\\x6b\\x65\\x74)")
_RESULT = re.compile(r"\) += (-?\d+)[^=]*$")
_UNFINISHED = " <unfinished ...>"
_TEXT = re.compile(r'"((?:\\x[0-9a-f]{2})*)"(\.\.\.)?')
_HANDLE = re.compile(r"(-?\d+|AT_FDCWD)(?:<([^<>]*)>)?")
_HANDLE_AT = re.compile(r"\d+<[^<>]*>")
_NUMBER = re.compile(r"-?\d+")
_READS = frozenset({"read", "recvfrom"})
_SAYS = frozenset({"write", "writev", "sendto", "sendmsg"})


@dataclass(slots=True)
class Call:
    """One call that succeeded. `handle` is the descriptor that it is about, `at` what lies behind it (a path, or like
    "socket:[123]"), `paths` the paths that it names, made absolute, `data` what is written or was read, `numbers` its
    plain arguments, `flags` its words, `source` the second descriptor's path, `result` what it returned."""

    name: str
    begun: int = 0
    ended: int = 0
    handle: int = -1
    at: str = ""
    paths: list[str] = field(default_factory=list)
    data: bytes = b""
    numbers: list[int] = field(default_factory=list)
    flags: str = ""
    source: str = ""
    result: int = 0


@dataclass(frozen=True, slots=True)
class Moment:
    """A call begins, or has returned."""

    call: Call
    returned: bool


def read_calls(trace: Path, folder: Path) -> list[Moment]:
    """What the program did that concerns `folder`, and all that it said and heard over sockets and pipes, in order.

    Raises ValueError for a line that is not understood: what is left out would be a hole in the proof."""
    moments: list[tuple[int, Moment]] = []
    for call in _calls(trace):
        if _concerns(call, str(folder)):
            moments.append((call.begun, Moment(call, False)))
            moments.append((call.ended, Moment(call, True)))
    moments.sort(key=lambda pair: (pair[0], pair[1].returned))
    return [moment for _, moment in moments]


def _concerns(call: Call, folder: str) -> bool:
    if call.name in _READS or (call.name in _SAYS and not call.at.startswith("/")):
        return call.at.startswith(("socket:", "pipe:"))
    return any(place == folder or place.startswith(folder + "/") for place in (call.at, *call.paths))


class Traced(NamedTuple):
    """A call as strace wrote it down, in one piece: the lines on which it began and ended (None: it never returned)."""

    begun: int
    ended: int | None
    text: str


def whole(lines: Iterable[str]) -> Iterator[Traced]:
    """The lines of strace -f, with what it split where threads came between put together again. In the order in which
    calls ended."""
    begun: dict[str, tuple[int, str]] = {}  # thread -> (line, what was written of its call)
    for number, line in enumerate(lines):
        thread, _, text = line.rstrip("\n").partition(" ")
        first, text = number, text.lstrip(" ")
        resumed = _RESUMED.match(text)
        if resumed is not None and thread in begun:
            first, before = begun.pop(thread)
            text = before + text[resumed.end() :]
        if text.endswith(_UNFINISHED):
            begun[thread] = first, text[: -len(_UNFINISHED)]
        else:
            yield Traced(first, number, text)
    for first, text in begun.values():
        yield Traced(first, None, text)


def _calls(trace: Path) -> Iterator[Call]:
    with trace.open(encoding="ascii") as lines:
        for begun, ended, line in whole(lines):
            if ended is None or line.startswith(("+++ ", "--- ")):
                continue
            if _FILE_READ.match(line):  # of libraries and modules, at each start: most of what there is
                continue
            match = _LINE.match(line)
            if match is None:
                raise ValueError(f"{trace}:{ended + 1} is not understood: {line[:200]}")
            name, text = match.groups()
            result = _RESULT.search(text, max(0, len(text) - 2000))
            if result is None:
                if text.rstrip().endswith(("= ?", "<unavailable>)")):
                    continue  # the program ended in it
                raise ValueError(f"{trace}:{ended + 1} has no result: {text[-200:]}")
            if int(result[1]) >= 0:
                yield _call(name, text[: result.start()], int(result[1]), begun, ended)


def _call(name: str, arguments: str, result: int, begun: int, ended: int) -> Call:
    call = Call(name, begun, ended, result=result)
    texts = [_decoded(found[1]) for found in _TEXT.finditer(arguments)]
    if any(found[2] for found in _TEXT.finditer(arguments)):
        raise ValueError(f"{name} was cut short by strace")
    plain = _TEXT.sub("", arguments)
    call.flags = plain
    handles = [
        (found[1], os.fsdecode(_decoded(found[2] or ""))) for found in _HANDLE.finditer(plain) if found[2] is not None
    ]
    if name in _READS | _SAYS | {"pwrite64", "pwritev", "pwritev2"}:
        call.data = b"".join(texts)
        if name in _READS:
            call.data = call.data[:result]
        elif len(call.data) < result and handles[0][1].startswith("/"):  # else netlink's, which strace decodes
            raise ValueError(f"{name} wrote {result} bytes, and strace has {len(call.data)}")
        else:
            call.data = call.data[:result]
    else:
        folder = next((at for handle, at in handles if handle == "AT_FDCWD" or name.endswith("at")), "")
        call.paths = [os.path.normpath(Path(folder, os.fsdecode(text))) for text in texts]
    if handles and handles[0][0] != "AT_FDCWD":
        call.handle, call.at = int(handles[0][0]), handles[0][1]
    if len(handles) > 1:
        call.source = handles[1][1]
    call.numbers = [int(found) for found in _NUMBER.findall(_HANDLE_AT.sub("", plain))]
    return call


def _decoded(text: str) -> bytes:
    return bytes.fromhex(text.replace("\\x", ""))
