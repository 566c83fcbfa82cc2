"""What was posted of each day, and the chain's own accounts: the tables behind `relay.accounting`.

An accountant takes postings by their ids. A posting that was made never changes; what becomes different of its day
later is the next one, so whoever books each id once has booked the days. Knows nothing of the ledger.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from posline.errors import BadRequest, NotFound, NotPossible
from relay.accounting import ROOTS, Chart, Posting, next_posting
from relay.database import Database, Transaction, transact
from relay.office import CONSOLE
from relay.rights import Actor
from relay.webhooks import no_trail

__all__ = ["STEPS", "Postings"]

STEPS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("accounting", (
        "CREATE TABLE account (what TEXT PRIMARY KEY, code TEXT NOT NULL, name TEXT NOT NULL)",
        "CREATE TABLE posting (shop TEXT NOT NULL, day TEXT NOT NULL, number INTEGER NOT NULL, id TEXT NOT NULL,"
        " currency TEXT NOT NULL, digest TEXT NOT NULL, journal TEXT NOT NULL, made_ms INTEGER NOT NULL,"
        " PRIMARY KEY (shop, day, number))",
    )),
)  # fmt: skip
CODE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._ -]{0,39}")
WHAT_CHARACTERS_MAX, NAME_CHARACTERS_MAX = 200, 100
_POSTING = "id, shop, day, number, currency, digest, journal"


@dataclass(frozen=True, slots=True)
class Postings:
    """The postings and accounts of a head office. Every method may be called from any thread."""

    database: Database
    clock: Callable[[], int]  # milliseconds since 1970
    audit: Callable[..., None] = no_trail  # `Office.audit`: a line of the trail, within the transaction

    # -- accounts --------------------------------------------------------------------------------------------------

    def chart(self) -> Chart:
        """The accounts that journals are posted to."""
        rows = self.database.execute("SELECT what, code, name FROM account")
        return Chart({what: (code, name) for what, code, name in rows})

    def set_account(self, what: str, code: str, name: str, *, by: Actor = CONSOLE) -> None:
        """Post `what` (such as sales:standard, tender:card, cash_out:milk) to this account from now on; postings that
        were made stay as they are. Raises BadRequest."""
        what, code, name = what.strip(), code.strip(), name.strip()
        if what.partition(":")[0] not in ROOTS or len(what) > WHAT_CHARACTERS_MAX or what.endswith(":"):
            raise BadRequest.of("what", f"begins with one of {', '.join(ROOTS)}, and more behind a colon")
        if CODE.fullmatch(code) is None:
            raise BadRequest.of("account", "is a code of up to 40 letters, digits, points, hyphens and blanks")
        if not 0 < len(name) <= NAME_CHARACTERS_MAX:
            raise BadRequest.of("name", f"is a name of at most {NAME_CHARACTERS_MAX} characters")

        def work(tx: Transaction) -> None:
            tx.execute(
                "INSERT INTO account (what, code, name) VALUES (?, ?, ?)"
                " ON CONFLICT (what) DO UPDATE SET code = excluded.code, name = excluded.name",
                (what, code, name),
            )
            self.audit(tx, by, "account_set", what, f"{code} {name}")

        transact(self.database, work)

    def reset_account(self, what: str, *, by: Actor = CONSOLE) -> None:
        """Post `what` as if it had no account of its own. Raises NotFound."""
        if self.database.execute("SELECT 1 FROM account WHERE what = ?", (what,)).fetchone() is None:
            raise NotFound(
                f"{what[:60]!r} has no account of its own: 'posline-relay accounting accounts' shows which have"
            )

        def work(tx: Transaction) -> None:
            tx.execute("DELETE FROM account WHERE what = ?", (what,))
            self.audit(tx, by, "account_reset", what)

        transact(self.database, work)

    # -- postings --------------------------------------------------------------------------------------------------

    def listed(self, shop: str, first: str | None, last: str | None) -> list[Posting]:
        """The postings of a shop's days, in the order of their days and numbers."""
        rows = self.database.execute(
            f"SELECT {_POSTING} FROM posting WHERE shop = ? AND day >= ? AND day <= ? ORDER BY day, number",
            (shop, first or "0", last or "9"),
        )
        return [_posting(row) for row in rows]

    def post(
        self, summary: Mapping[str, Any], *, known: int, after: str | None = None, provisional: bool = False,
        by: Actor = CONSOLE,
    ) -> list[Posting] | None:
        """All postings of a day, with the one that its summary adds, if it adds any; None where there are other than
        the `known` ones that there were before the summary was made: it may be older than the one that was posted
        meanwhile, and would take that back. `after` is the last one that the asker has booked. Raises NotPossible
        where the day does not tie, is not closed and `provisional` is not said, or `after` is none of its postings."""
        shop, day, chart = summary["shop"], summary["day"], self.chart()
        asked = f"SELECT {_POSTING} FROM posting WHERE shop = ? AND day = ? ORDER BY number"

        def work(tx: Transaction) -> list[Posting] | None:
            before = [_posting(row) for row in tx.execute(asked, (shop, day)).fetchall()]
            if len(before) != known:
                return None
            _may_post(summary, before, after, provisional)
            made = next_posting(summary, before, chart)
            if made is None:
                return before
            tx.execute(
                f"INSERT INTO posting ({_POSTING}, made_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (made.id, shop, day, made.number, made.currency, made.digest, json.dumps(made.lines), self.clock()),
            )
            self.audit(tx, by, "day_posted", shop, f"{day}, number {made.number}")
            return [*before, made]

        return transact(self.database, work)


def _may_post(summary: Mapping[str, Any], before: Sequence[Posting], after: str | None, provisional: bool) -> None:
    day = summary["day"]
    if after and after not in {posting.id for posting in before}:
        raise NotPossible(
            f"posting {after[:60]} of {day} was not made here: the head office's books were put back to an older copy"
            " since. Compare what was booked with the accounting of that day, and book the difference by hand"
        )
    if not summary["ties"]:
        wrong = ", ".join(check["check"] for check in summary["checks"] if not check["ties"])
        raise NotPossible(f"{day} does not tie ({wrong[:300]}): look at its accounting before it is posted")
    if summary["state"] == "provisional" and not provisional:
        raise NotPossible(
            f"{day} is not closed: it waits for till {', '.join(summary['waiting_for'])}. Close it there, or post it"
            " all the same and take what comes later as an addendum"
        )


def _posting(row: Sequence[Any]) -> Posting:
    id, shop, day, number, currency, digest, journal = row
    return Posting(id, shop, day, number, currency, digest, tuple(json.loads(journal)))
