"""A till and a head office under spoilt requests: the books at the end are what was answered, and nothing else.

python -m tests.fuzz.selling --requests 300 --seed 1
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

from posline.core.money import signed_text
from posline.core.proof import make_proof
from posline.storage.ledger import STATUSES
from posline.storage.verify import verify
from posline.till.api import build_app
from posline.till.commands import COMMANDS
from posline.till.local import Local
from posline.till.shared import SETTINGS, put
from posline.till.till import Till, open_till
from tests.attacks.hostile import Hostile, bring, member_of
from tests.fuzz.asgi import Answer, Asked
from tests.fuzz.calling import Caller, Watcher, figures, spoilt, unspoilt
from tests.fuzz.calls import TEA, TILL, Call
from tests.fuzz.child import Slate, cap_memory, rss_bytes
from tests.fuzz.entries import bodies
from tests.fuzz.goods import payment_seeds
from tests.fuzz.ledger import Answered
from tests.fuzz.mutate import Pairs, tree, twist
from tests.fuzz.office import office
from tests.fuzz.reckon import net_of
from tests.fuzz.said import shared_values

__all__ = ["main"]

REPEATED = 0.06  # of the requests are what was recorded before, once more
RESET = 150  # requests after which what restricts people is taken back
READ_AGAIN = 25  # hostile entries between two rounds of every GET
GROWTH_BYTES_MAX = 96 << 20
RAAST = payment_seeds()[0].decode()
SETTING_NAMES = (
    *SETTINGS,
    "cashier:Bilal",
    "cashier:Zed",
    "fiscal",
    "catalogue",
    "relay",
    "catalog",
    "label",
    "low_stock",
)


class Shop:
    """A till, what it has answered, and what the examples need to name."""

    def __init__(self, till: Till, rng: Random, caller: Caller, secret: str) -> None:
        self.till, self.rng, self.caller, self._secret = till, rng, caller, secret
        self.answered = Answered()
        self.places: dict[str, Any] = {
            "day": till.day,
            "till": till.id,
            "now": till.now()[:16],
            "report": ["day", "product", "department", "cashier", "hour", "tender", "tax", "till", "days"],
            "setting": "rounding",
            "value": 100,
            "customer": "",
            "sale": [],
            "refund": [],
            "hold": [],
            "shift": [],
            "codes": "",
        }
        self._last = 0
        self._recorded: list[tuple[Asked, Answer]] = []
        self.repeats = 0

    async def begin(self) -> None:
        """Record one of each thing that the examples name."""
        till = self.till
        for sku, name, price in (("TEA", "Tea", 250), ("OIL", "Oil", 1180), ("COLA", "Cola", 100)):
            body: dict[str, Any] = {"name": name, "price": price, "barcodes": ["8964000000001"] if sku == "TEA" else []}
            await self._made(
                "PUT /api/products/{sku:path}",
                f"/api/products/{sku}",
                body | ({"tax": "standard"} if sku == "OIL" else {}),
            )
        await put(till, "raast", RAAST)
        await self._made("PUT /api/cashiers/{name}", "/api/cashiers/Bilal", {"role": "manager", "pin": "4711"})
        for route in (
            "POST /api/customers",
            "POST /api/shifts/open",
            "POST /api/sales",
            "POST /api/sales",
            "POST /api/holds",
            "POST /api/sales/{wanted}/refund",
            "POST /api/shifts/close",
        ):
            await self.call(next(call for call in TILL if call.route == route), whole=True)
        sale = till.reports.sale(self.places["sale"][0])[0]
        self.places["codes"] = next(
            iter(make_proof(sale.entry.raw, till.shop_id, till.replica.sign, receipt=sale.receipt))
        )

    async def _made(self, route: str, path: str, body: dict[str, Any]) -> None:
        await self.call(Call(route, path, body=body), whole=True)

    async def call(self, call: Call, *, whole: bool = False) -> Answer:
        """Ask for one route, spoilt or whole."""
        rng = self.rng
        local = [(b"authorization", f"Bearer {self._secret}".encode())] if "/local/" in call.path else []
        asked = (unspoilt if whole else spoilt)(call, self.places, rng, headers=local)
        self.caller.routes[call.route] += 1
        answer = await self.caller.ask(asked, good=call.good if whole else ())
        self._note(asked, answer)
        return answer

    async def repeat(self) -> None:
        """What was recorded once is asked for again: the same answer, and nothing more is recorded."""
        if self._recorded:
            asked, before = self.rng.choice(self._recorded[-200:])
            answer = await self.caller.ask(asked)
            assert answer.status == 200, f"a repeat is answered {answer.status}\n{asked.shown()}\n{answer.body!r}"
            mine, theirs = before.json(), answer.json()
            for name in ("id", "receipt", "total", "lines", "tenders", "moves", "sale", "customer", "amount"):
                assert mine.get(name) == theirs.get(name), f"a repeat answers another {name}\n{asked.shown()}"
            self.repeats += 1
            assert not self._entries(), "a repeat recorded something"

    def _entries(self) -> list[tuple[str, str]]:
        """(id, kind) of what was recorded since the last look: what a till signs by itself is not counted."""
        rows = self.till.store.read.execute(
            "SELECT n, id, kind FROM entry WHERE n > ? ORDER BY n", (self._last,)
        ).fetchall()
        self._last = rows[-1][0] if rows else self._last
        return [(id, kind) for _, id, kind in rows if kind not in ("seal", "run")]

    def seen(self) -> None:
        """What came by sync is none of what is answered."""
        self._entries()

    def _note(self, asked: Asked, answer: Answer) -> None:
        """Hold the answer against what was recorded, and remember it."""
        recorded = self._entries()
        path = asked.path.decode()
        reads = asked.method.upper() not in ("POST", "PUT", "DELETE")
        silent = (
            answer.status >= 300 or reads or (answer.status == 200 and asked.method == "POST" and "/time" not in path)
        )
        assert not (silent and recorded), f"{recorded} was recorded and answered {answer.status}\n{asked.shown()}"
        if answer.status != 201 or path.startswith("/api/invite"):
            return
        found = answer.json()
        assert recorded, f"201, and nothing was recorded\n{asked.shown()}"
        if path != "/api/restore":
            self._recorded.append((asked, answer))
        kinds = Counter(kind for _, kind in recorded)
        if path.rstrip("/").endswith("/sales") or kinds["sale"]:
            assert kinds["sale"] == 1 and (found["id"], "sale") in recorded
            self.answered.sale(found)
            self.places["sale"].append(found["id"])
        elif kinds["refund"] or kinds["void"]:
            assert (found["id"], found["kind"]) in recorded and kinds["refund"] + kinds["void"] == 1
            self.answered.returned(found)
            if found["kind"] == "refund":
                self.places["refund"].append(found["id"])
        elif kinds["stock"]:
            self.answered.moved(found)
        elif kinds["customer"]:
            self.places["customer"] = found["customer"]
        elif kinds["hold"]:
            self.places["hold"].append(found["id"])
        elif kinds["shift opened"]:
            self.places["shift"].append(found["id"])

    async def relent(self) -> None:
        """Take back what people may not do, or every request would be refused in the end."""
        for name in SETTINGS:
            await put(self.till, name, RAAST if name == "raast" else None)
        bilal = next((c for c in self.till.people.listed() if c.name == "Bilal"), None)
        if bilal is None or bilal.role != "manager" or not bilal.active:
            await self.till.people.save("Bilal", {"role": "manager", "pin": "4711", "active": True})
        self._entries()

    def judge(self) -> None:
        """The books are what was answered."""
        till = self.till
        days = {
            one["day"]
            for held in (self.answered.sales, self.answered.refunds, self.answered.voids)
            for one in held.values()
        }
        self.answered.judge([till.day_report(day) for day in sorted(days)])
        for sku, thousandths in list(self.answered.on_hand().items())[:400]:
            assert till.stock.of(sku)["on_hand"] == signed_text(thousandths), f"on hand of {sku!r} is another"
        problems = list(verify(till.store, till.shop_id))
        assert not problems, problems[:5]


async def _till(folder: Path, requests: int, rng: Random, watcher: Watcher, slate: Slate | None) -> dict[str, Any]:
    began, before = time.monotonic(), 0
    async with open_till(folder, shop="Fuzz") as till:
        await till.listen(host="127.0.0.1", port=0)
        local = Local(till, COMMANDS)
        shop = Shop(till, rng, Caller(build_app(till, local), watcher, slate), local.secret)
        await shop.begin()
        for call in TILL:
            await shop.call(call, whole=True)
        names, values = zip(*shared_values(), strict=True)
        shop.places |= {"setting": list(names), "value": list(values)}
        weights = [call.weight for call in TILL]
        for n in range(requests):
            if rng.random() < REPEATED:
                await shop.repeat()
            else:
                await shop.call(rng.choices(TILL, weights)[0])
            if n % RESET == RESET - 1:
                await shop.relent()
            if n == requests // 4:
                before = rss_bytes()
        shop.judge()
        growth = rss_bytes() - before
        reports = [till.day_report(day) for day in sorted({one["day"] for one in shop.answered.sales.values()})]
    async with open_till(folder, shop="Fuzz") as again:
        for report in reports:
            found = again.day_report(report["day"])
            assert all(found[name] == report[name] for name in ("sales", "refunds", "voids", "net", "tenders")), (
                "another after a restart"
            )
    assert growth < GROWTH_BYTES_MAX, f"memory grew by {growth >> 20} MiB"
    held = shop.answered
    return figures(
        shop.caller,
        began,
        sales=len(held.sales),
        refunds=len(held.refunds),
        voids=len(held.voids),
        repeats=shop.repeats,
        growth_mib=round(growth / 2**20, 1),
    )


async def _hostile(folder: Path, entries: int, rng: Random, watcher: Watcher, slate: Slate | None) -> dict[str, Any]:
    """Entries that a member wrote as it liked come by sync, and everything that can be read is read."""
    began = time.monotonic()
    async with open_till(folder, shop="Fuzz") as till:
        local = Local(till, COMMANDS)
        shop = Shop(till, rng, Caller(build_app(till, local), watcher, slate), local.secret)
        await shop.begin()
        hostile = await member_of(till)
        for n in range(entries):
            await bring(till, _hostile_entry(hostile, shop, rng))
            if n % READ_AGAIN == READ_AGAIN - 1:
                await _read_everything(shop)
        await _read_everything(shop)
        _reckon_again(till)
    return figures(shop.caller, began, entries=entries)


def _hostile_entry(hostile: Hostile, shop: Shop, rng: Random) -> Any:
    kind, fields = rng.choice(bodies())
    if rng.random() < 0.3:
        kind, fields = "setting", {"name": rng.choice(SETTING_NAMES), "value": rng.choice(shared_values())[1]}
    if rng.random() < 0.8:
        name = rng.choice(sorted(fields))
        fields = dict(fields) | {name: _plain(twist(tree(json.dumps(fields[name])), rng))}
    over: dict[str, Any] = {}
    if kind in ("refund", "void", "filing") and rng.random() < 0.7:
        sale = shop.till.reports.sale(rng.choice(shop.places["sale"]))[0]
        over = {"sale": sale.entry.id, "of": sale.entry.hash.hex()}
    return hostile.put(kind, fields, **over)


def _plain(value: Any) -> Any:
    """What an entry can hold of a tree: it is what is read that is tried here, not the reader."""
    if isinstance(value, Pairs):
        return {_plain(name): _plain(item) for name, item in value}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if type(value) is int:
        return max(-(2**53) + 1, min(2**53 - 1, value))
    if type(value) is str:
        return value.encode("utf-8", "replace").decode()
    return value if value is None or type(value) is bool else 0


async def _read_everything(shop: Shop) -> None:
    shop.seen()
    for call in TILL:
        if call.method == "GET":
            for form in ("json", "csv", "html") if "/reports/" in call.path or "/shifts/" in call.path else ("",):
                query = dict(call.query) | ({"format": form} if form else {})
                await shop.call(Call(call.route, call.path, query, good=tuple(range(200, 500))), whole=True)
    for form in ("text", "html", "png", "escpos"):
        await shop.call(
            Call("GET /api/receipts/{wanted}", "/api/receipts/{sale}", {"format": form}, good=tuple(range(200, 500))),
            whole=True,
        )
    await shop.call(
        Call("POST /api/sales", "/api/sales", body={"id": "{new}", "lines": [dict(TEA)]}, good=(201, 403)), whole=True
    )


def _reckon_again(till: Till) -> None:
    """The net of each day is that of the entries that count, as their bytes say."""
    rows = till.store.read.execute(
        "SELECT day, raw, status FROM entry WHERE kind IN ('sale', 'refund', 'void') AND day IS NOT NULL"
    ).fetchall()
    nets: Counter[str] = Counter()
    for day, raw, status in rows:
        if STATUSES[status].value == "counted":
            nets[day] += net_of(json.loads(raw))
    for day, net in nets.items():
        assert till.day_report(day)["net"] == net, f"the net of {day} is another"


def main() -> int:
    """The child's work."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--requests", type=int, default=300)
    parser.add_argument("--seed", default="1")
    parser.add_argument("--slate", type=Path)
    parser.add_argument("--only", choices=("till", "office", "hostile"))
    asked = parser.parse_args()
    watcher = Watcher()
    logging.getLogger().addHandler(watcher)
    slate = Slate(asked.slate) if asked.slate else None
    cap_memory()
    parts = {
        "till": (_till, asked.requests),
        "office": (office, asked.requests // 6),
        "hostile": (_hostile, asked.requests // 6),
    }
    for name, (run, count) in parts.items():
        if asked.only in (None, name):
            with tempfile.TemporaryDirectory() as folder:
                found = asyncio.run(run(Path(folder), count, Random(f"{asked.seed} {name}"), watcher, slate))
            print(json.dumps({"target": f"http {name}"} | found), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
