"""A till's printing: which printer it has, what goes there by itself, and the drawer.

A receipt is printed after its commit and on another thread; whatever the printer does, a sale neither waits for it nor
fails by it. What is printed is an entry's hash, and what that looks like is drawn when the printer is ready. The
printer is the till's own affair, what stands on receipts the shop's (the shared setting `receipt`).
"""

from __future__ import annotations

import logging
import uuid
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from posline.core.clock import iso
from posline.core.entry import Entry
from posline.core.numbers import receipt
from posline.errors import BadRequest, Conflict, NotPossible
from posline.storage.records import Commit
from posline.till.papers import PAPER_KINDS, Papers
from posline.till.print_queue import PrinterState, PrintQueue
from posline.till.printers import PrinterSettings
from posline.till.receipts.blocks import Align, Cell, Columns, Cut, Receipt, Rule, Space, Text
from posline.till.receipts.escpos import escpos
from posline.till.receipts.fonts import can_shape
from posline.till.receipts.layout import Made, report_of

if TYPE_CHECKING:
    from posline.till.till import Till

__all__ = ["Printing"]

ASKED_MAX = 1000  # ids of requests to print that are remembered, so that one id is not taken for two things
DRAWER_MAX = 100  # times the drawer was opened without a sale that are shown
DATABASE = "printing.db"
log = logging.getLogger("posline.till")


class Printing:
    """What a till prints. Its thread runs only while a printer is set; nothing here waits for it."""

    def __init__(self, till: Till) -> None:
        self._till = till
        self.papers = Papers(till)
        self._asked: OrderedDict[str, tuple[str, ...]] = OrderedDict()
        self._drawer: list[dict[str, str]] = []
        self._queue: PrintQueue | None = None
        self._settings = _settings(till.settings.printer)
        if not till.read_only:
            self._start()

    # -- the printer -----------------------------------------------------------------------------------------------

    @property
    def printer(self) -> PrinterSettings:
        """This till's printer."""
        return self._settings

    def set_printer(self, value: Mapping[str, Any]) -> PrinterSettings:
        """Use another printer from now on, or none; {target, paper, pictures, drawer, automatic, language}, what is
        left out as it stands. Raises BadRequest."""
        fresh = PrinterSettings.read(self._settings.to_dict() | dict(value))
        self._till.settings.printer = fresh.to_dict()
        self._till.settings.save(self._till.folder)
        self._settings = fresh
        if self._queue is not None:
            self._queue.set_printer(fresh)
        self._start()
        return fresh

    def state(self) -> dict[str, Any]:
        """How printing stands: {state, why, waiting, target, unsure, lapsed, drawer, urdu}. `urdu`: whether it can be
        drawn on this machine."""
        state = self._queue.state() if self._queue is not None else PrinterState(target=str(self._settings.target))
        return state.to_dict() | {"drawer": list(self._drawer), "urdu": can_shape()}

    def alarm(self) -> dict[str, Any] | None:
        """What a person should look at; None where all is well."""
        state = self._queue.state() if self._queue is not None else PrinterState()
        if state.state == "fault":
            return {"kind": "printer", "detail": f"the printer: {state.why}. Sales go on; {state.waiting} wait for it."}
        if state.unsure:
            named = ", ".join(job["name"] for job in state.unsure)
            return {"kind": "printer", "detail": f"it is not known whether these were printed whole: {named}"}
        return None

    def _start(self) -> None:
        if self._queue is None and self._settings.target.kind != "none":
            self._queue = PrintQueue(Path(self._till.folder.path) / DATABASE, self._draw, self._settings)

    def close(self) -> None:
        """Stop. What waits is printed only if a person asks."""
        if self._queue is not None:
            self._queue.close()
            self._queue = None

    def settle(self, timeout_s: float) -> bool:
        """Wait until nothing can be printed at the moment; whether it came to that."""
        return self._queue is None or self._queue.settle(timeout_s)

    # -- printing --------------------------------------------------------------------------------------------------

    def print(
        self, wanted: str, *, copy: bool | None = None, id: str | None = None, language: str = ""
    ) -> dict[str, Any]:
        """Print the receipt of the sale, refund, void or payment with this id, receipt or hash; answers {job, receipt,
        state} at once. `copy` None marks it as a copy where it was printed before, or at another till. The same `id`
        never prints twice. Raises NotFound, Ambiguous, NotPossible, Conflict."""
        recorded = self.papers.find(wanted)
        entry = recorded.entry
        self._remember(id, "print", entry.hash.hex(), str(copy), language)
        queue = self._ready()
        if copy is None and entry.till != self._till.id:
            copy = True
        content = {"entry": entry.hash.hex(), "language": language}
        name = recorded.receipt if entry.number else f"{entry.kind} {entry.id[:8]}"
        job = queue.add(entry.hash.hex(), name, content, id=id, copy=copy)
        return {"job": job, "receipt": name, "state": queue.state().state}

    def print_report(
        self,
        title: str,
        rows: Sequence[tuple[str, str] | None],
        *,
        facts: Sequence[tuple[str, str]] = (),
        totals: Sequence[tuple[str, str]] = (),
        id: str | None = None,
    ) -> str:
        """Print anything of a title and rows, such as an X or Z report, in the shape of
        `posline.till.receipts.layout.report_of`; returns the job's id. Raises NotPossible, Conflict."""
        queue = self._ready()  # before the id is taken: asked again once there is a printer, it prints
        if not self._remember(id, "report", title):
            return str(id)
        id = id or str(uuid.uuid4())
        report = {"title": title, "rows": list(rows), "facts": list(facts), "totals": list(totals)}
        return queue.add(f"report {id}", title, {"report": report}, id=id)

    def again(self, job: str) -> None:
        """Print a job that waits for a decision; as a copy if it may be on paper already. Raises NotFound,
        NotPossible."""
        self._ready().again(job)

    def drop(self, job: str) -> None:
        """Forget a job that waits, or waits for a decision. Raises NotPossible."""
        self._ready().drop(job)

    def test(self) -> str:
        """Print a page that shows what the printer can do; returns the job's id. Raises NotPossible."""
        id = str(uuid.uuid4())
        return self._ready().add(f"test {id}", "test page", {"test": True}, id=id, copy=False)

    def open_drawer(self, reason: str, *, by: str = "", id: str | None = None) -> dict[str, Any]:
        """Open the drawer without a sale, for a reason that is shown. Raises BadRequest, NotPossible, Conflict."""
        if not reason.strip() or len(reason) > 200:
            raise BadRequest.of("reason", "says why the drawer is opened, in 1 to 200 characters")
        queue = self._ready()
        if not self._settings.drawer:
            raise NotPossible("no drawer is set for this printer: 'posline printer set --drawer 2'")
        if self._remember(id, "drawer", reason, by):
            reading = self._till.replica.clock
            at = "" if reading is None else iso(reading.now().at_ms, self._till.replica.zone)
            opened = {"at": at, "by": by, "reason": reason.strip()}
            self._drawer = [*self._drawer, opened][-DRAWER_MAX:]
            log.warning("the drawer was opened without a sale by %s: %s", by or "nobody named", reason.strip())
            queue.kick()
        return {"state": queue.state().state}

    def committed(self, commit: Commit) -> None:
        """Print what this till just recorded, and open the drawer for cash, where it has a printer. Never raises."""
        if self._queue is None:
            return
        for staged in commit.released:
            if staged.own and staged.shop == self._till.shop_id:
                for entry in staged.entries:
                    if entry.kind in PAPER_KINDS:
                        self._print_new(self._queue, entry)

    def _print_new(self, queue: PrintQueue, entry: Entry) -> None:
        kick = bool(self._settings.drawer) and _moves_cash(entry)
        if self._settings.automatic:
            hash = entry.hash.hex()
            name = f"{entry.kind} {entry.id[:8]}"
            if entry.number:
                name = receipt(str(entry.body.get("label", "")), entry.number, entry.till, entry.run)
            queue.add(hash, name, {"entry": hash, "language": ""}, id=f"new {hash}", copy=False, kick=kick)
        elif kick:
            queue.kick()

    def _ready(self) -> PrintQueue:
        if self._queue is None or self._settings.target.kind == "none":
            raise NotPossible("this till has no printer: set it with 'posline printer set TARGET'")
        return self._queue

    def _remember(self, id: str | None, *what: str) -> bool:
        """Whether a request is new. Raises Conflict where its id was used for something else."""
        if id is None:
            return True
        before = self._asked.setdefault(id, what)
        if before != what:
            raise Conflict(id)
        while len(self._asked) > ASKED_MAX:
            self._asked.popitem(last=False)
        return before is what

    # -- on the queue's thread -------------------------------------------------------------------------------------

    def _draw(self, content: Mapping[str, Any], copy: bool) -> bytes:
        settings = self._settings
        if content.get("test"):
            return escpos(self._test_page(settings), pictures=settings.pictures)
        if "report" in content:
            return escpos(self._report(content["report"], settings), pictures=settings.pictures)
        recorded = self.papers.find(str(content["entry"]))
        language = str(content.get("language") or settings.language)
        laid_out = self.papers.lay_out(recorded, copy=copy, language=language, paper=settings.paper)
        for warning in laid_out.warnings:
            log.warning("receipt %s: %s", recorded.receipt, warning)
        return escpos(laid_out, pictures=settings.pictures)

    def _report(self, report: Mapping[str, Any], settings: PrinterSettings) -> Receipt:
        rows = [None if row is None else (row[0], row[1]) for row in report["rows"]]
        facts, totals = ([(row[0], row[1]) for row in report[name]] for name in ("facts", "totals"))
        shop = self.papers.settings.on(settings.paper)
        made = Made(language=settings.language, urdu=can_shape())
        return report_of(report["title"], rows, shop, made, facts=facts, totals=totals)

    def _test_page(self, settings: PrinterSettings) -> Receipt:
        width = "".join(str(n % 10) for n in range(1, settings.paper.columns + 1))
        urdu = (Text("اردو کی رسید", Align.CENTER),) if can_shape() else ()
        return Receipt(
            (
                Text("Posline", Align.CENTER, 2, True),
                Text(f"till {self._till.label}, {settings.paper.mm} mm", Align.CENTER),
                *urdu,
                Rule(),
                Text(width),
                Columns((Cell("left"), Cell("Rs 1,234.50", Align.END))),
                Columns((Cell("PAYABLE"), Cell("Rs 1,234.50", Align.END)), 2, True),
                Rule(strong=True),
                Text("The figures above fill one line, and the amounts end at the right edge.", Align.CENTER),
                Space(),
                Cut(),
            ),
            settings.paper,
        )


def _settings(value: Mapping[str, Any]) -> PrinterSettings:
    """The printer as stored; none where that cannot be read any more."""
    try:
        return PrinterSettings.read(value)
    except BadRequest as error:
        log.warning("the printer that was set cannot be used: %s", error)
        return PrinterSettings()


def _moves_cash(entry: Entry) -> bool:
    """Whether money goes into or out of the drawer: without tenders it was cash."""
    tenders = entry.body.get("tenders")
    return tenders is None or any(tender.get("kind") == "cash" for tender in tenders)
