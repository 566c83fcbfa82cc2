"""Printing: after the commit, never in a sale's way, never twice unasked; printers that hang, refuse and die."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
import threading
import uuid
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from posline.errors import BadRequest, Conflict, NotPossible
from posline.till import print_queue, printing
from posline.till.commands import COMMANDS
from posline.till.printers import ASK_STATUS, PrinterFault, PrinterSettings, Target, send
from posline.till.receipts.escpos import kick
from posline.till.shared import put
from posline.till.till import Till, open_till
from tests.till.shop import TEA, running, sale

SETTLED_S = 20.0
HEADING_PICTURE = b"\x1dv0"  # all above the receipt's number is letters, but for COPY in both languages
quick = partial(send, stall_s=0.3, connect_s=SETTLED_S, status_s=SETTLED_S)  # for printers that go deaf on the way


class Printer:
    """A printer on the loopback: what it was sent, and how it behaves. It `answers` in turn what it is asked about
    itself, `takes` so many bytes and then breaks off, or goes `deaf` behind its first answer."""

    def __init__(self, *answers: bytes, takes: int | None = None, deaf: bool = False) -> None:
        self.answers, self.takes, self.deaf = answers or (b"\x12",), takes, deaf
        self.jobs: list[bytes] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.target = f"tcp://127.0.0.1:{self._listener.getsockname()[1]}"
        self._open: list[socket.socket] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                line, _ = self._listener.accept()
                self._open.append(line)
                self._take(line)

    def _take(self, line: socket.socket) -> None:
        answers = list(self.answers)
        job = bytearray()
        with contextlib.suppress(OSError):
            while piece := line.recv(65536):
                job += piece
                if job.endswith(ASK_STATUS):
                    del job[-len(ASK_STATUS) :]
                    line.sendall(answers.pop(0) if len(answers) > 1 else answers[0])
                    if self.deaf:
                        return
                if self.takes is not None and len(job) >= self.takes:
                    line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    line.close()  # broken off: what comes after is reset
                    return
            self.jobs.append(bytes(job))
            line.close()

    def close(self) -> None:
        self._listener.close()
        for line in self._open:
            line.close()


@pytest.fixture
def printers() -> Iterator[list[Printer]]:
    """Printers that are switched off at the end."""
    made: list[Printer] = []
    yield made
    for printer in made:
        printer.close()


# -- the places --------------------------------------------------------------------------------------------------------


def test_targets_are_read_and_written_alike() -> None:
    for name in ("none", "tcp://192.168.1.50:9100", "tcp://[fe80::1]:9101", "usb:/dev/usb/lp0", "file:/tmp/x?y"):
        assert str(Target.read(name)) == name
    assert str(Target.read("serial:/dev/ttyUSB0")) == "serial:/dev/ttyUSB0?baud=9600"
    assert str(Target.read("tcp:printer")) == "tcp://printer:9100" and str(Target.read("")) == "none"
    for wrong in ("tcp://", "tcp://a:99999", "tcp://a/b", "lpt1", "usb:", "serial:/dev/x?baud=7", "file:/a\nb"):
        with pytest.raises(BadRequest):
            Target.read(wrong)
    for field, value in (("paper", "A4"), ("drawer", 3), ("drawer", True), ("language", "fr"), ("automatic", 1)):
        with pytest.raises(BadRequest, match=rf"printer\.{field}"):
            PrinterSettings.read({field: value})


def test_a_network_printer_takes_a_job(printers: list[Printer]) -> None:
    printers.append(printer := Printer())
    send(Target.read(printer.target), [b"one", b"two" * 50_000])
    assert printer.jobs == [b"one" + b"two" * 50_000]


@pytest.mark.parametrize(
    ("made", "began", "why"),
    [
        (partial(Printer, b"\x32"), False, "no paper"),
        (partial(Printer, b"\x16"), False, "cover is open"),
        (partial(Printer, b"\x52"), False, "reports a fault"),
        (partial(Printer, b"\x12", b"\x32"), True, "no paper"),
        (partial(Printer, takes=10), True, "broke off"),
        (partial(Printer, deaf=True), True, "does not take anything"),
    ],
)
def test_a_printer_in_trouble_says_so(
    printers: list[Printer], made: Callable[[], Printer], began: bool, why: str
) -> None:
    printers.append(printer := made())
    for size in (1_000, 16_000_000):  # what the line holds, and more than that
        with pytest.raises(PrinterFault, match=why) as caught:
            quick(Target.read(printer.target), [b"x" * size])
        assert caught.value.began is began


def nobodys_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def test_nobody_answers() -> None:
    with pytest.raises(PrinterFault, match="no printer answers at tcp://127") as caught:
        quick(Target("network", "127.0.0.1", nobodys_port()), [b"x"])
    assert not caught.value.began
    with pytest.raises(PrinterFault, match="is not there"):
        quick(Target("device", "/dev/no/such/printer"), [b"x"])


def test_a_device_and_a_serial_line_take_a_job(tmp_path: Path) -> None:
    def of(kind: str) -> bytes:
        ours, theirs = os.openpty()
        got = bytearray()

        def read() -> None:
            with contextlib.suppress(OSError):
                while len(got) < 3000:
                    got.extend(os.read(ours, 4096))

        reading = threading.Thread(target=read, daemon=True)
        reading.start()
        quick(Target(kind, os.ttyname(theirs), 19200), [b"\x1b@" + bytes(range(256)) * 20])
        reading.join(SETTLED_S)
        os.close(ours)
        os.close(theirs)
        return bytes(got[:512])

    assert of("serial") == (b"\x1b@" + bytes(range(256)) * 2)[:512], "nothing is translated on its way"
    pipe = tmp_path / "lp0"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    quick(Target("device", str(pipe)), [b"abc"])
    assert os.read(reader, 100) == b"abc"
    with pytest.raises(PrinterFault, match="does not take anything") as caught:
        quick(Target("device", str(pipe)), [b"x" * 1_000_000])  # nobody reads it
    assert caught.value.began
    os.close(reader)


def test_a_file_is_appended_to(tmp_path: Path) -> None:
    for _ in range(2):
        send(Target("file", str(tmp_path / "paper")), [b"one"])
    assert (tmp_path / "paper").read_bytes() == b"oneone"


# -- a till and its printer --------------------------------------------------------------------------------------------


async def printed(till: Till) -> None:
    assert await asyncio.to_thread(till.printing.settle, SETTLED_S)


async def test_each_sale_is_printed_once_after_its_commit(tmp_path: Path, printers: list[Printer]) -> None:
    printers.append(printer := Printer())
    async with running(tmp_path / "a") as (till, client):
        first = (await client.post("/api/sales", json=sale())).json()
        await printed(till)
        assert printer.jobs == [], "no printer is set"
        till.printing.set_printer({"target": printer.target})
        body = sale()
        sold = (await client.post("/api/sales", json=body)).json()
        again = await client.post("/api/sales", json=body)
        assert again.status_code == 200
        await printed(till)
        (job,) = printer.jobs
        assert job.startswith(kick(2)) and sold["receipt"].encode() in job
        assert HEADING_PICTURE not in job.partition(b"Receipt")[0]
        card = sale(tenders=[{"kind": "card", "amount": 500}])
        await client.post("/api/sales", json=card)
        await printed(till)
        assert kick(2) not in printer.jobs[1], "a card needs no drawer"
        back = await client.post(f"/api/sales/{sold['id']}/refund", json={"id": str(uuid.uuid4()), "reason": "torn"})
        await printed(till)
        assert back.status_code == 201 and b"REFUND" in printer.jobs[2] and printer.jobs[2].startswith(kick(2))
        for wanted, copy, marked in (
            (sold["id"], {}, True),
            (first["receipt"], {}, False),
            (sold["id"], {"copy": False}, False),
        ):
            asked = {"id": str(uuid.uuid4()), "entry": wanted} | copy
            for _ in range(2):
                assert (await client.post("/api/print", json=asked)).status_code == 202
            await printed(till)
            assert (HEADING_PICTURE in printer.jobs[-1].partition(b"Receipt")[0]) is marked
        assert len(printer.jobs) == 6, "an id is printed once"
        other = await client.post("/api/print", json=asked | {"entry": first["id"]})
        assert other.status_code == 409
        await client.post("/api/shifts/close", json={"id": str(uuid.uuid4()), "counted": {"cash": 0}})
        (z,) = (await client.get("/api/shifts")).json()["shifts"]
        asked = {"id": str(uuid.uuid4()), "shift": z["id"]}
        for _ in range(2):
            assert (await client.post("/api/print", json=asked)).status_code == 202
        await printed(till)
        assert len(printer.jobs) == 7 and b"Z report 1" in printer.jobs[-1] and b"over or short" in printer.jobs[-1]
    async with open_till(tmp_path / "a") as till:
        assert str(till.printing.printer.target) == printer.target, "the printer is remembered"
        await printed(till)
        assert len(printer.jobs) == 7


@pytest.mark.parametrize("trouble", ["hangs", "refuses", "dies"])
async def test_a_printer_in_trouble_is_in_no_sales_way(
    tmp_path: Path, printers: list[Printer], trouble: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(print_queue, "send", quick)
    printers.append(printer := Printer(deaf=trouble == "hangs", takes=5 if trouble == "dies" else None))
    target = f"tcp://127.0.0.1:{nobodys_port()}" if trouble == "refuses" else printer.target
    async with open_till(tmp_path / "a") as till:
        till.printing.set_printer({"target": target})
        async with asyncio.timeout(5):
            sales = [await till.sell([TEA]) for _ in range(5)]
        assert till.day_report()["sales"]["count"] == 5 and len({each.receipt for each in sales}) == 5
        await printed(till)
        state = till.printing.state()
        if trouble == "refuses":
            assert state["waiting"] == 5 and state["state"] == "fault"
        else:
            assert state["unsure"] and len(printer.jobs) == 0
        (alarm,) = [alarm for alarm in till.alarms() if alarm["kind"] == "printer"]
        assert alarm["do"]
        assert till.day_report()["sales"]["count"] == 5


async def test_what_other_tills_sell_is_not_printed_here(tmp_path: Path, printers: list[Printer]) -> None:
    printers.append(printer := Printer())
    async with open_till(tmp_path / "a") as a:
        mine = await a.sell([TEA])
        a.printing.set_printer({"target": printer.target})
        raw = a.printing.papers.find(mine.id).entry.raw.decode()
        await a.engine.durable(*a.whole.append_again(f"journal/{mine.day}", [raw]))
        await printed(a)
        assert printer.jobs == []


async def test_the_drawer_opens_for_a_reason(tmp_path: Path, printers: list[Printer]) -> None:
    printers.append(printer := Printer())
    async with running(tmp_path / "a") as (till, client):
        asked = {"id": str(uuid.uuid4()), "reason": "change for a 5000", "by": "Ayesha"}
        refused = await client.post("/api/drawer", json=asked)
        assert refused.status_code == 409 and "posline printer set" in refused.json()["detail"]
        till.printing.set_printer({"target": printer.target, "drawer": 5})
        asked["id"] = str(uuid.uuid4())
        for _ in range(2):
            assert (await client.post("/api/drawer", json=asked)).status_code == 202
            await printed(till)
        assert printer.jobs == [kick(5)], "once for one id"
        (opened,) = (await client.get("/api/print")).json()["drawer"]
        assert (opened["by"], opened["reason"]) == ("Ayesha", "change for a 5000")
        for wrong in ({"reason": ""}, {"reason": " "}, {"reason": 7}, {"reason": "x" * 201}):
            answer = await client.post("/api/drawer", json={"id": str(uuid.uuid4())} | wrong)
            assert answer.status_code == 422
        taken = await client.post("/api/drawer", json=asked | {"reason": "another"})
        assert taken.status_code == 409
        till.printing.set_printer({"drawer": 0})
        assert (await client.post("/api/drawer", json={"id": str(uuid.uuid4()), "reason": "x"})).status_code == 409


async def test_a_sale_printed_only_when_asked_opens_the_drawer_all_the_same(
    tmp_path: Path, printers: list[Printer]
) -> None:
    printers.append(printer := Printer())
    async with open_till(tmp_path / "a") as till:
        till.printing.set_printer({"target": printer.target, "automatic": False})
        await till.sell([TEA])
        await printed(till)
        assert printer.jobs == [kick(2)]


async def test_a_shop_may_ask_for_a_pin_before_a_reprint_and_the_drawer(
    tmp_path: Path, printers: list[Printer]
) -> None:
    printers.append(printer := Printer())
    async with running(tmp_path / "a") as (till, client):
        till.printing.set_printer({"target": printer.target, "drawer": 0})
        sold = (await client.post("/api/sales", json=sale())).json()
        await till.people.save("Sana", {"role": "supervisor", "pin": "4711"})
        await put(till, "permissions", {"reprint": "supervisor", "drawer": "supervisor"})
        await printed(till)
        till.printing.set_printer({"drawer": 2})
        for path, asked in (("/api/print", {"entry": sold["id"]}), ("/api/drawer", {"reason": "change"})):
            body = {"id": str(uuid.uuid4()), "by": "Ali"} | asked
            refused = await client.post(path, json=body)
            assert refused.status_code == 403 and "Sana can" in refused.json()["detail"]
            body["approve"] = {"by": "Sana", "pin": "4711"}
            assert (await client.post(path, json=body)).status_code == 202
            await printed(till)
        assert len(printer.jobs) == 3 and printer.jobs[2] == kick(2)
        assert till.printing.state()["drawer"][0]["by"] == "Sana"
        with pytest.raises(BadRequest, match=r"receipt\.paper"):
            await put(till, "receipt", {"paper": "A4"})
        assert await put(till, "receipt", {"paper": "58"}) == {"paper": "58"}


async def test_a_report_asked_for_without_a_printer_is_printed_once_there_is_one(
    tmp_path: Path, printers: list[Printer]
) -> None:
    printers.append(printer := Printer())
    async with running(tmp_path) as (till, client):
        await client.post("/api/sales", json=sale())
        asked = {"id": str(uuid.uuid4()), "shift": "current"}
        assert (await client.post("/api/print", json=asked)).status_code == 409
        till.printing.set_printer({"target": printer.target})
        assert (await client.post("/api/print", json=asked)).status_code == 202
        await printed(till)
        assert len(printer.jobs) == 1 and b"X report" in printer.jobs[0]


async def test_receipts_over_the_api(tmp_path: Path) -> None:
    async with running(tmp_path / "a", shop="Corner <b>") as (till, client):
        await till.write("setting", {"name": "receipt", "value": {"ntn": "1234567-8", "paper": "58"}}, document="shop")
        sold = (await client.post("/api/sales", json=sale(by="Ayesha"))).json()
        where = f"/api/receipts/{sold['receipt']}"
        plain = await client.get(where)
        assert plain.headers["content-type"].startswith("text/plain") and "NTN: 1234567-8" in plain.text
        assert all(len(line) <= 32 for line in plain.text.splitlines())
        assert "COPY" in (await client.get(f"{where}?copy=1")).text
        page = await client.get(f"/api/receipts/{sold['id']}?format=html&language=ur")
        assert "Corner &lt;b&gt;" in page.text and 'dir="rtl"' in page.text
        assert "default-src 'none'" in page.headers["content-security-policy"]
        assert (await client.get(f"{where}?format=png")).content.startswith(b"\x89PNG")
        assert (await client.get(f"{where}?format=escpos")).content.startswith(b"\x1b@")
        void = await client.post(f"/api/sales/{sold['id']}/void", json={"id": str(uuid.uuid4()), "reason": "twice"})
        gone = (await client.get(f"/api/receipts/{void.json()['id']}")).text
        assert "VOID" in gone and "PAID BACK" in gone and sold["receipt"] in gone and "2 × 2.50" in gone
        assert "This sale was cancelled." in " ".join((await client.get(where)).text.split())
        for wrong in ("format=pdf", "language=fr"):
            assert (await client.get(f"{where}?{wrong}")).status_code == 422
        assert (await client.get("/api/receipts/A-99-K7QM")).status_code == 404
        for wrong_body in ({"entry": ""}, {"entry": 7}, {"copy": "yes", "entry": sold["id"]}, {"job": "x", "do": "?"}):
            answer = await client.post("/api/print", json={"id": str(uuid.uuid4())} | wrong_body)
            assert answer.status_code == 422, wrong_body
        nothing = await client.post("/api/print", json={"id": str(uuid.uuid4()), "entry": sold["id"]})
        assert nothing.status_code == 409


async def test_unsure_receipts_are_decided_on_over_the_api(tmp_path: Path, printers: list[Printer]) -> None:
    printers.append(printer := Printer(takes=5))
    async with running(tmp_path / "a") as (till, client):
        till.printing.set_printer({"target": printer.target})
        sold = [(await client.post("/api/sales", json=sale())).json() for _ in range(2)]
        async with asyncio.timeout(SETTLED_S):
            while len(till.printing.state()["unsure"]) < 2:  # noqa: ASYNC110  # another thread's doing
                await asyncio.sleep(0.02)
        first, second = (await client.get("/api/print")).json()["unsure"]
        assert [first["name"], second["name"]] == [each["receipt"] for each in sold]
        printer.takes = None
        dropped = {"id": str(uuid.uuid4()), "job": first["id"], "do": "drop"}
        again = {"id": str(uuid.uuid4()), "job": second["id"], "do": "again"}
        for body in (dropped, again):
            assert (await client.post("/api/print", json=body)).status_code == 200
        await printed(till)
        (job,) = printer.jobs
        assert sold[1]["receipt"].encode() in job and HEADING_PICTURE in job.partition(b"Receipt")[0], "as a copy"
        assert (await client.get("/api/print")).json()["unsure"] == []


async def test_what_a_customer_owes_stands_on_the_original_alone(tmp_path: Path) -> None:
    async with running(tmp_path / "a") as (till, client):
        asked = {"id": str(uuid.uuid4()), "name": "Imran Ali", "phone": "03001234567"}
        customer = (await client.post("/api/customers", json=asked)).json()["customer"]
        body = sale(customer=customer, tenders=[{"kind": "account", "amount": 500}])
        sold = (await client.post("/api/sales", json=body)).json()

        async def said(id: str, copy: int) -> str:
            return " ".join((await client.get(f"/api/receipts/{id}?copy={copy}")).text.split())

        original, copy = await said(sold["id"], 0), await said(sold["id"], 1)
        assert "Imran Ali 03001234567" in original and "Udhaar balance 5.00" in original
        assert "Imran Ali 03001234567" in copy and "balance" not in copy
        paid = {"id": str(uuid.uuid4()), "customer": customer, "amount": 300}
        assert (await client.post("/api/payments", json=paid)).status_code == 201
        payment = await said(paid["id"], 0)
        assert "Payment on account" in payment and "Received Rs 3.00" in payment and "Udhaar balance 2.00" in payment
        assert till.printing.papers.proof(till.printing.papers.find(paid["id"])) == ()


async def test_commands_show_set_and_test_the_printer(tmp_path: Path, printers: list[Printer]) -> None:
    printers.append(printer := Printer())
    async with open_till(tmp_path / "a") as till:
        sold = await till.sell([TEA])
        made = await COMMANDS["printer_set"](till, {"target": printer.target, "paper": "58"})
        assert made["printer"]["paper"] == "58"
        assert (await COMMANDS["printer_test"](till, {}))["state"] == "ok"
        assert b"123456789012" in printer.jobs[0]
        assert (await COMMANDS["printer_show"](till, {}))["printer"] == made["printer"]
        receipt = await COMMANDS["receipt"](till, {"wanted": sold.id, "format": "text", "language": "", "copy": False})
        assert receipt["format"] == "text"
        with pytest.raises(BadRequest):
            await COMMANDS["printer_set"](till, {"target": "lpt1"})
        assert till.printing.printer.to_dict() == made["printer"], "a wrong one changes nothing"
        till.printing.print_report("Z report", [("Sales", "10"), None, ("Cash", "5.00")], totals=[("Net", "Rs 5.00")])
        await printed(till)
        assert b"Z report" in printer.jobs[1] and b"Sales                         10\n" in printer.jobs[1]
        job = str(uuid.uuid4())
        till.printing.print(sold.id, id=job)
        with pytest.raises(Conflict):
            till.printing.print(sold.id, id=job, copy=True)
        till.printing.set_printer({"target": "none"})
        with pytest.raises(NotPossible):
            till.printing.print(sold.id)
    assert printing.DATABASE == "printing.db"
