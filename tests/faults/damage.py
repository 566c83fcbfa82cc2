"""Damage to a till's folder at rest, of every kind and at random places, and a shop whose book says what must survive.

Nothing here knows how the product mends itself: damage is done to bytes, and what must hold is worked out from what the
cashiers were told and from what lay on the other devices' disks.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from sqlite_utils.utils import sqlite3  # type: ignore[attr-defined]

from examples.rig.programs import free_port
from tests.faults.rig import Process, relay, run, sale, till, wait_for

__all__ = ["DAMAGES", "SILENT", "Aftermath", "Shop", "open_shop"]

PAGE = 4096
FRAME = PAGE + 24
Damage = Callable[[Path, random.Random], str]


# -- kinds of damage: each says what it did ---------------------------------------------------------------------------


def _write(path: Path, at: int, content: bytes) -> None:
    with path.open("rb+") as file:
        file.seek(at)
        file.write(content)


def _page(folder: Path, rng: random.Random, content: Callable[[], bytes], number: int | None = None) -> str:
    path = folder / "posline.db"
    page = rng.randrange(path.stat().st_size // PAGE) if number is None else number - 1
    _write(path, page * PAGE, content())
    return f"page {page + 1}"


def _root(folder: Path, rng: random.Random) -> str:
    """The first page of some table or index."""
    with sqlite3.connect(f"file:{folder / 'posline.db'}?mode=ro&immutable=1", uri=True) as db:
        roots = db.execute("SELECT name, rootpage FROM sqlite_schema WHERE rootpage > 0 ORDER BY 2").fetchall()
    name, number = rng.choice(roots)
    return f"{name}: {_page(folder, rng, lambda: rng.randbytes(PAGE), number)}"


def _flip(path: Path, rng: random.Random) -> str:
    at = rng.randrange(path.stat().st_size)
    with path.open("rb+") as file:
        file.seek(at)
        byte = file.read(1)[0] ^ 1 << rng.randrange(8)
        file.seek(at)
        file.write(bytes([byte]))
    return f"a bit of byte {at}"


def _range(folder: Path, rng: random.Random) -> str:
    path = folder / "posline.db"
    at, size = rng.randrange(path.stat().st_size), rng.randrange(1, 16 * PAGE)
    _write(path, at, rng.randbytes(min(size, path.stat().st_size - at)))
    return f"{size} bytes from {at}"


def _cut(path: Path, rng: random.Random, end: int | None = None) -> str:
    size = rng.randrange(path.stat().st_size if end is None else end)
    os.truncate(path, size)
    return f"cut to {size} bytes"


def _used(folder: Path) -> int:
    """Bytes of the write-ahead log that are in use."""
    log = (folder / "posline.db-wal").read_bytes()
    frames = 0
    while log[32 + frames * FRAME + 8 : 32 + frames * FRAME + 16] == log[16:24] and log[16:24]:
        frames += 1
    return 32 + frames * FRAME


def _log_garbled(folder: Path, rng: random.Random) -> str:
    at = rng.randrange(_used(folder))
    _write(folder / "posline.db-wal", at, rng.randbytes(rng.randrange(1, 3 * PAGE)))
    return f"byte {at} on"


def _gone(path: Path) -> str:
    path.unlink()
    return "gone"


def _foreign(folder: Path, rng: random.Random) -> str:
    (folder / "posline.db").write_bytes(rng.randbytes(rng.randrange(PAGE * 40)))
    return "another file in its place"


DAMAGES: dict[str, Damage] = {
    "page zeroed": lambda folder, rng: _page(folder, rng, lambda: bytes(PAGE)),
    "page garbled": lambda folder, rng: _page(folder, rng, lambda: rng.randbytes(PAGE)),
    "first page garbled": lambda folder, rng: _page(folder, rng, lambda: rng.randbytes(PAGE), 1),
    "root page garbled": _root,
    "bit flipped": lambda folder, rng: _flip(folder / "posline.db", rng),
    "range garbled": _range,
    "database cut short": lambda folder, rng: _cut(folder / "posline.db", rng),
    "database gone": lambda folder, rng: _gone(folder / "posline.db"),
    "database emptied": lambda folder, rng: _cut(folder / "posline.db", rng, 1),
    "another file": _foreign,
    "log cut short": lambda folder, rng: _cut(folder / "posline.db-wal", rng, _used(folder)),
    "log garbled": _log_garbled,
    "log bit flipped": lambda folder, rng: _flip(folder / "posline.db-wal", rng),
    "log gone": lambda folder, rng: _gone(folder / "posline.db-wal"),
    "settings cut short": lambda folder, rng: _cut(folder / "settings.json", rng),
    "local.json garbled": lambda folder, rng: _cut(folder / "local.json", rng),
    "lock gone": lambda folder, rng: _gone(folder / "lock"),
}
SILENT = frozenset({"bit flipped", "page zeroed", "log bit flipped"})  # may change what no check at a start looks at


# -- a shop ------------------------------------------------------------------------------------------------------------


@dataclass
class Shop:
    """Two tills and a head office as their disks were when the first was killed. `shared` are sales that lay on the
    others' disks, `alone` those that only the first till's had: {id: (receipt, total)}."""

    place: Path
    ports: tuple[int, int]
    shared: dict[str, tuple[str, int]] = field(default_factory=dict)
    alone: dict[str, tuple[str, int]] = field(default_factory=dict)


def _till(folder: Path, port: int, *more: str) -> Process:
    process = till(folder, *more)
    process.arguments[process.arguments.index("--sync-port") + 1] = str(port)
    return process


@dataclass
class _Served(Process):
    """A till whose service starts it again where it ended over what it met in reading."""

    ended: int = 0

    def get(self, path: str) -> Any:
        for _ in range(2):
            try:
                return super().get(path)
            except httpx.HTTPError:
                self._again()
        return super().get(path)

    def post(self, path: str, body: object) -> httpx.Response:
        try:
            answer = super().post(path, body)
            if answer.status_code < 500:
                return answer
        except httpx.HTTPError:
            pass
        self._again()
        return super().post(path, body)  # the same request, as a page repeats it

    def _again(self) -> None:
        wait_for(f"{self.data} ends over what it met", lambda: not self.running)
        self.ended += 1
        self.start()


def _ring(process: Process, rng: random.Random, count: int) -> dict[str, tuple[str, int]]:
    rung = {}
    for _ in range(count):
        body = sale(price=rng.randrange(1, 9999))
        body["lines"] *= rng.choice((1, 1, 1, 30))  # some are longer than a page
        answer = process.post("/api/sales", body)
        assert answer.status_code == 201, answer.text
        rung[body["id"]] = answer.json()["receipt"], answer.json()["total"]
    return rung


def open_shop(place: Path, *, sales: int, alone: int) -> Shop:
    """Found it, sell at both tills, let everything be shared; then the first till sells alone, and is killed."""
    rng, shop = random.Random("a shop"), Shop(place, (free_port(), free_port()))
    a, b = _till(place / "a", shop.ports[0]), _till(place / "b", shop.ports[1])
    with a, relay(place / "r") as office:
        link = run("invite", "--data", str(place / "a")).strip().splitlines()[-1]
        run("join", link, "--label", "B", "--data", str(place / "b"))
        link = run("invite", "--data", str(place / "r"), module="relay.cli").strip().splitlines()[-1]
        run("attach", link, "--data", str(place / "a"))
        with b:
            for till_ in (a, b):
                shop.shared |= _ring(till_, rng, sales // 2)
            returned = next(iter(shop.shared))
            asked = {"id": str(uuid.uuid4()), "lines": [{"line": 1}], "reason": "cold"}
            assert a.post(f"/api/sales/{returned}/refund", asked).status_code == 201
            wait_for("sync", lambda: a.get("/api/status")["waiting"] == b.get("/api/status")["waiting"] == 0)
            wait_for("sync", lambda: len(b.sales()) == len(a.sales()) == len(shop.shared))
            assert b.stop() == 0
        assert office.stop() == a.stop() == 0  # which brings all into the database
    with a:
        shop.alone = _ring(a, rng, alone)
        a.kill()
    return shop


@dataclass
class Aftermath:
    """What came of one damage. `wrong` is empty where all promises held."""

    what: str
    said: bool = False  # the till said at a start that something was wrong
    ended: bool = False  # ... at a second one, since it ended over what it met in reading
    lost: int = 0  # sales that only this disk had
    ready_s: float = 0.0
    silent: bool = False  # only `posline verify` found it
    wrong: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, shop: Shop, place: Path, kind: str, seed: int, *, peers: bool = True) -> Aftermath:
        """Damage a copy of the shop's first till, start everything, sell, sync, and look."""
        rng = random.Random(f"{kind} {seed}")
        for name in ("a", "b", "r"):
            shutil.copytree(shop.place / name, place / name)
        after = cls(f"{kind} ({seed}): {DAMAGES[kind](place / 'a', rng)}")
        b = _till(place / "b", shop.ports[1])
        a = _Served(place / "a", arguments=_till(place / "a", shop.ports[0]).arguments)
        try:
            if not peers:
                after._alone(shop, a, rng)
                return after
            with b:
                after._together(shop, a, b, rng)
                if b.stop() != 0:
                    after.wrong.append("the other till does not end well")
        except AssertionError as error:
            after.wrong.append(f"{str(error)[-500:]} / {a.log.read_text()[-500:] if a.log.exists() else ''}")
        finally:
            for process in (a, b):
                if process.running:
                    process.kill()
        return after

    def _start(self, a: Process) -> None:
        began = time.monotonic()
        a.start()
        self.ready_s = round(time.monotonic() - began, 2)
        self.said = any(alarm["kind"] == "damage" for alarm in a.get("/api/status")["alarms"])

    def _alone(self, shop: Shop, a: Process, rng: random.Random) -> None:
        self._start(a)
        fresh = _ring(a, rng, 2)
        self._book(shop.shared | shop.alone, fresh, a.sales(), complete=False)
        if a.stop() != 0:
            self.wrong.append("it does not end well")

    def _together(self, shop: Shop, a: _Served, b: Process, rng: random.Random) -> None:
        self._start(a)
        fresh = _ring(a, rng, 2)
        wanted = shop.shared.keys() | fresh.keys()

        def in_step() -> bool:
            here, there = ({s["id"] for s in till_.sales()} for till_ in (a, b))
            return wanted <= here == there and a.get("/api/status")["waiting"] == 0

        wait_for(f"{self.what}: the tills in step", in_step)
        for till_ in (a, b):
            self._book(shop.shared | shop.alone, fresh, till_.sales(), complete=True, certain=shop.shared.keys())
        differ = self._differ(a, b)
        self.ended = a.ended > 0
        self.said = self.said or self.ended
        for process in (a, b):
            problems = json.loads(run("verify", "--json", "--data", str(process.data), expect=None))["problems"]
            problems = [problem for problem in problems if "lacks" not in problem or not self.lost]
            if problems and process is a and not self.said:
                self.silent, differ = True, []
                self._mend(a, b)
            elif problems:
                self.wrong.append(f"verify of {process.data.name}: {problems[:3]}")
        self.wrong += differ
        if a.running and a.stop() != 0:
            self.wrong.append("it does not end well")

    def _mend(self, a: Process, b: Process) -> None:
        """Damage that only `verify` found: started again, the till is sound."""
        a.stop()
        self._start(a)
        if not self.said:
            self.wrong.append("what verify found is not mended by a start")
        wait_for("in step again", lambda: {s["id"] for s in a.sales()} == {s["id"] for s in b.sales()})
        self.wrong += self._differ(a, b)
        problems = json.loads(run("verify", "--json", "--data", str(a.data), expect=None))["problems"]
        if problems := [problem for problem in problems if "lacks" not in problem or not self.lost]:
            self.wrong.append(f"verify after mending: {problems[:3]}")

    def _differ(self, a: Process, b: Process) -> list[str]:
        days = sorted({s["day"] for s in a.sales()})
        return [
            f"the reports of {day} differ"
            for day in days
            if a.get(f"/api/reports/day/{day}") != b.get(f"/api/reports/day/{day}")
        ]

    def _book(
        self,
        before: dict[str, tuple[str, int]],
        fresh: dict[str, tuple[str, int]],
        listed: list[dict[str, Any]],
        *,
        complete: bool,
        certain: Any = (),
    ) -> None:
        ids = [s["id"] for s in listed]
        known = before | fresh
        if len(ids) != len(set(ids)) or set(ids) - known.keys():
            self.wrong.append("sales are there twice, or nobody rang them")
        held = {s["id"]: (s["receipt"], s["total"]) for s in listed}
        if any(held[id] != known[id] for id in held if id in known):
            self.wrong.append("a sale is not what was confirmed")
        if any(s["status"] != "counted" for s in listed):
            self.wrong.append(f"not counted: {[s['status'] for s in listed if s['status'] != 'counted'][:3]}")
        if missing := (set(certain) | fresh.keys()) - held.keys():
            self.wrong.append(f"{len(missing)} confirmed sales are gone that lay on a sound disk")
        self.lost = len(before.keys() - held.keys())
        receipts = [s["receipt"] for s in listed] + [before[id][0] for id in before.keys() - held.keys()]
        if len(receipts) != len(set(receipts)):
            self.wrong.append("a receipt was given twice")
        if complete:
            numbers = [(s["label"], s["number"]) for s in listed]
            if len(numbers) != len(set(numbers)):
                self.wrong.append("a number was given twice")
