"""Printers as places that bytes are sent to: network, USB, serial line, file. Blocking, with a deadline on every step.

Each send says whether it failed before or after the first byte left, since that decides whether it may be tried
again. Knows nothing of receipts or queues.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import socket
import stat
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

from posline.errors import BadRequest
from posline.till.receipts.blocks import PAPERS, Paper

__all__ = ["ASK_STATUS", "BAUDS", "PrinterFault", "PrinterSettings", "Target", "send"]

CONNECT_S = 4.0  # a printer on the same switch answers in milliseconds, one that wakes up in two seconds
STALL_S = 8.0  # without a byte taken: a full buffer drains within that, no paper does not
WHOLE_S = 240.0  # for all of it: 60 kB of pictures over 9,600 baud take a minute, and one that dribbles ends
STATUS_S = 0.2  # for a printer that can say how it is; many can't, and a receipt starts within 0.3 s all the same
LINGER_S = 4.0  # for the printer to close its side, which says that it took everything
CONFIRMED_LINGER_S = 0.5  # where it has said so already
PIECE_BYTES = 4096
PORT = 9100
BAUDS = (9600, 19200, 38400, 57600, 115200)
NO_PAPER, COVER_OPEN, OTHER_FAULT = 0x20, 0x04, 0x40  # bits of the answer to DLE EOT 2
ASK_STATUS = b"\x10\x04\x02"  # DLE EOT 2: why are you off line?


class PrinterFault(Exception):
    """The printer did not take it: `began` tells whether any of it may be on paper. Never leaves the printing queue."""

    def __init__(self, why: str, *, began: bool) -> None:
        self.why, self.began = why, began
        super().__init__(why)


@dataclass(frozen=True, slots=True)
class Target:
    """Where a printer is. `kind` is none, network, device, serial or file; `place` a host or a path; `number` a port
    or a baud rate."""

    kind: str = "none"
    place: str = ""
    number: int = 0

    @classmethod
    def read(cls, text: str) -> Target:
        """The target that a person typed: `none`, `tcp://192.168.1.50:9100`, `usb:/dev/usb/lp0`,
        `serial:/dev/ttyUSB0?baud=9600`, `file:/path`. Raises BadRequest."""
        text = text.strip()
        scheme, _, rest = text.partition(":")
        if text in ("", "none"):
            return cls()
        if any(ord(c) < 32 for c in text) or len(text) > 400:
            raise BadRequest.of("printer.target", "it has control characters or is too long")
        if scheme in ("tcp", "network"):
            return cls._network(text if rest.startswith("//") else f"tcp://{rest}")
        place, _, query = rest.partition("?")
        if scheme in ("usb", "device", "file", "serial") and place:
            if scheme == "serial":
                baud = parse_qs(query).get("baud", ["9600"])[0]
                if baud not in map(str, BAUDS):
                    raise BadRequest.of("printer.target", f"the baud rate is one of {', '.join(map(str, BAUDS))}")
                return cls("serial", place, int(baud))
            return cls("file" if scheme == "file" else "device", rest)
        raise BadRequest.of(
            "printer.target",
            "one of none, tcp://HOST:9100, usb:/dev/usb/lp0, serial:/dev/ttyUSB0?baud=9600, file:/path",
        )

    @classmethod
    def _network(cls, text: str) -> Target:
        try:
            parts = urlsplit(text)
            host, port = parts.hostname, parts.port or PORT
        except ValueError as error:
            raise BadRequest.of("printer.target", "the address of a printer is like tcp://192.168.1.50:9100") from error
        if not host or parts.path.strip("/") or parts.username:
            raise BadRequest.of("printer.target", "the address of a printer is like tcp://192.168.1.50:9100")
        return cls("network", host, port)

    def __str__(self) -> str:
        if self.kind == "network":
            host = f"[{self.place}]" if ":" in self.place else self.place
            return f"tcp://{host}:{self.number}"
        if self.kind == "serial":
            return f"serial:{self.place}?baud={self.number}"
        return {"none": "none", "device": f"usb:{self.place}", "file": f"file:{self.place}"}[self.kind]


@dataclass(frozen=True, slots=True)
class PrinterSettings:
    """A till's own printer, which it shares with nobody. `pictures` prints everything as pictures; `drawer` is the
    pin of the drawer's socket (2 or 5, 0 for no drawer); `automatic` prints each sale; `language` empty for the
    shop's first."""

    target: Target = Target()
    paper: Paper = PAPERS["80"]
    pictures: bool = False
    drawer: int = 2
    automatic: bool = True
    language: str = ""

    @classmethod
    def read(cls, value: Mapping[str, Any]) -> PrinterSettings:
        """The settings in {target, paper, pictures, drawer, automatic, language}. Raises BadRequest."""
        paper = PAPERS.get(str(value.get("paper", "80")))
        if paper is None:
            raise BadRequest.of("printer.paper", f"one of {', '.join(PAPERS)} (mm)")
        drawer = value.get("drawer", 2)
        if isinstance(drawer, bool) or drawer not in (0, 2, 5):
            raise BadRequest.of("printer.drawer", "the pin of the drawer: 2 or 5, 0 for none")
        if value.get("language", "") not in ("", "en", "ur"):
            raise BadRequest.of("printer.language", "en, ur, or nothing for the shop's own")
        for name in ("pictures", "automatic"):
            if not isinstance(value.get(name, False), bool):
                raise BadRequest.of(f"printer.{name}", "true or false")
        target = value.get("target", "none")
        if not isinstance(target, str):
            raise BadRequest.of("printer.target", "a text")
        return cls(
            target=Target.read(target),
            paper=paper,
            pictures=value.get("pictures", False),
            drawer=drawer,
            automatic=value.get("automatic", True),
            language=value.get("language", ""),
        )

    def to_dict(self) -> dict[str, Any]:
        """As `read` takes it."""
        paper = next(name for name, paper in PAPERS.items() if paper == self.paper)
        return {
            "target": str(self.target), "paper": paper, "pictures": self.pictures, "drawer": self.drawer,
            "automatic": self.automatic, "language": self.language,
        }  # fmt: skip


def send(
    target: Target,
    chunks: Iterable[bytes],
    *,
    stall_s: float = STALL_S,
    connect_s: float = CONNECT_S,
    status_s: float = STATUS_S,
) -> None:
    """Send to a printer, and return once it took everything. `chunks` may be made while they are sent. Takes at most
    `connect_s` to reach it, `status_s` for it to say how it is, `stall_s` for each stretch of bytes and WHOLE_S in all.
    Raises PrinterFault."""
    began, deadline = False, time.monotonic() + WHOLE_S
    try:
        with _opened(target, connect_s, status_s, stall_s) as write:
            for chunk in chunks:
                view = memoryview(chunk)
                while view:
                    if time.monotonic() > deadline:
                        raise TimeoutError
                    taken = write(view[:PIECE_BYTES], stall_s)
                    began = began or taken > 0
                    view = view[taken:]
    except PrinterFault as fault:
        raise PrinterFault(fault.why, began=began or fault.began) from fault
    except OSError as error:
        raise PrinterFault(_why(target, error), began=began) from error


Write = Callable[[memoryview, float], int]


@contextlib.contextmanager
def _opened(target: Target, connect_s: float, status_s: float, stall_s: float) -> Iterator[Write]:
    if target.kind == "network":
        with _network(target, connect_s, status_s, stall_s) as write:
            yield write
    elif target.kind in ("device", "serial", "file"):
        with _path(target) as write:
            yield write
    else:
        raise PrinterFault("no printer is set", began=False)


@contextlib.contextmanager
def _network(target: Target, connect_s: float, status_s: float, stall_s: float) -> Iterator[Write]:
    with socket.create_connection((target.place, target.number), timeout=connect_s) as line:
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        talks = _ask(line, status_s, began=False)

        def write(piece: memoryview, stall_s: float) -> int:
            line.settimeout(stall_s)
            return line.send(piece)

        yield write
        # one that could answer before must answer now: else it hangs, or ran out of paper on the way
        if talks and not _ask(line, stall_s, began=True):
            raise TimeoutError
        # closed in order, so that nothing under way is thrown away; a printer that keeps its side open is no fault
        line.shutdown(socket.SHUT_WR)
        deadline = time.monotonic() + (CONFIRMED_LINGER_S if talks else LINGER_S)
        with contextlib.suppress(TimeoutError):
            while (left := deadline - time.monotonic()) > 0:
                line.settimeout(left)
                if not line.recv(256):
                    break


def _ask(line: socket.socket, wait_s: float, *, began: bool) -> bool:
    """Ask the printer how it is; whether it said so. Raises PrinterFault where it is not well."""
    line.settimeout(wait_s)
    line.sendall(ASK_STATUS)
    try:
        answer = line.recv(16)
    except TimeoutError:
        return False
    if not answer:
        why = "the printer closed the line: another till may be printing on it"
        raise PrinterFault(why, began=began)
    state = answer[-1]
    if state & 0x93 != 0x12:  # not the fixed bits of a status byte
        return False
    for bit, why in (
        (NO_PAPER, "the printer has no paper: put in a roll"),
        (COVER_OPEN, "the printer's cover is open: close it"),
        (OTHER_FAULT, "the printer reports a fault: look at its lights, switch it off and on"),
    ):
        if state & bit:
            raise PrinterFault(why, began=began)
    return True


@contextlib.contextmanager
def _path(target: Target) -> Iterator[Write]:
    flags = os.O_WRONLY | getattr(os, "O_NOCTTY", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    if target.kind == "file":
        flags |= os.O_CREAT | os.O_APPEND
    handle = os.open(target.place, flags, 0o600)
    try:
        if target.kind == "serial":
            _set_line(handle, target.number)
        regular = stat.S_ISREG(os.fstat(handle).st_mode)

        def write(piece: memoryview, stall_s: float) -> int:
            if not regular and hasattr(select, "poll"):
                ready = select.poll()
                ready.register(handle, select.POLLOUT)
                if not ready.poll(stall_s * 1000):
                    raise TimeoutError
            try:
                return os.write(handle, piece)
            except BlockingIOError:
                return 0

        yield write
        if regular:
            os.fsync(handle)
    finally:
        os.close(handle)


def _set_line(handle: int, baud: int) -> None:
    """8 bits, no parity, one stop bit, nothing translated; the printer's own flow control by its wires."""
    try:
        import termios
        import tty
    except ImportError:  # Windows: the rate is the port's own setting
        return
    try:
        tty.setraw(handle)
        line = termios.tcgetattr(handle)
    except termios.error as error:
        raise OSError(errno.ENOTTY, "it is no serial line") from error
    rate = getattr(termios, f"B{baud}")
    line[4] = line[5] = rate
    line[2] |= termios.CLOCAL | getattr(termios, "CRTSCTS", 0)
    termios.tcsetattr(handle, termios.TCSANOW, line)


def _why(target: Target, error: OSError) -> str:
    """What happened and what to do, for the person at the till."""
    if isinstance(error, TimeoutError):
        return "the printer does not take anything: look whether it is on, has paper and is closed"
    if isinstance(error, ConnectionRefusedError):
        return f"no printer answers at {target}: look whether it is on and has that address"
    if isinstance(error, socket.gaierror):
        return f"{target.place} is no known address: set the printer's own"
    if isinstance(error, ConnectionError) or error.errno == errno.ENOTCONN:
        return "the printer broke off: look at the paper, and print again if it is not whole"
    if isinstance(error, FileNotFoundError) or error.errno in (errno.ENODEV, errno.ENXIO):
        return f"{target.place} is not there: look whether the printer is plugged in and on"
    if isinstance(error, PermissionError):
        return f"this user may not write to {target.place}: add it to the group lp or dialout, and log in afresh"
    if error.errno in (errno.ENOSPC, errno.EIO):
        return "the printer reports a fault or has no paper: look at it"
    return f"the printer cannot be reached at {target}: {error.strerror or error}"
