"""What was asked of a recorded till, and from when on it had been answered: read from what went over its sockets.

So "this sale had been acknowledged before that write" comes from the same order of calls as the write itself.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.power.calls import Moment

__all__ = ["Act", "read_acts"]

ASK_STATUS = b"\x10\x04\x02"  # which a printer is asked before anything is printed
DRAWER_BYTES = 16  # more than what opens the drawer, less than any receipt
_END = b"\r\n\r\n"


@dataclass(slots=True)
class Act:
    """A request and its answer. `arrived` is the place, in the order of moments, where the till read its end, and
    `answered` the one where the first byte of a good answer left; None where there was none. The JSON
    that a command said on stdout is an act whose `path` is "command"."""

    method: str
    path: str
    body: dict[str, Any]
    arrived: int
    answered: int | None = None
    status: int = 0
    answer: Any = None

    @property
    def id(self) -> str:
        """The caller's id."""
        return str(self.body.get("id", ""))


def _sent(stream: _Stream) -> Iterator[Act]:
    """What left for a fiscal service ("filed") or a printer ("printed"), as acts that nobody can take back."""
    if stream.content.startswith(b"POST ") and b'"USIN"' in stream.content:
        for first, _, _, body in stream.messages():
            yield Act("", "filed", {"usin": json.loads(body)["USIN"]}, first, first)
    elif stream.content.startswith(ASK_STATUS):
        ends = [start for start, _ in stream.places[1:]] + [len(stream.content)]
        pieces = zip(stream.places, ends, strict=True)
        receipt = [place for (start, place), end in pieces if end - start > DRAWER_BYTES]
        yield from (Act("", "printed", {}, place, place) for place in receipt[:1])


@dataclass(slots=True)
class _Stream:
    """One direction of one socket."""

    content: bytearray = field(default_factory=bytearray)
    places: list[tuple[int, int]] = field(default_factory=list)  # where each piece begins, and its moment

    def add(self, place: int, data: bytes) -> None:
        self.places.append((len(self.content), place))
        self.content += data

    def at(self, offset: int) -> int:
        """The moment of the byte at `offset`."""
        return [place for start, place in self.places if start <= offset][-1]

    def messages(self) -> Iterator[tuple[int, int, bytes, bytes]]:
        """(moment of the first byte, moment of the last, head, body) of each HTTP message."""
        start = 0
        while (end := self.content.find(_END, start)) >= 0:
            head = bytes(self.content[start:end])
            size = 0
            for line in head.split(b"\r\n")[1:]:
                name, _, value = line.partition(b":")
                size = int(value) if name.strip().lower() == b"content-length" else size
            after = end + len(_END) + size
            if after > len(self.content):
                return
            yield self.at(start), self.at(after - 1), head, bytes(self.content[end + len(_END) : after])
            start = after


def read_acts(moments: Sequence[Moment]) -> list[Act]:
    """The acts of a recording, in the order in which they were asked."""
    heard: dict[str, _Stream] = defaultdict(_Stream)
    said: dict[str, _Stream] = defaultdict(_Stream)
    acts: list[Act] = []
    for place, moment in enumerate(moments):
        call = moment.call
        if call.at.startswith("socket:"):
            if call.name in ("read", "recvfrom") and moment.returned:
                heard[call.at].add(place, call.data)
            elif call.name not in ("read", "recvfrom") and not moment.returned:
                said[call.at].add(place, call.data)
        elif call.handle == 1 and not moment.returned and call.data.startswith((b"{", b"joined ")):
            acts.append(Act("", "command", {}, 0, place, 200, call.data.decode()))
    for stream in said.values():
        acts += _sent(stream)
    for name, stream in heard.items():
        if not stream.content.startswith((b"GET ", b"POST ", b"PUT ")):
            continue  # TLS, or another end's
        answers = said[name].messages() if name in said else iter(())
        for _, arrived, head, body in stream.messages():
            method, path, _ = head.partition(b"\r\n")[0].decode().split(" ", 2)
            act = Act(method, path, json.loads(body) if body else {}, arrived)
            answer = next(answers, None)
            if answer is not None:
                first, _, head, body = answer
                act.status = int(head.split(b" ", 2)[1])
                if act.status in (200, 201):
                    act.answered, act.answer = first, json.loads(body)
            acts.append(act)
    return sorted(acts, key=lambda act: act.arrived)
