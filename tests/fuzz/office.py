"""A head office under spoilt requests, by programs and by whoever is signed in: the shop's books stay as they are."""

from __future__ import annotations

import secrets
import time
from pathlib import Path
from random import Random
from typing import Any

from argon2 import PasswordHasher

from posline.errors import NotFound
from posline.till.joining import attach
from posline.till.sale import Sale
from posline.till.till import Till, open_till
from posline.trust.gate import token_hash
from relay.alarms import Found
from relay.api import build_app
from relay.exporting import EXPORTS
from relay.office import CONSOLE
from relay.passwords import Passwords
from relay.people import Browser
from relay.price_desk import OPERATOR, Desk
from relay.price_lists import ALL
from relay.relay import Branch, Relay
from relay.rights import Role
from tests.fuzz.calling import Caller, Watcher, figures, spoilt, unspoilt
from tests.fuzz.calls import TEA, Call
from tests.fuzz.child import Slate
from tests.fuzz.office_calls import HEAD_OFFICE
from tests.relay.test_people import QUICK, SECRET
from tests.till.shop import until
from tests.till.test_joining import attaching, head_office

__all__ = ["office"]

SPARE = "s" * 26  # a shop that may be renamed and removed
HOOK = "https://127.0.0.1:1/hook"  # where nothing is sent: it lies within
ACCOUNT, GROUP, ALARM = "cash_out:milk", "north", "refused"


class Office:
    """A head office, whoever owns it, and what the examples name: what one took away is there again for the next."""

    def __init__(self, relay: Relay, branch: Branch, till: Till, sales: list[Sale]) -> None:
        self.relay, self.own = relay, branch.id
        relay.people.passwords = Passwords(PasswordHasher(**QUICK))
        relay.people.add("Asma", Role.OWNER, None, by=CONSOLE)
        self._owner = relay.people.by_name("Asma")
        self._bearer = relay.people.hand_out(self._owner, by=CONSOLE)
        self._session = ""
        self._desk = Desk(relay, OPERATOR, CONSOLE)
        self.places: dict[str, Any] = {
            "shop": [branch.id, branch.name],
            "own": branch.id,
            "spare": SPARE,
            "day": till.day,
            "till": till.id,
            "sale": [sale.id for sale in sales] + [sales[0].receipt],
            "receipt": sales[0].receipt,
            "hash": till.reports.sale(sales[0].id)[0].entry.hash.hex(),
            "report": ["day", "product", "tax", "days"],
            "export": list(EXPORTS),
            "list": [ALL, f"group:{GROUP}", f"shop:{branch.id}"],
            "group": GROUP,
            "account": ACCOUNT,
            "alarm": ALARM,
            "hook": HOOK,
            "password": SECRET,
        }

    async def prepare(self) -> None:
        """Put there anew what a request took away."""
        relay, people = self.relay, self.relay.people
        if relay.office.shop(SPARE) is None or relay.branch(SPARE).registered.removed_ms:
            await relay.attach(shop=SPARE, name="Spare", updates=[], alias="")
        try:
            bilal = people.by_name("Bilal")
        except NotFound:
            people.add("Bilal", Role.MANAGER, [self.own], by=CONSOLE)
            bilal = people.by_name("Bilal")
        if people.session(self._session) is None:
            token = people.forget_password(self._owner, by=CONSOLE)
            self._session = (await people.first(token, SECRET, Browser())).session
        if not (webhooks := relay.webhooks.listed()):
            webhooks = [relay.webhooks.add(HOOK, at=0, life="")]
        if GROUP not in self._desk.groups():
            self._desk.set_group(GROUP, [self.own])
        if not self._desk.preview()["count"]:
            self._desk.edit(ALL, "TEA", {"name": "Tea", "price": 250 + len(self._desk.history(limit=1000))})
        relay.postings.set_account(ACCOUNT, "6100", "Kitchen")
        relay.alarms.came(self.own, [Found(ALARM, "refused", 1, {"who": "Fuzz", "why": "no"})])
        relay.office.hand_out(shop=self.own, role="read", name="ERP", by=CONSOLE)
        if not (devices := relay.devices.of(self.own)):
            relay.devices.remember("https://tills.example.pk")
            link = relay.devices.invite(self.own, "WEB", by=CONSOLE)
            devices = [relay.devices.pair(link.partition("#")[2], secrets.token_hex(16), "Fuzz", "")[0]]
        self.places |= {
            "device": devices[0].author,
            "person": bilal.id,
            "webhook": webhooks[0].id,
            "token": next(token.id for token in relay.office.tokens() if token.name == "ERP"),
            "first": people.forget_password(bilal, by=CONSOLE),
            "seat": people.seats(self._owner.id, self._session)[0].id,
            "line": relay.office.trail(limit=1)[0].id,
            "csrf": token_hash(f"form {self._session}"),
        }

    def headers(self, call: Call) -> list[tuple[bytes, bytes]]:
        """Who asks: a program of the owner's, or a page of theirs."""
        if call.path.startswith("/api/"):
            return [(b"authorization", f"Bearer {self._bearer}".encode())]
        mark = [(b"x-csrf", self.places["csrf"].encode())] if call.file else []
        return [(b"cookie", f"posline={self._session}".encode()), (b"sec-fetch-site", b"same-origin"), *mark]


async def office(folder: Path, requests: int, rng: Random, watcher: Watcher, slate: Slate | None) -> dict[str, Any]:
    """Every example as it stands, then spoilt ones."""
    began = time.monotonic()
    async with head_office(folder / "office") as (relay, front), open_till(folder / "till", shop="Fuzz") as till:
        await attach(till, attaching(relay, front))
        sales = [await till.sell([dict(TEA)]) for _ in range(3)]
        branch = relay.branch("Fuzz")
        await until(lambda: branch.reports.by_id(sales[-1].id))
        here = Office(relay, branch, till, sales)
        caller = Caller(build_app(relay, []), watcher, slate)
        for call in HEAD_OFFICE:
            await here.prepare()
            await caller.ask(unspoilt(call, here.places, rng, headers=here.headers(call)), good=call.good)
        weights = [call.weight for call in HEAD_OFFICE]
        for _ in range(requests):
            await here.prepare()
            (call,) = rng.choices(HEAD_OFFICE, weights)
            caller.routes[call.route] += 1
            await caller.ask(spoilt(call, here.places, rng, headers=here.headers(call)))
        report = branch.reports.day(till.day)
        assert report["sales"] == {"count": 3, "total": 1500, "discount": 0, "tax": 0}, "asking changed the books"
    return figures(caller, began)
