"""Real tills at work under strace: what they are made to do, and where it is written down.

A recording is a folder: `before` is what lay on the disk at first, `disk` what the programs worked in, `trace-1` and so
on the system calls of one program after another. Which product is run says POSLINE_SOURCE.
"""

from __future__ import annotations

import concurrent.futures
import csv
import json
import shutil
import socketserver
import sqlite3
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from sqlite_utils import Database

from posline.storage.schema import migrations
from tests.faults.rig import Process, sale, wait_for
from tests.power.program import Running, ended, environment, till, traced

__all__ = ["BACKUP", "DATA", "SCENARIOS", "Recorder", "Till", "record"]

DATA = "shops/till"  # from the disk's root: a till's folder, whose parent is not there yet either
BACKUP = "kept/backup.db"
CASHIERS = 4
CHECKPOINT_SALES = 420  # their commits take more than 16 MiB of write-ahead log
OLD_SALES = 80  # of the till of an older version
PRODUCTS = 450  # three entries of an import


class Recorder:
    """Writes one recording."""

    def __init__(self, folder: Path, before: Path | None = None) -> None:
        """Record in `folder`, on a disk that holds what the folder `before` does."""
        self.folder, self.disk = folder, folder / "disk"
        folder.mkdir(parents=True)
        if before is None:
            (folder / "before" / Path(BACKUP).parent).mkdir(parents=True)
        else:
            shutil.copytree(before, folder / "before")
        shutil.copytree(folder / "before", self.disk)
        self._runs = 0

    @property
    def data(self) -> Path:
        """The till's folder."""
        return self.disk / DATA

    def command(self, name: str, *arguments: str, **told: str) -> None:
        """Run one command on the till's folder to its end; `told` is what it takes to give it again."""
        trace = self.next_trace()
        (self.folder / f"{trace.name}.json").write_text(json.dumps({"command": name, **told}))
        traced(trace, name, *arguments, "--data", str(self.data), "--json")

    def next_trace(self) -> Path:
        """Where the next program's calls go."""
        self._runs += 1
        return self.folder / f"trace-{self._runs}"

    @contextmanager
    def till(self, *more: str, end: Callable[[Process], object] = Process.stop) -> Iterator[Till]:
        """A till that runs, and is stopped in the end."""
        trace = self.next_trace()
        process = till(self.data, trace.with_suffix(".log"), *more, trace=trace)
        with process:
            with Till(process) as counter:
                counter.get("/api/status")
                yield counter
            end(process)
        ended(trace)


class Till:
    """What a cashier does at a running till. Every answer must be a good one."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self._http = httpx.Client(base_url=process.page, timeout=60, trust_env=False)

    def __enter__(self) -> Till:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def get(self, path: str) -> Any:
        return self._http.get(path).raise_for_status().json()

    def post(self, path: str, **body: Any) -> dict[str, Any]:
        answer = self._http.post(path, json={"id": str(uuid.uuid4()), **body})
        assert answer.status_code in (200, 201, 202), answer.text
        return dict(answer.json())

    def put(self, path: str, **body: Any) -> None:
        answer = self._http.put(path, json={"id": str(uuid.uuid4()), **body})
        assert answer.status_code in (200, 201), answer.text

    def command(self, name: str, **arguments: Any) -> Any:
        """What a command of `posline` asks the till that runs."""
        local = json.loads((self.process.data / "local.json").read_text())
        given = {"authorization": f"Bearer {local['secret']}"}
        answer = self._http.post(f"/api/local/{name}", json=arguments, headers=given)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def ring(self, sales: int = 1, cashiers: int = 1) -> list[str]:
        """Ring as many sales at each of so many cashiers at once; their ids."""

        def cashier(number: int) -> list[str]:
            with httpx.Client(base_url=self.process.page, timeout=60, trust_env=False) as http:
                bodies = [sale(price=1000 * number + n, quantity=1 + n % 3) for n in range(1, sales + 1)]
                for body in bodies:
                    answer = http.post("/api/sales", json=body)
                    assert answer.status_code == 201, answer.text
                return [body["id"] for body in bodies]

        with concurrent.futures.ThreadPoolExecutor(cashiers) as pool:
            return [id for ids in pool.map(cashier, range(1, cashiers + 1)) for id in ids]


# -- what is recorded --------------------------------------------------------------------------------------------------


def _counter(recorder: Recorder) -> None:
    """A till's first start, and all that is done at a counter, once; then it stops, starts, and sells on."""
    with recorder.till("--shop", "Power") as till:
        till.ring(3)
        till.post("/api/shifts/open", float=500)
        returned, *_ = till.ring(2, cashiers=CASHIERS)
        till.post(f"/api/sales/{returned}/refund", lines=[{"line": 1, "quantity": 1}], reason="cold")
        undone, *_ = till.ring(1)
        till.post(f"/api/sales/{undone}/void", reason="mistyped")
        till.post("/api/cash", direction="out", amount=100, reason="bread")
        till.post("/api/stock", moves=[{"sku": "loose", "quantity": "5", "reason": "received"}])
        till.put("/api/settings/low_stock", value="3")
        till.command("key_rotate")
        till.ring(1)
        till.command("backup", file=str(recorder.disk / BACKUP))
        till.post("/api/shifts/close", counted={"cash": 1})
        till.post(f"/api/days/{till.get('/api/status')['day']}/close")
    with recorder.till() as till:
        till.ring(2)


def _checkpoint(recorder: Recorder) -> None:
    """Sales at four cashiers until the write-ahead log is put into the database and begun anew, a backup meanwhile, and
    a second one over it; the program is killed in the end."""
    with recorder.till(end=Process.kill) as till, concurrent.futures.ThreadPoolExecutor(1) as aside:
        till.ring(CHECKPOINT_SALES // 2 // CASHIERS, CASHIERS)
        backup = aside.submit(till.command, "backup", file=str(recorder.disk / BACKUP))
        till.ring(CHECKPOINT_SALES // 2 // CASHIERS, CASHIERS)
        backup.result()
        till.command("backup", file=str(recorder.disk / BACKUP))
        till.ring(5, CASHIERS)
    with recorder.till() as till:
        till.ring(5, CASHIERS)


def _sales(recorder: Recorder) -> None:
    """A few sales, and nothing else."""
    with recorder.till() as till:
        till.ring(6)
        till.ring(2, cashiers=CASHIERS)


def _catalogue(recorder: Recorder) -> None:
    """A catalogue is imported and replaced, products are changed, and the shop's settings; the key is changed twice."""
    file = recorder.folder / "products.csv"
    with recorder.till() as till:
        for turn in ("first", "second"):
            with file.open("w", newline="") as out:
                rows = csv.writer(out)
                rows.writerow(["sku", "name", "price"])
                rows.writerows([f"{turn}-{n}", f"Thing {n}", str(100 * n)] for n in range(1, PRODUCTS))
            till.command("catalogue_import", file=str(file), replace=turn == "second")
            till.put(f"/api/products/{turn}-1", name="Another", price=777)
            till.post("/api/sales", lines=[{"sku": f"{turn}-1", "quantity": 2}])
            till.command("key_rotate")
            till.put("/api/settings/receipt", value={"header": [turn]})
            till.command("token_add", role="read")
            till.command("backup", file=str(recorder.disk / BACKUP))
            till.ring(2, CASHIERS)


def _joining(recorder: Recorder) -> None:
    """A till that was only just started joins another's shop, gets what is there, and sells."""
    with _other(recorder.folder / "other") as other:
        other.ring(3)
        with recorder.till() as till:
            link = other.command("invite", expires_s=600)["link"]
            joined = till.command("join", link=link)
            assert joined["shop_id"] == other.get("/api/status")["shop_id"], joined
            till.ring(2, CASHIERS)
            _meet(till, other)
        with recorder.till() as till:
            till.ring(2)


def _joined_at_once(recorder: Recorder) -> None:
    """`posline join` on an empty folder; then the till starts and sells."""
    with _other(recorder.folder / "other") as other:
        other.ring(3)
        link = other.command("invite", expires_s=600)["link"]
        recorder.command("join", link, link=link)
        with recorder.till() as till:
            till.ring(2, CASHIERS)
            _meet(till, other)


def _restored(recorder: Recorder) -> None:
    """A new till out of a backup, admitted by the recovery code; it starts and sells."""
    with _other(recorder.folder / "other") as other:
        other.ring(5, CASHIERS)
        file = recorder.folder / "backup.db"
        other.command("backup", file=str(file))
        code = (other.process.data / "recovery-code").read_text().split()[0]
    recorder.command("restore", str(file), "--recovery", code, file=str(file), recovery=code)
    with recorder.till() as till:
        till.ring(2, CASHIERS)


def _renewed(recorder: Recorder) -> None:
    """A till of an older version, whose tables are fewer and whose ledger is worked out again at the start."""
    with recorder.till() as till:
        till.ring(3, CASHIERS)


def older_version(disk: Path) -> None:
    """Put a till on `disk` as an older version left it: without the tables that came last, under its own rules."""
    (disk / BACKUP).parent.mkdir(parents=True)
    (disk / DATA).parent.mkdir(parents=True)
    with _other(disk / DATA) as till:
        till.ring(OLD_SALES // CASHIERS, CASHIERS)
        till.put("/api/products/old", name="Old", price=5)
    first = sqlite3.connect(":memory:")
    made = [migration.name for migration in migrations.pending(Database(first))]
    migrations.apply(Database(first), stop_before=made[1])
    known = {name for (name,) in first.execute("SELECT name FROM sqlite_master")}
    with sqlite3.connect(disk / DATA / "posline.db") as db:
        for name in made[1:]:
            db.execute("DELETE FROM _sqlite_migrations WHERE name = ?", (name,))
        db.execute("UPDATE meta SET value = '1' WHERE name = 'rules'")
        for kind in ("index", "table"):
            query = "SELECT name FROM sqlite_master WHERE type = ? AND name NOT LIKE 'sqlite_%' AND sql IS NOT NULL"
            for (name,) in db.execute(query, (kind,)).fetchall():
                there = db.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (name,)).fetchone()
                if there and name not in known:  # what a table of words keeps beside it goes with it
                    db.execute(f'DROP {kind} "{name}"')
    db.close()


def _papers(recorder: Recorder) -> None:
    """Each sale is printed and filed with a fiscal service."""
    service = Running(
        recorder.folder / "service", arguments=["fiscal", "simulate", "--port", "0"], environment=environment(),
        log_file=recorder.folder / "service.log",
    )  # fmt: skip
    with service, _paper() as printer, recorder.till() as till:
        url = service.page + "/api/IMSFiscal/GetInvoiceNumberByModel"
        till.command("fiscal_set", value={"adapter": "fbr_ims", "pos_id": 812345, "url": url})
        till.command("printer_set", target=printer, automatic=True)
        first, *_ = till.ring(3)
        till.ring(2, CASHIERS)
        till.post("/api/print", entry=first)
        wait_for("the last print", lambda: not till.get("/api/print")["waiting"])
        wait_for("the last filing", lambda: not till.get("/api/fiscal")["counts"]["queued"])


@contextmanager
def _paper() -> Iterator[str]:
    """A printer on the network that takes everything."""

    class Takes(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            while self.request.recv(65536):
                pass

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Takes) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"tcp://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@contextmanager
def _other(folder: Path) -> Iterator[Till]:
    """Another till, which nobody traces."""
    process = till(folder, folder.with_suffix(".log"), "--label", "B")
    with process, Till(process) as counter:
        yield counter
        process.stop()


def _meet(till: Till, other: Till) -> None:
    """Wait until both hold the same."""
    report = f"/api/reports/day/{till.get('/api/status')['day']}"
    wait_for("agreement of the two tills", lambda: till.get(report)["digest"] == other.get(report)["digest"])


def record(name: str, folder: Path) -> Path:
    """Record the scenario `name` in `folder`."""
    before = None
    if name == "renewed":
        before = folder.with_name(folder.name + "-before")
        older_version(before)
    SCENARIOS[name](Recorder(folder, before))
    return folder


SCENARIOS: dict[str, Callable[[Recorder], None]] = {
    "counter": _counter,
    "sales": _sales,
    "checkpoint": _checkpoint,
    "catalogue": _catalogue,
    "joining": _joining,
    "joined at once": _joined_at_once,
    "restored": _restored,
    "renewed": _renewed,
    "papers": _papers,
}
