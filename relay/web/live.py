"""What tells an open page that it has something new to show: server-sent events.

A stream says no more than that something changed in the shops of whoever looks; the page then asks for itself once
more, and its ordinary answer is what the person may see. So there is one place where rights are looked at, every page
can be live, and one without a script works as it did. Rights are looked at again while a stream is open.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from posline.errors import PoslineError
from posline.storage.connection import Error
from posline.till.problems import problem
from relay.marks import last_mark, marked_since
from relay.relay import Relay
from relay.rights import Right, Viewer
from relay.web.frame import HEADERS, Frame, off

__all__ = ["STREAMS_MAX", "STREAMS_OF_ONE_MAX", "Live", "live_routes"]

log = logging.getLogger("posline.web")

STREAMS_MAX, STREAMS_OF_ONE_MAX = 400, 6
LOOK_S = 0.5  # between two looks for marks, while anybody is there to see
RIGHTS_S = 3.0  # between two looks at what somebody may see
LEAST_S = 1.0  # between two events of one stream
MARK_DIGITS_MAX = 18  # of what a page says
IDLE_S = 15.0  # a comment keeps a quiet stream from being taken for a dead one


def live_routes(frame: Frame) -> list[Route]:
    """/live."""
    live = Live(frame)
    return [Route("/live", live.answer, methods=["GET"], name="stream /live")]


class Live:
    """The streams of one process."""

    def __init__(self, frame: Frame) -> None:
        self._frame = frame
        self.open: Counter[str] = Counter()  # by person
        self._marks: dict[str, int] = {}  # shop -> its last mark that was seen here
        self._reached = 0
        self._looking: asyncio.Task[None] | None = None
        self._news = asyncio.Event()

    @property
    def _relay(self) -> Relay:
        return self._frame.relay

    async def answer(self, request: Request) -> Response:
        """The stream, for whoever is signed in."""
        viewer = await self._frame.viewer(request)
        if viewer is None or not viewer.may(Right.SEE):
            return problem(401, "Not signed in", "sign in first")
        if self.open.total() >= STREAMS_MAX or self.open[viewer.person] >= STREAMS_OF_ONE_MAX:
            answer = problem(429, "Too many pages", "too many pages are open: close some")
            answer.headers["retry-after"] = "30"
            return answer
        self.open[viewer.person] += 1
        try:
            if self._looking is None or self._looking.done():
                self._reached = await off(last_mark, self._relay.office.database)
                self._looking = asyncio.create_task(self._look(), name="marks")
            seen = self._reached
            missed = await self._missed(request, viewer)
        except BaseException:
            self._left(viewer)
            raise
        headers = HEADERS | {"x-accel-buffering": "no"}
        return _Stream(self._events(request, viewer, seen, missed), lambda: self._left(viewer), headers)

    async def _missed(self, request: Request, viewer: Viewer) -> bool:
        """Whether anything changed between the page that asks, which says its mark, and now."""
        mark = request.query_params.get("from", "")
        if not (mark.isdecimal() and len(mark) <= MARK_DIGITS_MAX):
            return False
        shops, _ = await off(marked_since, self._relay.office.database, int(mark))
        return any(map(viewer.covers, shops))

    def _left(self, viewer: Viewer) -> None:
        self.open[viewer.person] -= 1
        if self.open[viewer.person] <= 0:
            del self.open[viewer.person]

    async def _look(self) -> None:
        """Take note of marks, whichever process put them, for as long as anybody is there."""
        while self.open:
            try:
                shops, reached = await off(marked_since, self._relay.office.database, self._reached)
            except (PoslineError, Error) as error:
                log.warning("pages that are open wait for the database: %s", error)
            else:
                if shops:
                    self._reached = reached
                    self._marks |= dict.fromkeys(shops, reached)
                    self._news.set()
                    self._news = asyncio.Event()
            arrival = self._relay.arrivals.next
            await self._relay.arrivals.pause(arrival, LOOK_S)
            await asyncio.sleep(0.05)  # what came is being added up
            if self._relay.over:
                self._news.set()  # everybody goes home
                break

    async def _events(self, request: Request, viewer: Viewer, seen: int, missed: bool) -> AsyncIterator[str]:
        looked_s, said_s, told = time.monotonic(), time.monotonic(), int(missed)
        yield "retry: 3000\nevent: open\ndata: 0\n\n"
        if missed:
            yield "event: changed\ndata: 1\n\n"
        while not self._relay.over:
            news = self._news
            changed = max((n for shop, n in self._marks.items() if viewer.covers(shop)), default=0)
            if changed > seen:
                seen, told, said_s = changed, told + 1, time.monotonic()
                yield f"event: changed\ndata: {told}\n\n"
                await asyncio.sleep(LEAST_S)
            else:
                try:
                    async with asyncio.timeout(RIGHTS_S):
                        await news.wait()
                except TimeoutError:
                    if time.monotonic() - said_s >= IDLE_S:
                        said_s = time.monotonic()
                        yield ": still here\n\n"
            if time.monotonic() - looked_s >= RIGHTS_S:
                looked_s = time.monotonic()
                found = await self._frame.viewer(request)
                if found is None or found.shops != viewer.shops or found.rights != viewer.rights:
                    return  # the browser asks again, and is told what holds now


class _Stream(StreamingResponse):
    """A stream that says when it is over, however it ends."""

    def __init__(self, events: AsyncIterator[str], over: Callable[[], None], headers: dict[str, str]) -> None:
        super().__init__(events, headers=headers, media_type="text/event-stream")
        self._over = over

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._over()
