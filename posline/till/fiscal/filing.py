"""Filing at a till: who files what it sells, how filing goes, and what a person must look at or say.

`filing_field` is all that a sale's path knows of filing: a look at a setting that is kept in memory.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from posline.core.clock import iso, parse_iso
from posline.core.entry import Entry
from posline.core.fiscal import State, filing_of
from posline.core.fiscal_invoice import address_of
from posline.storage.filed import Filed, FiledReports
from posline.storage.records import Commit
from posline.storage.reports import Recorded
from posline.till.fiscal.desk import Desk
from posline.till.fiscal.outbox import Outbox
from posline.till.fiscal.token import read_token
from posline.till.fiscal.view import FiscalView, filed_dict, fiscal_view
from posline.till.receipts.layout import Fiscal as Printed

if TYPE_CHECKING:
    from posline.till.till import Till

__all__ = ["Fiscal", "filing_field"]

CLOSE_MS = 4 * 3600 * 1000  # before the deadline: time to reach somebody who can mend the line
OUTAGE_ALARM_MS = 12 * 3600 * 1000  # a service that long away is worth a call, although its countdown has not begun
LIST_MAX = 1000
SERVICES = {"fbr_ims": "FBR", "fbr_di": "FBR", "pra_eims": "PRA"}  # as a customer knows them


def filing_field(till: Till) -> dict[str, Any]:
    """What a sale or refund that this till records now says of its filing: {} where nothing is filed."""
    named = till.fiscal.naming()
    return {} if named is None else {"filing": named}


class Fiscal:
    """A till's filing: its desk, and its outbox once it is started."""

    def __init__(self, till: Till) -> None:
        self._till = till
        clockwork = till.clockwork
        self.desk = Desk(
            till.store, till.shop_id, till.id, self._write, lambda: read_token(till.folder.path), clockwork.wall_ms,
            clockwork.monotonic_ms, clockwork.random,
        )  # fmt: skip
        self.outbox = Outbox(self.desk)
        till.printing.papers.fiscal = self.on_paper

    def on_paper(self, recorded: Recorded) -> Printed:
        """As `view`, as receipts are laid out: one that was rejected, or is in doubt, was issued offline still."""
        view = self.view(recorded.entry)
        state = {"plain": "none", "accepted": "accepted"}.get(view.variant, "offline")
        return Printed(state, view.number, view.qr, SERVICES.get(view.adapter, view.adapter))

    async def _write(self, fields: Mapping[str, Any]) -> None:
        await self._till.write("filing", fields)

    @property
    def filed(self) -> FiledReports:
        """What the ledger knows of filing."""
        return self.desk.filed

    def naming(self) -> dict[str, Any] | None:
        """The field `filing` of a sale or refund that this till records now; None where nothing is filed."""
        setting = self.desk.setting()
        return None if setting is None else filing_of(setting, self._till.day)

    def view(self, entry: Entry, *, copy: bool = False) -> FiscalView:
        """What a receipt of a sale, refund or void shows of its filing."""
        return fiscal_view(self.filed, entry, copy=copy)

    # -- the outbox ----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """File from now on what is this till's to file. Nothing happens where filing is off."""
        self.outbox.start()

    async def stop(self) -> None:
        """File no more."""
        await self.outbox.stop()

    def committed(self, commit: Commit) -> None:
        """Something was committed: the outbox looks whether it has work."""
        if self.outbox.running and (
            any(c.change.kind in ("sale", "refund", "void", "filing", "setting") for c in commit.changes)
            or any(document == "shop" for _, document in commit.documents)
        ):
            self.outbox.poke()

    # -- how it goes ---------------------------------------------------------------------------------------------------

    def status(self) -> dict[str, Any]:
        """How filing goes in this shop, and at this till: as GET /api/fiscal."""
        desk = self.desk
        setting, counts = desk.setting(), self.filed.counts()
        answer: dict[str, Any] = {"on": setting is not None, "fault": desk.fault, "counts": counts}
        if setting is None and not any(counts.values()):
            return answer
        oldest, contact = self.filed.oldest(), desk.contact
        oldest_ms = parse_iso(oldest) if oldest is not None else None
        due_ms = contact.due_ms(oldest_ms)
        answer |= {
            "here": setting is not None and setting.filer == desk.author,
            "running": self.outbox.running,
            "trouble": self.outbox.trouble,
            "oldest": oldest,
            "down_since": self._iso(contact.down_ms),
            "restored": self._iso(contact.restored_ms),
            "due": self._iso(due_ms),
            "overdue": due_ms is not None and desk.wall_ms() > due_ms,
        }
        if setting is not None:
            token, why = desk.token_for(setting)
            answer |= {
                "adapter": setting.adapter, "mode": setting.mode, "filer": setting.filer,
                "filer_label": self._till.watch.label(setting.filer), "address": address_of(setting),
                "pos_id": setting.pos_id, "token": bool(token), "token_fault": why if answer["here"] else "",
            }  # fmt: skip
        return answer

    def queue(self, *, limit: int = 100, every: bool = False) -> list[dict[str, Any]]:
        """What is not filed yet: what a person must look at first, then the oldest; with `every`, what is filed too."""
        states = [State.UNKNOWN, State.REJECTED, State.SENDING, State.QUEUED] + [State.ACCEPTED] * every
        found: list[Filed] = []
        for state in states:
            left = min(limit, LIST_MAX) - len(found)
            found += self.filed.standing_so(state, left) if left > 0 else []
        return [filed_dict(self.filed, filed) for filed in found]

    def alarms(self) -> list[dict[str, Any]]:
        """What a person should look at."""
        desk = self.desk
        setting = desk.setting()
        details = [desk.fault] if desk.fault else []
        for state, words in (
            (State.UNKNOWN, "may have been filed or not: 'posline fiscal queue' lists them, 'resolve' settles each"),
            (State.REJECTED, "were rejected by the fiscal service: 'posline fiscal queue' says why"),
        ):
            if count := self.filed.count(state):
                details.append(f"{count} sales or refunds {words}")
        members, label = self._till.store.members(self._till.shop_id), self._till.watch.label
        details += [
            f"{count} sales or refunds wait for till {label(filer)}, which left the shop: give them to another by "
            "'posline fiscal release'"
            for filer, count in sorted(self.filed.filers().items())
            if filer not in members
        ]
        if setting is not None and setting.filer == desk.author:
            _, why = desk.token_for(setting)
            details += [why] if why else []
            details += self._lateness()
        return [{"kind": "fiscal", "detail": detail} for detail in details]

    def _lateness(self) -> list[str]:
        """How near the deadline is; only its filer knows when the service was reached."""
        contact, now_ms = self.desk.contact, self.desk.wall_ms()
        oldest = self.filed.oldest(self.desk.author)
        if oldest is None:
            return []
        if contact.down_ms is not None:
            if now_ms - contact.down_ms < OUTAGE_ALARM_MS:
                return []
            since = self._iso(contact.down_ms)
            return [f"the fiscal service has not been reached since {since}, and sales wait for it"]
        due_ms = contact.due_ms(parse_iso(oldest))
        if due_ms is None or now_ms < due_ms - CLOSE_MS:
            return []
        late = "should have been filed by" if now_ms > due_ms else "must be filed by"
        return [f"sales since {oldest} {late} {self._iso(due_ms)}"]

    def _iso(self, at_ms: int | None) -> str | None:
        return None if at_ms is None else iso(at_ms, self._till.replica.zone)
