"""A till on a disk that fails at a chosen system call: a real one under `strace -e inject`, whose client keeps a book
of what it was told.

What must hold, whichever call fails and whether once or from then on:

- what was confirmed is there once, after a start on a sound disk; what was answered with an error at most once, and
  asking again makes it exactly once; no number is missing and none is there twice;
- the till either goes on (a full disk: 507, nothing is recorded, and it sells once there is room) or ends by itself,
  with exit code 1 and one plain line that says why; it never hangs, and prints no traceback;
- after a failed write or fsync of the database nothing more is written to it: SQLite's next commit would "succeed".

The last is read off the system calls themselves, everything else off the book. POSLINE_SOURCE names the folder of the
product under test.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import threading
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from posline.storage.files import UNFINISHED
from tests.faults.rig import Process, run, sale, till
from tests.power.calls import whole

__all__ = ["CALLS", "Book", "Fault", "Prepared", "Trial", "calls_of", "prepare", "written_after_failure"]

CALLS = (
    "openat", "pread64", "pwrite64", "write", "fsync", "fdatasync", "ftruncate", "rename", "unlink", "mkdir", "fchmod",
    "mmap",
)  # fmt: skip
WHOLE = (  # small files, each written beside its place first
    "key", "settings.json", "recovery-code", "local.json", "anchor.json", "doubted", "mishap.json", "tls-key",
    "certificate.pem", "tls-chain.pem",
)  # fmt: skip
ENDS = ("", "-journal", "-wal", "-shm")
SQL = ("posline.db", "printing.db", "copy.db", "copy.db.new", "posline.db.new")
NAMES = frozenset({
    "", "lock", *WHOLE, *(name + UNFINISHED for name in WHOLE), *(name + end for name in SQL for end in ENDS),
})  # fmt: skip
DATABASE = re.compile(r"(?:pwrite64|write|fsync|fdatasync)\(\d+<[^>]*/posline\.db(?:-wal)?>")
SYNC = re.compile(r"fsync|fdatasync")
PATIENCE_S = 30.0  # for an answer, a start, an end: whoever takes longer hangs
CASHIERS = 3
BUSY_FRAMES = 3960  # in the log of a till that is about to bring it into the database, at 4,000


@dataclass(frozen=True)
class Fault:
    """Which call fails. `when` is as strace has it: `7` for the seventh of a thread, `7+` for that and all behind."""

    call: str
    error: str
    when: str

    def __str__(self) -> str:
        return f"{self.call}:{self.error}:{self.when}"

    @property
    def rule(self) -> str:
        return f"inject={self.call}:error={self.error}:when={self.when}"


@dataclass
class Book:
    """What the client asked for and what it was told."""

    asked: dict[str, dict[str, Any]] = field(default_factory=dict)
    confirmed: dict[str, int] = field(default_factory=dict)  # id -> receipt number
    refused: set[str] = field(default_factory=set)  # 507: nothing was recorded
    unknown: set[str] = field(default_factory=set)  # 503, or no answer at all
    others: list[str] = field(default_factory=list)  # answers that nobody should get


@dataclass(frozen=True)
class Prepared:
    """A folder to begin from, and what is in it."""

    folder: Path
    book: Book


class Traced(Process):
    """A till under strace."""

    rules: tuple[str, ...] = ()
    trace: Path = Path(os.devnull)

    def command_line(self) -> list[str]:
        paths = [part for name in sorted(NAMES) for part in ("-P", str(self.data / name) if name else str(self.data))]
        rules = [part for rule in self.rules for part in ("-e", rule)]
        strace = ["strace", "-D", "-f", "--seccomp-bpf", "-y", "-qq", "-e", f"trace={','.join(CALLS)}"]
        return [*strace, *rules, *paths, "-o", str(self.trace), *super().command_line()]


def prepare(folder: Path, *, busy: bool) -> Prepared:
    """A till's folder as a kill left it, with a shift open; a `busy` one is about to bring its log into the file."""
    book = Book()
    with till(folder) as process:
        assert process.post("/api/shifts/open", {"id": str(uuid.uuid4()), "float": 500}).status_code == 201
        with httpx.Client(base_url=process.page, timeout=PATIENCE_S, trust_env=False) as http:
            _ring(http, book, 3)
            while busy and (folder / "posline.db-wal").stat().st_size < BUSY_FRAMES * (4096 + 24):
                _ring(http, book, 5)
        process.kill()
    assert not book.others and not book.unknown
    return Prepared(folder, book)


def _ring(http: httpx.Client, book: Book, count: int) -> None:
    for _ in range(count):
        body = sale(price=100 + len(book.asked))
        book.asked[body["id"]] = body
        try:
            answer = http.post("/api/sales", json=body)
        except httpx.HTTPError as error:
            book.unknown.add(body["id"])
            if isinstance(error, httpx.TimeoutException):
                book.others.append(f"no answer within {PATIENCE_S:.0f} s")
            continue
        _note(book, body["id"], answer)


def _note(book: Book, id: str, answer: httpx.Response) -> None:
    if answer.status_code in (200, 201):
        book.confirmed[id] = answer.json()["number"]
    elif answer.status_code == 507:
        book.refused.add(id)
    elif answer.status_code == 503:
        book.unknown.add(id)
    else:
        book.others.append(f"POST /api/sales: {answer.status_code} {answer.text[:200]}")


@dataclass
class Trial:
    """One run of a till with one fault, and what was wrong with it."""

    place: Path
    fault: Fault | None
    wrong: list[str] = field(default_factory=list)
    began: bool = False
    ended: bool = False  # by itself
    code: int | None = None

    def go(self, prepared: Prepared) -> Trial:
        """Run it, and look; `wrong` is empty where all promises held."""
        data = self.place / "till"
        if prepared.folder.exists():
            shutil.copytree(prepared.folder, data)
        book = Book(**{name: value.copy() for name, value in vars(prepared.book).items()})
        traced = Traced(data, "posline.cli", till(data).arguments)
        traced.rules = (self.fault.rule,) if self.fault is not None else ()
        traced.trace = self.place / "trace"
        try:
            self._run(traced, book)
        finally:
            if traced.running:
                traced.kill()
        self._read_log(traced)
        self.wrong += written_after_failure(traced.trace)
        self._look(data, book)
        return self

    def _run(self, traced: Traced, book: Book) -> None:
        try:
            traced.start()
            self.began = True
        except AssertionError:
            self._end(traced, "at its start", told=False)
            return
        self._work(traced, book)
        if traced.running:
            self._end(traced, "when it was stopped", told=True)
        else:
            self._end(traced, "", told=False)

    def _end(self, traced: Traced, when: str, *, told: bool) -> None:
        try:
            if told:
                assert traced._child is not None
                traced._child.send_signal(signal.SIGTERM)
            self.code = traced.wait()
        except subprocess.TimeoutExpired:
            self.wrong.append(f"it hangs {when}")
            traced.kill()
            return
        self.ended = not told
        if self.code not in (0, 1) or (not told and self.code != 1):
            self.wrong.append(f"it ended {when} with exit code {self.code}")

    def _work(self, traced: Traced, book: Book) -> None:
        with httpx.Client(base_url=traced.page, timeout=PATIENCE_S, trust_env=False) as http:
            _ring(http, book, 6)
            cashiers = [threading.Thread(target=_ring, args=(http, book, 2)) for _ in range(CASHIERS)]
            for cashier in cashiers:
                cashier.start()
            for cashier in cashiers:
                cashier.join()
            self._ask(http, "GET", "/api/status")
            self._ask(http, "POST", "/api/shifts/close", {"id": str(uuid.uuid4()), "counted": {"cash": 1}})
            self._back_up(traced.data)
            _ring(http, book, 6)
            status = self._ask(http, "GET", "/api/status")
            if status is not None and status.status_code == 200:
                self._ask(http, "GET", f"/api/reports/day/{status.json()['day']}")

    def _ask(self, http: httpx.Client, method: str, path: str, body: object = None) -> httpx.Response | None:
        try:
            answer = http.request(method, path, json=body)
        except httpx.TimeoutException:
            self.wrong.append(f"{method} {path}: no answer within {PATIENCE_S:.0f} s")
            return None
        except httpx.HTTPError:
            return None
        if answer.status_code not in (200, 201, 404, 409, 503, 507):  # 404: no shift is open, for nothing was rung
            self.wrong.append(f"{method} {path}: {answer.status_code} {answer.text[:200]}")
        return answer

    def _back_up(self, data: Path) -> None:
        """`posline backup`, as the command asks for it."""
        try:
            local = json.loads((data / "local.json").read_bytes())
        except (OSError, ValueError):
            return
        try:
            answer = httpx.post(
                f"{local['address']}/api/local/backup", json={"file": str(data / "copy.db")}, timeout=PATIENCE_S,
                headers={"authorization": f"Bearer {local['secret']}"}, trust_env=False,
            )  # fmt: skip
        except httpx.TimeoutException:
            self.wrong.append("backup: no answer")
            return
        except httpx.HTTPError:
            return
        if answer.status_code not in (200, 422, 503, 507):
            self.wrong.append(f"backup: {answer.status_code} {answer.text[:200]}")

    def _read_log(self, traced: Traced) -> None:
        text = traced.log.read_text()
        if "Traceback" in text:
            self.wrong.append("it prints a traceback: " + text[text.index("Traceback") :][-600:])
        last = text.strip().splitlines()[-1:] or [""]
        if self.code == 1 and not last[0].startswith("posline: "):
            self.wrong.append(f"it does not say why it ended: {last[0]!r}")

    def _look(self, data: Path, book: Book) -> None:
        unwatched = {path.name for path in data.iterdir()} - NAMES if data.exists() else set()
        if unwatched:
            self.wrong.append(f"no call on {unwatched} can fail here: name them")
        self.wrong += book.others
        process = till(data)
        try:
            with process:
                self._compare(process, book)
                if process.stop() != 0:
                    self.wrong.append("it does not end well on a sound disk")
        except AssertionError as error:
            self.wrong.append(f"it does not start on a sound disk: {str(error)[-400:]}")
            return
        if (data / "mishap.json").exists():
            self.wrong.append("it took a failing call for damage: " + (data / "mishap.json").read_text())
        problems = run("verify", "--data", str(data), expect=None)
        if problems.strip() != "no problems":
            self.wrong.append(f"verify: {problems[:300]}")

    def _compare(self, process: Process, book: Book) -> None:
        held = {s["id"]: s for s in process.sales()}
        lost = book.confirmed.keys() - held.keys()
        if lost:
            self.wrong.append(f"{len(lost)} confirmed sales are gone")
        if book.refused & held.keys():
            self.wrong.append(f"{len(book.refused & held.keys())} sales are there that were said not to be recorded")
        numbers = {id: held[id]["number"] for id in book.confirmed if id in held}
        if any(book.confirmed[id] != number for id, number in numbers.items()):
            self.wrong.append("a confirmed sale has another number now")
        for id in sorted((book.refused | book.unknown) - book.confirmed.keys()):
            answer = process.post("/api/sales", book.asked[id])
            if answer.status_code != (200 if id in held else 201):
                self.wrong.append(f"asking again: {answer.status_code} {answer.text[:200]}")
        listed = process.sales()
        if sorted(s["id"] for s in listed) != sorted(book.asked):
            self.wrong.append(f"{len(listed)} sales are listed, {len(book.asked)} were asked for")
        if sorted(s["number"] for s in listed) != list(range(1, len(listed) + 1)):
            self.wrong.append("numbers are missing, or there twice")
        total = 0
        for day in sorted({s["day"] for s in listed}):
            report = process.get(f"/api/reports/day/{day}")
            total += report["sales"]["total"]
            odd = report["duplicates"] + report["held"] + report["disputed"] + report["invalid"]
            if odd or any(t["missing"] or t["receipts"]["missing"] for t in report["tills"]):
                self.wrong.append(f"the day report has {odd or report['tills']}"[:300])
        if total != sum(body["lines"][0]["price"] for body in book.asked.values()):
            self.wrong.append("the day's total is wrong")


def written_after_failure(trace: Path) -> list[str]:
    """Nothing is written to the database once a write or fsync of it has failed with an I/O error: the first thing that
    was, if any. A write counts from when it begins, a failure from when the program hears of it."""
    with trace.open(errors="replace") as lines:
        calls = [call for call in whole(lines) if DATABASE.match(call.text)]
    failed = [
        (call.ended, call.text)
        for call in calls
        if call.ended is not None and "(INJECTED)" in call.text and ("EIO" in call.text or SYNC.match(call.text))
    ]
    if not failed:
        return []
    heard, failure = min(failed)
    for call in calls:
        if call.begun > heard and "(INJECTED)" not in call.text and not SYNC.match(call.text):
            return [f"it wrote to the database after a failure: {failure[:120]} then {call.text[:120]}"]
    return []


def calls_of(trace: Path) -> dict[str, int]:
    """How often the busiest thread made each call."""
    counts: dict[tuple[str, str], int] = {}
    for line in trace.read_text(errors="replace").splitlines():
        thread, _, rest = line.partition(" ")
        call = rest.strip().split("(")[0]
        if call in CALLS:
            counts[call, thread] = counts.get((call, thread), 0) + 1
    most: dict[str, int] = {}
    for (call, _), count in counts.items():
        most[call] = max(most.get(call, 0), count)
    return most
