"""A shop of real programs on this machine's loopback, and what its cashiers know of it.

What was asked, and what was answered, is written down in an `Account` in the rig's own words and sums; every device's
disk and every report is held against that.
"""

from __future__ import annotations

import http.client
import itertools
import json
import random
import threading
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from examples.rig.programs import free_port
from tests.faults.disk import Disk
from tests.faults.nursery import Nursery, Program

__all__ = ["SKU", "Account", "Act", "Answer", "Cashier", "Device", "Gone", "Office", "Till"]

ANSWER_S = 60.0
SKU = "loose"
Answer = tuple[int, Any]


class Gone(Exception):
    """The program went away before it answered: nobody knows whether the thing was done."""


@dataclass
class Act:
    """One thing that a cashier asked for, until it is answered. Amounts in minor units."""

    kind: str
    path: str
    body: dict[str, Any]
    amount: int
    quantity: int = 0
    may_be_refused: bool = False
    answer: Any = None

    @property
    def id(self) -> str:
        """The id that the cashier made for it."""
        return str(self.body["id"])


class Device:
    """A program of the shop."""

    def __init__(self, nursery: Nursery, folder: Path, name: str, module: str, arguments: list[str]) -> None:
        self.name, self.folder = name, folder / name
        self.port = free_port()
        self.program = Program(nursery, self.folder, module, arguments)
        self.disk = Disk(self.folder)
        self.id = ""
        self._mine = threading.local()

    def start(self) -> None:
        """Start it, and wait until it is ready."""
        self.program.start()

    def ask(self, method: str, path: str, body: object = None, token: str = "") -> Answer:
        """One request. Raises Gone."""
        line, start = getattr(self._mine, "line", (None, 0))
        if line is None or start != self.program.starts:
            line = self._connect()
        headers = {"content-type": "application/json"} | ({"authorization": f"Bearer {token}"} if token else {})
        asked = (method, path, None if body is None else json.dumps(body), headers)
        try:
            return _exchange(line, *asked)
        except (OSError, http.client.HTTPException) as error:
            if not self.program.running:
                raise Gone(str(error)) from error
        try:  # the connection had been idle for long, or the program is just dying
            return _exchange(self._connect(), *asked)
        except (OSError, http.client.HTTPException) as error:
            raise Gone(str(error)) from error

    def _connect(self) -> http.client.HTTPConnection:
        """A fresh connection of this thread."""
        parts = urlsplit(self.program.urls["page"])
        assert parts.hostname
        if (old := getattr(self._mine, "line", None)) is not None:
            old[0].close()
        line = http.client.HTTPConnection(parts.hostname, parts.port, timeout=ANSWER_S)
        self._mine.line = line, self.program.starts
        return line

    def get(self, path: str) -> Any:
        """What GET answers."""
        status, found = self.ask("GET", path)
        assert status == 200, (self.name, path, status, found)
        return found

    def command(self, name: str, **arguments: Any) -> Answer:
        """A command of `posline`, as the program that runs on its folder answers it. Raises Gone."""
        local = json.loads((self.folder / "local.json").read_text())
        parts = urlsplit(local["address"])
        assert parts.hostname
        line = http.client.HTTPConnection(parts.hostname, parts.port, timeout=ANSWER_S)
        headers = {"content-type": "application/json", "authorization": f"Bearer {local['secret']}"}
        try:
            line.request("POST", f"/api/local/{name}", json.dumps(arguments), headers)
            answer = line.getresponse()
            return answer.status, json.loads(answer.read())
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise Gone(str(error)) from error
        finally:
            line.close()

    def done(self, name: str, **arguments: Any) -> Any:
        """The answer of a command that must not fail."""
        status, found = self.command(name, **arguments)
        assert status == 200, (self.name, name, found)
        return found

    @property
    def written(self) -> int:
        """When its write-ahead log was last written to, in nanoseconds; 0 where there is none."""
        path = self.folder / "posline.db-wal"
        return path.stat().st_mtime_ns if path.exists() else 0


def _exchange(line: http.client.HTTPConnection, method: str, path: str, body: str | None, headers: Any) -> Answer:
    line.request(method, path, body, headers)
    answer = line.getresponse()
    content = answer.read()
    return answer.status, json.loads(content) if content else None


class Till(Device):
    """A till."""

    def __init__(self, nursery: Nursery, folder: Path, name: str) -> None:
        super().__init__(nursery, folder, name, "posline.cli", [])
        here = f"127.0.0.1:{self.port}"
        ports = ["--port", "0", "--sync-port", str(self.port), "--host", "127.0.0.1", "--address", here]
        self.program.arguments = ["till", *ports, "--no-discovery", "--label", name]

    def join(self, nursery: Nursery, link: str) -> Program:
        """`posline join`, under way."""
        return Program(nursery, self.folder, "posline.cli", ["join", link, "--label", self.name]).launch()

    def linked(self) -> set[str]:
        """The names of the devices that it is linked with."""
        return {peer["name"] for peer in self.get("/api/status")["peers"] if peer["connected"]}


class Office(Device):
    """A head office."""

    def __init__(self, nursery: Nursery, folder: Path, name: str = "HQ") -> None:
        super().__init__(nursery, folder, name, "relay.cli", [])
        self.program.arguments = ["serve", "--port", str(self.port)]


@dataclass
class Account:
    """What was asked of the shop, what was answered, and which lights were seen."""

    acts: dict[str, Act] = field(default_factory=dict)
    refused: int = 0
    repeats: int = 0
    lit: dict[str, dict[str, tuple[int, bool]]] = field(default_factory=dict)  # till -> sale -> tills, head office
    answered: dict[str, list[str]] = field(default_factory=dict)  # device -> ids that it said it has
    backlog: dict[str, list[int]] = field(default_factory=dict)  # id -> price, quantity
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, at: Device, act: Act, answer: Answer) -> bool:
        """Write down an answer; False where it says that nothing is known yet."""
        status, found = answer
        with self._lock:
            if status in (200, 201):
                act.answer = found
                self.answered.setdefault(at.name, []).append(act.id)
                return True
            if act.may_be_refused and status in (404, 409, 422):
                self.refused += 1
                del self.acts[act.id]
                return True
        assert status == 503, (at.name, act, status, found)
        return False

    def ask(self, at: Device, act: Act) -> bool:
        """Ask for it; whether it was answered. Raises Gone."""
        with self._lock:
            self.acts[act.id] = act
        return self.take(at, act, at.ask("POST", act.path, act.body))

    def light(self, at: Device, sale: str) -> bool:
        """Look at a sale's lights, and write down what is on; whether anything is."""
        durable = at.get(f"/api/sales/{sale}")["durable"]
        with self._lock:
            self.lit.setdefault(at.name, {})[sale] = (durable["tills"], durable["head_office"])
        return bool(durable["tills"] or durable["head_office"])

    def settle(self, at: Device) -> None:
        """Repeat what was not answered, with the same ids, as a cashier does whose till is back."""
        for act in [act for act in list(self.acts.values()) if act.answer is None and act.body["by"] == at.name]:
            self.repeats += 1
            assert self.ask(at, act), (at.name, act)

    def sums(self) -> dict[str, Any]:
        """What the shop's books must say."""
        count, total, on_hand, owed = Counter[str](), Counter[str](), Counter[str](), Counter[str]()
        for act in self.acts.values():
            assert act.answer is not None, act
            count[act.kind] += 1
            total[act.kind] += act.amount
            on_hand[SKU] += act.quantity
            if act.kind == "payment":
                owed[act.body["customer"]] -= act.amount
        for price, quantity in self.backlog.values():
            count["sale"] += 1
            total["sale"] += price * quantity
            on_hand[SKU] -= quantity
        return {"count": count, "total": total, "on_hand": on_hand, "owed": owed}


class Cashier:
    """Somebody at a till who does one thing after another."""

    def __init__(self, account: Account, till: Till, rng: random.Random, customers: list[str]) -> None:
        self.account, self.till, self._rng, self._customers = account, till, rng, customers
        self._sold: list[tuple[str, int, int]] = []  # id, price, quantity of sales that were not given back

    def new_id(self) -> str:
        """A UUID."""
        return str(uuid.UUID(int=self._rng.getrandbits(128), version=4))

    def work(self, stop: threading.Event, mixed: bool, heard: Callable[[], object]) -> None:
        """Sell, or all sorts of things where `mixed`, until told to stop or the till is gone."""
        try:
            for act in self._acts(mixed):
                if stop.is_set():
                    return
                if not self.account.ask(self.till, act):
                    return
                heard()
                if act.kind == "sale":
                    self._sold.append((act.id, act.body["lines"][0]["price"], -act.quantity))
        except Gone:
            return

    def sell(self) -> Act:
        """A sale."""
        price, quantity = self._rng.randrange(1, 9999), self._rng.randrange(1, 4)
        lines = [{"sku": SKU, "quantity": quantity, "price": price}]
        body = {"id": self.new_id(), "lines": lines, "by": self.till.name}
        return Act("sale", "/api/sales", body, price * quantity, -quantity)

    def _acts(self, mixed: bool) -> Iterator[Act]:
        for number in itertools.count():
            choice = self._rng.random() if mixed and number else 0.0
            ask = {"id": self.new_id(), "by": self.till.name}
            amount = self._rng.randrange(1, 5000)
            if choice < 0.4 or (choice < 0.7 and not self._sold):
                yield self.sell()
            elif choice < 0.55:
                sale, price, sold = self._sold.pop(self._rng.randrange(len(self._sold)))
                back = self._rng.randrange(1, sold + 1)
                body = ask | {"reason": "torn", "lines": [{"line": 1, "quantity": back}]}
                yield Act("refund", f"/api/sales/{sale}/refund", body, price * back, back)
            elif choice < 0.7:
                sale, price, sold = self._sold.pop()
                void = Act("void", f"/api/sales/{sale}/void", ask | {"reason": "mistyped"}, price * sold, sold)
                void.may_be_refused = True  # where a Z report has the sale by now
                yield void
            elif choice < 0.8 and self._customers:
                body = ask | {"customer": self._rng.choice(self._customers), "amount": amount}
                yield Act("payment", "/api/payments", body, amount)
            elif choice < 0.9:
                way = self._rng.choice(("in", "out"))
                body = ask | {"direction": way, "amount": amount, "reason": "change"}
                yield Act(f"cash {way}", "/api/cash", body, amount)
            else:
                came = self._rng.randrange(1, 50)
                moves = [{"sku": SKU, "quantity": str(came), "reason": "received"}]
                yield Act("stock", "/api/stock", ask | {"moves": moves}, 0, came)
