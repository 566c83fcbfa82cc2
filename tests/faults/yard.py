"""The shop that is killed: three tills and a head office, set up, killed, looked at, started again, and at the end held
against its cashiers' account, device by device.

Works (tests.faults.works) say what is under way when something dies; what must hold after each death is here.
"""

from __future__ import annotations

import contextlib
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.faults.disk import Elements, elements_of, faults_of_numbers
from tests.faults.floor import SKU, Account, Act, Cashier, Device, Office, Till
from tests.faults.nursery import Nursery

__all__ = ["Yard"]

POLL_S = 0.0005
SLOW_POLL_S = 0.05
AGREE_S = 60.0
LIT_LAST = 5  # the last sales of each till, whose lights must come on at the end
CUSTOMERS = 3


class Yard:
    """One shop and what happened to it."""

    def __init__(self, folder: Path, rng: random.Random, nursery: Nursery) -> None:
        self.folder, self.rng, self.nursery = folder, rng, nursery
        self.account = Account()
        self.tills = [Till(nursery, folder, name) for name in "ABC"]
        self.joined: list[Till] = []  # by a work; they run at the end only
        self.office = Office(nursery, folder)
        self.kills: Counter[str] = Counter()  # by what was under way
        self.lights = 0  # that were on when something was killed, and were true
        self.shop_id = self.token = self.work = ""
        self.memory: dict[str, Any] = {}  # what works remember from one round to the next
        self._customers: list[str] = []
        self._never = threading.Event()

    # -- the shop ------------------------------------------------------------------------------------------------------

    def open(self) -> None:
        """Found the shop, let the others join, attach the head office."""
        first, *others = self.tills
        for device in (first, self.office):
            device.program.launch()
        for device in (first, self.office):
            device.program.ready()
        for till in others:
            joining = till.join(self.nursery, first.done("invite", expires_s=900)["link"])
            assert joining.ended() == 0, joining.said()
            till.start()
        first.done("attach", link=self.office.done("invite", expires_s=900)["link"])
        self.shop_id = first.get("/api/status")["shop_id"]
        self.token = self.office.done("token_add", shop=self.shop_id, role="read")["token"]
        for till in self.tills:
            till.id = till.get("/api/status")["till"]
        clerk = Cashier(self.account, first, self.rng, [])
        for number in range(CUSTOMERS):
            body = {"id": clerk.new_id(), "name": f"Customer {number}", "by": first.name}
            status, _ = first.ask("POST", "/api/customers", body)
            assert status == 201
            self._customers.append(body["id"])
        self.until("all are linked", self.linked)

    @property
    def running(self) -> list[Device]:
        """All that run, those too that a work let join and that run at the end only."""
        return [device for device in (*self.tills, *self.joined, self.office) if device.program.running]

    @property
    def devices(self) -> list[Device]:
        """All that run between works."""
        return [*self.tills, self.office]

    def pick(self) -> Till:
        """Any till."""
        return self.rng.choice(self.tills)

    def others(self, *but: Device) -> list[Device]:
        """All devices but these."""
        return [device for device in self.devices if device not in but]

    def linked(self) -> bool:
        """Whether all devices that run are linked with all others."""
        names = {till.name for till in [*self.tills, *self.joined] if till.program.running} | {self.office.name}
        running = [till for till in [*self.tills, *self.joined] if till.program.running]
        return all(names - {till.name} <= till.linked() for till in running)

    # -- work and death ------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def at_work(self, till: Till, *, mixed: bool = True, cashiers: int = 3) -> Iterator[Callable[[], int]]:
        """Cashiers do one thing after another at a till, until the end of the block or of the till; what is yielded
        says how many answers they have had."""
        stop, heard = threading.Event(), [0]

        def hear() -> None:
            heard[0] += 1

        threads = []
        for _ in range(cashiers):
            person = Cashier(self.account, till, random.Random(self.rng.random()), self._customers)
            threads.append(threading.Thread(target=person.work, args=(stop, mixed, hear)))
        for thread in threads:
            thread.start()
        try:
            yield lambda: heard[0]
        finally:
            stop.set()
            for thread in threads:
                thread.join()

    def after(self, most_s: float) -> None:
        """A random moment, at most so many seconds from now."""
        self._never.wait(self.rng.uniform(0, most_s))

    def wait(self, seconds: float) -> None:
        """For what takes place by itself after some quiet."""
        self._never.wait(seconds)

    def until(self, what: str, condition: Callable[[], Any], within_s: float = AGREE_S) -> None:
        """Wait for a condition. Fails with `what`."""
        began = time.monotonic()
        while not condition():
            assert time.monotonic() - began < within_s, f"{self.work}: after {within_s:.0f} s still not: {what}"
            self._never.wait(SLOW_POLL_S)

    def soon(self, condition: Callable[[], Any], most_s: float) -> bool:
        """Wait for a condition with an eye on every half millisecond; whether it came."""
        until = time.monotonic() + most_s
        while not condition():
            if time.monotonic() > until:
                return False
            self._never.wait(POLL_S)
        return True

    def kill(self, *devices: Device) -> None:
        """SIGKILL to all of them in one moment; what their disks hold is looked at before anything starts again."""
        for device in devices:
            device.program.signal(9)
        for device in devices:
            device.program.ended()
            self.kills[self.work] += 1
        self.look(*devices)

    def look(self, *dead: Device) -> None:
        """Hold the disks against what was answered, and against the lights that were seen."""
        for device in [*self.devices, *self.joined]:
            running = device.program.running
            if device in dead or running or device in self.joined:
                device.disk.look(None if running else self.folder / "scratch")
        for device in dead:
            answered = self.account.answered.pop(device.name, [])
            lacks = device.disk.lacks(answered)
            assert not lacks, f"{self.work}: {device.name} had acknowledged it, and {lacks[:5]}"
        for name, lit in self.account.lit.items():
            for sale, (tills, head_office) in lit.items():
                holders = [t.name for t in [*self.tills, *self.joined] if t.name != name and t.disk.ids[sale]]
                assert len(holders) >= tills, f"{self.work}: {name} says {tills} tills hold {sale}, and {holders} do"
                assert not head_office or self.office.disk.ids[sale], f"{self.work}: the head office lacks {sale}"
                self.lights += tills + head_office
        self.account.lit.clear()

    def revive(self, *devices: Device) -> None:
        """Start them again, with nobody's help, and repeat what was not answered."""
        for device in devices:
            device.program.launch()
        for device in devices:
            device.program.ready()
        for device in devices:
            self.account.settle(device)

    # -- what must hold at the end -------------------------------------------------------------------------------------

    def reports(self) -> dict[str, list[bytes]]:
        """The day reports of every device that runs, byte for byte."""
        days = sorted({act.answer["day"] for act in self.account.acts.values()} | self.memory.get("days", set()))
        found = {}
        for device in self.running:
            path, token = "/api", ""
            if device is self.office:
                path, token = f"/api/shops/{self.shop_id}", self.token
            found[device.name] = [
                json.dumps(device.ask("GET", f"{path}/reports/day/{day}", token=token)[1]).encode() for day in days
            ]
        return found

    def agree(self) -> list[dict[str, Any]]:
        """Wait until all devices that run say the same of every day, and hold it against the account; the reports."""
        wanted = self.account.sums()
        seen: dict[str, list[bytes]] = {}

        def same() -> bool:
            seen.update(self.reports())
            first, *others = seen.values()
            counted = sum(json.loads(report)["sales"]["count"] for report in first)
            return all(other == first for other in others) and counted == wanted["count"]["sale"]

        try:
            self.until("all say the same", same)
        except AssertionError as error:
            sums = {name: [json.loads(r).get("sales") for r in found] for name, found in seen.items()}
            raise AssertionError(f"{error}: {sums}, and {wanted['count']} were asked for") from error
        reports = [json.loads(report) for report in next(iter(seen.values()))]
        for name, kind in (("sales", "sale"), ("refunds", "refund"), ("voids", "void"), ("payments", "payment")):
            got = [sum(report[name][what] for report in reports) for what in ("count", "total")]
            assert got == [wanted["count"][kind], wanted["total"][kind]], (name, got)
        for way in ("in", "out"):
            assert sum(report["cash"][way]["total"] for report in reports) == wanted["total"][f"cash {way}"]
        for report in reports:
            for odd in ("duplicates", "held", "disputed", "invalid", "newer"):
                assert not report[odd], (odd, report[odd])
            for till in report["tills"]:
                assert not till["missing_count"] and not till["receipts"]["missing_count"], till
        for till in (device for device in self.running if device is not self.office):
            on_hand = till.get(f"/api/stock?sku={SKU}")["on_hand"]
            assert on_hand == str(wanted["on_hand"][SKU]), (till.name, on_hand, wanted["on_hand"])
            for customer in self._customers:
                balance = till.get(f"/api/customers/{customer}")["balance"]["account"]
                assert balance == wanted["owed"][customer], (till.name, customer, balance)
            alarms = [alarm for alarm in till.get("/api/status")["alarms"] if alarm["kind"] != "clock"]
            assert not alarms, (till.name, alarms)
        return reports

    def close(self) -> None:
        """The whole of what must hold: see tests.faults.test_kill."""
        self.work = "the end"
        self.revive(*self.joined)
        self.until("all are linked", self.linked)
        for till in self.tills:
            clerk = Cashier(self.account, till, self.rng, [])
            assert self.account.ask(till, clerk.sell())  # so that there is something to close
            body = {"id": clerk.new_id(), "counted": {"cash": 1}, "by": till.name}
            assert self.account.ask(till, Act("shift closed", "/api/shifts/close", body, 0))
        reports = self.agree()
        shifts = {json.dumps(self._shifts(till), sort_keys=True) for till in self.tills}
        assert len(shifts) == 1, "the Z reports differ from till to till"
        closed = json.loads(shifts.pop())
        assert len({z["id"] for z in closed}) == len(closed)
        kept_twice = sum(each["amount"] for z in closed for each in z["duplicates"])
        assert sum(z["net"] for z in closed) - kept_twice == sum(report["net"] for report in reports)
        self._lights()
        self.look()
        for device in [*self.devices, *self.joined]:
            shop = {"shop": self.shop_id} if device is self.office else {}
            assert device.done("verify", **shop)["problems"] == [], device.name
        for device in [*self.devices, *self.joined]:
            assert device.program.stop() == 0, device.program.said()[-2000:]
        self._elements()
        for device in [*self.devices, *self.joined]:
            assert "Traceback" not in device.program.said(), device.program.said()[-6000:]

    def _shifts(self, till: Till) -> list[dict[str, Any]]:
        days = sorted({act.answer["day"] for act in self.account.acts.values()})
        return [z for day in days for z in till.get(f"/api/shifts?day={day}&limit=1000")["shifts"]]

    def _lights(self) -> None:
        """All that run are linked and hold all: so every light is on."""
        tills = len(self.tills) + len(self.joined) - 1
        for till in self.tills:
            mine = [act.id for act in self.account.acts.values() if act.kind == "sale" and act.body["by"] == till.name]
            for sale in mine[:1] + mine[-LIT_LAST:]:

                def on(till: Till = till, sale: str = sale) -> bool:
                    self.account.light(till, sale)
                    return self.account.lit[till.name][sale] == (tills, True)

                self.until(f"the lights of {sale} are on", on)

    def _elements(self) -> None:
        """Every device's log, put together by stock Yjs, has the same elements, each thing asked for once."""
        found = {d.name: elements_of(d.folder / "posline.db", self.shop_id) for d in [*self.devices, *self.joined]}
        first = next(iter(found.values()))
        for name, documents in found.items():
            assert _sets(documents) == _sets(first), f"{name} holds other elements"
            assert not (faults := faults_of_numbers(documents)), (name, faults)
        entries = [json.loads(text) for roots in first.values() for root in roots.values() for text in root]
        ids = Counter(entry["id"] for entry in entries)
        wanted = {*self.account.acts, *self.account.backlog}
        assert [id for id in wanted if ids[id] != 1] == []
        asked = {"sale", "refund", "void", "payment", "cash", "stock", "shift closed", "day closed"}
        strangers = [e for e in entries if e["kind"] in asked - {"day closed"} and e["id"] not in wanted]
        assert not strangers, f"what nobody asked for: {strangers[:3]}"
        members = Counter(entry["member"] for entry in entries if entry["kind"] == "member")
        assert set(members.values()) == {1}, f"admitted more than once: {members}"


def _sets(documents: Elements) -> dict[str, list[str]]:
    full = {name: roots for name, roots in documents.items() if roots}
    return {name: sorted(text for root in roots.values() for text in root) for name, roots in full.items()}
