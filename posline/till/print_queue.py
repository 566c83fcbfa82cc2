"""The printing queue: off the path of a sale, on a thread of its own, and careful never to print twice unasked.

Adding a job returns at once and never fails. What became of each job is kept in a small database of its own, so that
a second print is known to be one (and says COPY), and so that a job which was being sent when the process died is not
sent again by itself:

    waiting -> sending -> printed
       |          |-----> waiting    nothing had left yet: tried again, ever more slowly
       |          `-----> unsure     some of it may be on paper: a person looks, and prints again or drops it
       `----> lapsed                 it waited too long, or the till was started afresh: printed only if a person asks

A fault is a state that is shown, never an exception. Knows how to send and what to remember; what a job looks like on
paper is `render`'s, which is called on the queue's thread.
"""

from __future__ import annotations

import json
import logging
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from posline.errors import BadRequest, NotFound
from posline.storage.connection import Connection, Error, connect
from posline.till.printers import PrinterFault, PrinterSettings, Target, send
from posline.till.receipts.escpos import kick

__all__ = ["Job", "PrintQueue", "PrinterState", "Render"]

RETRY_S = (1.0, 2.0, 5.0, 10.0, 30.0)  # between tries; the last one for good
LAPSE_S = 600.0  # a printer that is mended after lunch does not print the morning
KICK_S = 5.0  # a drawer that opens later than this opens when nobody expects it
WAITING_MAX = 200  # jobs; beyond that the oldest lapse
OPEN_MAX = 200  # unsure and lapsed jobs that wait for a person; beyond that the oldest are dropped
SHOWN_MAX = 20  # of them in the state
KEPT_ROWS = 200_000  # jobs remembered, so that a reprint says COPY: years of a busy till, some 20 MB

Render = Callable[[Mapping[str, Any], bool], bytes]
_log = logging.getLogger(__name__)
_TABLE = """
CREATE TABLE IF NOT EXISTS job (
    n INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, document TEXT NOT NULL, name TEXT NOT NULL, content TEXT,
    copy INTEGER NOT NULL, state TEXT NOT NULL, why TEXT NOT NULL DEFAULT ''
);
CREATE INDEX IF NOT EXISTS job_document ON job (document, state);
CREATE INDEX IF NOT EXISTS job_open ON job (state) WHERE state <> 'printed';
"""


@dataclass(slots=True)
class Job:
    """Something to be printed. `id` is the caller's: the same one is never printed twice. `document` is what it shows
    (a sale's id), `name` how people call it (a receipt's number). `content` is JSON, and all that `render` needs."""

    id: str
    document: str
    name: str
    content: Mapping[str, Any]
    copy: bool | None = None
    kick: bool = False
    state: str = "waiting"
    why: str = ""
    since: float = field(default=0.0)


@dataclass(frozen=True, slots=True)
class PrinterState:
    """How printing stands. `state` is `off` (no printer is set), `ok` or `fault`, with `why` in words; `waiting`
    counts jobs that will be printed by themselves, `unsure` and `lapsed` are those that a person must decide on."""

    state: str = "off"
    why: str = ""
    waiting: int = 0
    unsure: tuple[Mapping[str, str], ...] = ()
    lapsed: tuple[Mapping[str, str], ...] = ()
    target: str = "none"

    def to_dict(self) -> dict[str, Any]:
        """As the API answers it."""
        return {
            "state": self.state, "why": self.why, "waiting": self.waiting, "target": self.target,
            "unsure": [dict(job) for job in self.unsure], "lapsed": [dict(job) for job in self.lapsed],
        }  # fmt: skip


class PrintQueue:
    """One printer's queue. All methods may be called from any thread and return at once, but for `close` and `settle`.

    `path` is the file of its database; `changed` is called on the queue's thread when the state does. `clock` is
    monotonic seconds."""

    def __init__(
        self,
        path: Path,
        render: Render,
        settings: PrinterSettings,
        *,
        changed: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
        sender: Callable[[Target, Iterable[bytes]], None] | None = None,
        retry_s: tuple[float, ...] = RETRY_S,
    ) -> None:
        self._path, self._render, self._changed = path, render, changed
        self._clock, self._send, self._retry_s = clock, sender or send, retry_s
        self._settings = settings
        self._woken = threading.Condition()
        self._added: deque[Job] = deque()
        self._asked: deque[Callable[[Connection], None]] = deque()
        self._waiting: deque[Job] = deque()
        self._state = PrinterState("off" if settings.target.kind == "none" else "ok", target=str(settings.target))
        self._fault, self._tries, self._not_before = "", 0, 0.0
        self._closing = self._busy = False
        self._open: dict[str, Job] = {}  # unsure and lapsed ones, by id
        self._thread = threading.Thread(target=self._work, name="printing", daemon=True)
        self._thread.start()

    @property
    def settings(self) -> PrinterSettings:
        """The printer as it is set."""
        return self._settings

    def state(self) -> PrinterState:
        """How printing stands, what was just added included."""
        with self._woken:
            added = sum(job.document != "" for job in self._added)
            return replace(self._state, waiting=self._state.waiting + added)

    def add(
        self,
        document: str,
        name: str,
        content: Mapping[str, Any],
        *,
        id: str | None = None,
        copy: bool | None = None,
        kick: bool = False,
    ) -> str:
        """Print something; returns the job's id. An id that was taken before is not printed again. `copy` None means:
        a copy if this document was printed before, or may have been. `kick` opens the drawer at once, whatever the
        paper does. Without a printer nothing happens."""
        job = Job(id or str(uuid.uuid4()), document, name, dict(content), copy, kick, since=self._clock())
        self._put(job)
        return job.id

    def kick(self) -> None:
        """Open the drawer now, or, if the printer is away, not at all."""
        self._put(Job(str(uuid.uuid4()), "", "", {}, False, True, since=self._clock()))

    def again(self, id: str) -> None:
        """Print a job that is unsure (as a copy) or lapsed. Raises NotFound."""
        with self._woken:
            job = self._open.get(id)
            if job is None:
                raise NotFound(f"no printing waits for a decision under {id}: it was printed or dropped meanwhile")
            copy = True if job.state == "unsure" else job.copy
            self._asked.append(lambda store: self._requeue(store, job, copy))
            self._woken.notify_all()

    def drop(self, id: str | None = None) -> None:
        """Forget a job that waits or is to be decided on; all of them without an id. What is unsure still counts as
        printed."""
        with self._woken:
            self._asked.append(lambda store: self._forget(store, id))
            self._woken.notify_all()

    def set_printer(self, settings: PrinterSettings) -> None:
        """Another printer from now on; what waits goes there."""
        with self._woken:
            self._settings = settings
            self._fault, self._tries, self._not_before = "", 0, 0.0
            self._asked.append(self._moved)
            self._woken.notify_all()

    def settle(self, timeout_s: float) -> bool:
        """Wait until nothing can be done at the moment: all is printed, or a try failed and the next is later.
        Whether it came to that."""
        with self._woken:
            return self._woken.wait_for(lambda: not (self._busy or self._added or self._asked), timeout_s)

    def close(self, timeout_s: float = 2.0) -> None:
        """Stop; what is being sent may end. What waits lapses at the next start."""
        with self._woken:
            self._closing = True
            self._woken.notify_all()
        self._thread.join(timeout_s)

    # -- below: the queue's thread -----------------------------------------------------------------

    def _put(self, job: Job) -> None:
        with self._woken:
            if self._settings.target.kind == "none" or self._closing:
                return
            self._added.append(job)
            self._woken.notify_all()

    def _work(self) -> None:
        try:
            store = connect(str(self._path))
            store.executescript(_TABLE)
            self._recover(store)
        except (Error, OSError) as error:
            _log.error("printing is remembered in memory only: %s cannot be used (%s)", self._path, error)
            store = connect(":memory:")
            store.executescript(_TABLE)
        try:
            while self._turn(store):
                pass
        finally:
            store.close()

    def _turn(self, store: Connection) -> bool:
        """One round: take what was asked and added, send one job. False once closing."""
        with self._woken:
            self._busy = False
            self._publish()
            self._woken.notify_all()
            while not (self._closing or self._added or self._asked or self._due()):
                self._woken.wait(self._pause())
            self._busy = True
            asked, added = list(self._asked), list(self._added)
            self._asked.clear()
            self._added.clear()
        for each in asked:
            self._kept(partial(each, store))
        for job in added:
            self._kept(partial(self._take, store, job))
        self._kept(partial(self._lapse, store))
        if self._due() and not self._closing:
            self._kept(partial(self._attempt, store, self._waiting[0]))
        return not self._closing

    def _kept(self, act: Callable[[], None]) -> None:
        """Do something that the queue's disk must remember. Where that fails there is a receipt less, and the till goes
        on."""
        try:
            act()
        except (Error, OSError) as error:
            _log.error("printing failed: %s", error)
            self._fault = f"what is printed cannot be remembered ({error}): make room on the disk"
            self._later()

    def _moved(self, store: Connection) -> None:
        """Without a printer nothing waits for one."""
        while self._waiting and self._settings.target.kind == "none":
            self._set_aside(store, self._waiting.popleft(), "lapsed", "no printer is set any more")

    def _due(self) -> bool:
        return bool(self._waiting) and self._settings.target.kind != "none" and self._clock() >= self._not_before

    def _pause(self) -> float | None:
        off = self._settings.target.kind == "none"
        return max(self._not_before - self._clock(), 0.01) if self._waiting and not off else None

    def _later(self) -> None:
        self._not_before = self._clock() + self._retry_s[min(self._tries, len(self._retry_s) - 1)]
        self._tries += 1

    def _recover(self, store: Connection) -> None:
        """After a start nothing is printed by itself: who waited for paper then has gone."""
        for before, state, why in (
            ("sending", "unsure", "the till stopped while it was printed"),
            ("waiting", "lapsed", "the till stopped before it was printed"),
        ):
            store.execute("UPDATE job SET state = ?, why = ? WHERE state = ?", (state, why, before))
        store.execute(
            "DELETE FROM job WHERE state NOT IN ('unsure', 'lapsed')"
            " AND n <= (SELECT coalesce(max(n), 0) FROM job) - ?",
            (KEPT_ROWS,),
        )
        rows = store.execute(
            "SELECT id, document, name, content, copy, state, why FROM job"
            " WHERE state IN ('unsure', 'lapsed') ORDER BY n"
        )
        with self._woken:
            for id, document, name, content, copy, state, why in rows.fetchall():
                copied = None if copy < 0 else bool(copy)
                self._open[id] = Job(id, document, name, json.loads(content), copied, False, state, why)

    def _take(self, store: Connection, job: Job) -> None:
        if job.document:
            copy = -1 if job.copy is None else int(job.copy)
            found = store.execute(
                "INSERT INTO job (id, document, name, content, copy, state) VALUES (?, ?, ?, ?, ?, 'waiting') "
                "ON CONFLICT (id) DO NOTHING",
                (job.id, job.document, job.name, json.dumps(job.content), copy),
            )
            if not found.rowcount:
                return
        self._waiting.append(job)
        while len(self._waiting) > WAITING_MAX:
            self._set_aside(store, self._waiting.popleft(), "lapsed", "too many were waiting")

    def _lapse(self, store: Connection) -> None:
        now = self._clock()
        for job in list(self._waiting):
            if not job.document and now - job.since > KICK_S:
                self._waiting.remove(job)
            elif now - job.since > LAPSE_S:
                self._waiting.remove(job)
                self._set_aside(store, job, "lapsed", "the printer was away for too long")

    def _attempt(self, store: Connection, job: Job) -> None:
        """Send one job, and note what became of it. The note that it is being sent is on the disk before its first
        byte leaves."""
        settings, begun = self._settings, False

        def chunks() -> Iterator[bytes]:
            nonlocal begun
            if job.kick and settings.drawer and self._clock() - job.since <= KICK_S:
                job.kick = False  # once: a second try of the paper leaves the drawer alone
                yield kick(settings.drawer)
            if job.document:
                printed = self._render(job.content, self._copies(store, job))
                self._note(store, job, "sending")
                begun = True
                yield printed

        try:
            self._send(settings.target, chunks())
        except PrinterFault as fault:
            self._fault = fault.why
            if begun and fault.began:
                self._waiting.popleft()
                self._set_aside(store, job, "unsure", fault.why)
                self._not_before = self._clock() + self._retry_s[0]
            else:
                self._note(store, job, "waiting")
                self._later()
            return
        except (BadRequest, ValueError, KeyError, TypeError, ArithmeticError, MemoryError) as error:
            _log.exception("%s cannot be printed", job.name)  # one bad job never blocks the next
            self._waiting.popleft()
            self._set_aside(store, job, "lapsed", f"it cannot be drawn: {error}"[:200])
            return
        self._waiting.popleft()
        self._fault, self._tries, self._not_before = "", 0, 0.0
        self._note(store, job, "printed")

    def _copies(self, store: Connection, job: Job) -> bool:
        if job.copy is not None:
            return job.copy
        found = store.execute(
            "SELECT 1 FROM job WHERE document = ? AND id <> ? AND state IN ('printed', 'unsure', 'sending') LIMIT 1",
            (job.document, job.id),
        )
        return found.fetchone() is not None

    def _note(self, store: Connection, job: Job, state: str) -> None:
        job.state = state
        if job.document:
            content = ", content = NULL" if state == "printed" else ""
            store.execute(f"UPDATE job SET state = ?, why = ''{content} WHERE id = ?", (state, job.id))

    def _set_aside(self, store: Connection, job: Job, state: str, why: str) -> None:
        if not job.document:
            return
        job.state, job.why = state, why
        store.execute("UPDATE job SET state = ?, why = ? WHERE id = ?", (state, why, job.id))
        with self._woken:
            self._open[job.id] = job
            oldest = [self._open.pop(id) for id in list(self._open)[:-OPEN_MAX]]
        for each in oldest:
            self._end(store, each)

    def _requeue(self, store: Connection, job: Job, copy: bool | None) -> None:
        """A job that a person decided on goes to the front."""
        with self._woken:
            if self._open.pop(job.id, None) is None:
                return
        job.copy, job.kick, job.since, job.state = copy, False, self._clock(), "waiting"
        copied = -1 if copy is None else int(copy)
        store.execute("UPDATE job SET state = 'waiting', copy = ? WHERE id = ?", (copied, job.id))
        self._waiting.appendleft(job)
        self._not_before = 0.0

    def _forget(self, store: Connection, id: str | None) -> None:
        with self._woken:
            for job in [job for job in self._open.values() if id in (None, job.id)]:
                del self._open[job.id]
                self._end(store, job)
        for job in [job for job in self._waiting if id in (None, job.id)]:
            self._waiting.remove(job)
            self._end(store, job)

    def _end(self, store: Connection, job: Job) -> None:
        """Dropped: what may be on paper stays remembered as printed, the rest as if it had never been asked for."""
        if job.state == "unsure":
            self._note(store, job, "printed")
        else:
            store.execute("UPDATE job SET state = 'dropped', content = NULL WHERE id = ?", (job.id,))

    def _publish(self) -> None:
        def shown(state: str) -> tuple[Mapping[str, str], ...]:
            jobs = [job for job in self._open.values() if job.state == state][-SHOWN_MAX:]
            return tuple({"id": j.id, "document": j.document, "name": j.name, "why": j.why} for j in jobs)

        off = self._settings.target.kind == "none"
        state = PrinterState(
            "off" if off else "fault" if self._fault else "ok",
            self._fault,
            sum(job.document != "" for job in self._waiting),
            shown("unsure"),
            shown("lapsed"),
            str(self._settings.target),
        )
        if state != self._state:
            self._state = state
            self._changed()
