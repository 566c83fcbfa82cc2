"""Webhooks: each event reaches its receiver, in order, and once by its id, whatever fails on either side."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import itertools
import json
import random
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from posline.errors import BadRequest, NotFound
from posline.storage.store import Store
from posline.till.listener import Listener
from relay.delivering import ANSWER_BYTES_MAX, LOOK_S, Deliverer, HttpSender, is_private
from relay.feeding import Arrivals, Feed
from relay.webhooks import (
    DELAY_S,
    DELAY_S_MAX,
    GIVEN_UP_MAX,
    ROTATION_MS,
    STEPS,
    TRIES_MAX,
    Message,
    Outcome,
    Subscription,
    Webhooks,
    read_secret,
    signatures,
)
from tests.kit import Writer, all_entries, shop_of, take
from tests.relay.books import Tables
from tests.till.shop import until

URL = "https://erp.example.com/hook"


class Crash(BaseException):
    """The head office is killed."""


@dataclass
class Receiver:
    """A program that is told: what it did with each event, and how it answers."""

    answer: Callable[[Message], Outcome] = lambda message: Outcome(200)
    done: list[str] = field(default_factory=list)  # ids of events, each once
    bodies: dict[str, bytes] = field(default_factory=dict)  # by message
    sent: int = 0
    crash: Callable[[], bool] = lambda: False

    async def send(self, one: Subscription, message: Message) -> Outcome:
        self.sent += 1
        assert self.bodies.setdefault(message.id, message.body) == message.body, "a message is the same at each try"
        events = json.loads(message.body)["events"]
        assert [event["event_id"] for event in events] == list(message.ids)
        outcome = self.answer(message)
        if outcome.reached and (outcome.status or 0) < 300:
            self.done += [id for id in message.ids if id not in self.done]
        if self.crash():
            raise Crash
        return outcome

    async def close(self) -> None:
        pass


@dataclass
class Rig:
    """A feed, tables, and a clock that moves to whenever something is to be done."""

    receiver: Receiver
    store: Store
    webhooks: Webhooks
    writers: list[Writer]
    shops: list[str]
    now_ms: int = 1_795_417_200_000
    chance: random.Random = field(default_factory=lambda: random.Random(1))

    def deliverer(self) -> Deliverer:
        return Deliverer(self.store, self.webhooks, self.receiver, Arrivals(), chance=self.chance.random)

    def sell(self, count: int = 1, shop: int = 0) -> None:
        writer = self.writers[shop]
        entries = [writer.sale() for _ in range(count)]
        take(self.store, self.shops[shop], [entries])

    def add(self, **options: Any) -> Subscription:
        return self.webhooks.add(URL, at=0, life="", **options)

    async def run(self, id: str, steps: int = 10_000) -> int:
        """Deliver until there is nothing to do now; returns how many messages went out. Crashes begin it anew."""
        deliverer, sent, quiet = self.deliverer(), self.receiver.sent, 0
        for _ in range(steps):
            try:
                wait_s = await deliverer.step(id)
            except Crash:
                deliverer = self.deliverer()
                continue
            if wait_s is None:
                break
            self.now_ms += int(wait_s * 1000) + 1
            next_ms = self.webhooks.progress(id).next_ms
            quiet = quiet + 1 if wait_s and next_ms <= self.now_ms - 2000 else 0
            if quiet == 2:
                break
        return self.receiver.sent - sent

    def events(self, kinds: list[str] | None = None, shops: list[str] | None = None) -> list[str]:
        """The ids of all events, in the feed's order."""
        feed = Feed(self.store)
        page = feed.page(shops=shops, kinds=kinds, after=0, limit=10_000)
        lives = feed.lives_of([item.n for item in page.items])
        return [f"{life}-{item.n}" for item, life in zip(page.items, lives, strict=True)]


def rig(*names: str) -> Rig:
    store, writers = Store.open(":memory:", feed=True), [Writer(name) for name in names or ("alif",)]
    Feed(store).begin()
    store.commit([])
    shops = [shop_of(writer) for writer in writers]
    for writer, shop in zip(writers, shops, strict=True):
        take(store, shop, [all_entries(writer)])
    receiver = Receiver()
    made = Rig(receiver, store, Webhooks(Tables(STEPS), lambda: made.now_ms), writers, shops)
    return made


async def test_events_arrive_in_order_in_messages_of_some(tmp_path: Any) -> None:
    made = rig()
    made.sell(23)
    one = made.add(batch=10)
    assert await made.run(one.id) == 3
    assert made.receiver.done == made.events() and len(made.receiver.done) == 25
    assert await made.run(one.id) == 0
    made.sell(1)
    assert await made.run(one.id) == 1 and made.receiver.done == made.events()


async def test_a_subscription_hears_its_shops_and_kinds_from_where_it_began(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("relay.webhooks.SKIPPED_MAX", 3)
    made = rig("alif", "be")
    made.sell(5)
    made.sell(5, shop=1)
    kinds = made.add(kinds=["sale"])
    other = made.add(shops=[made.shops[1]])
    end = Feed(made.store).page(shops=None, kinds=None, after=0, limit=1000).end
    late = made.webhooks.add(URL, at=end, life=Feed(made.store).life_of(end))
    for one, wanted in ((kinds, made.events(["sale"])), (other, made.events(None, [made.shops[1]])), (late, [])):
        made.receiver.done = []
        await made.run(one.id)
        assert made.receiver.done == wanted
    assert made.webhooks.progress(kinds.id).at == end, "what is not wanted is passed"
    made.sell(2)
    made.receiver.done = []
    await made.run(late.id)
    assert made.receiver.done == made.events()[-2:]


async def test_what_a_subscription_does_not_want_is_passed_over_without_waiting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("posline.storage.feed.SCAN_MAX", 3)
    monkeypatch.setattr("relay.webhooks.SKIPPED_MAX", 2)
    made = rig()
    made.sell(20)
    one, deliverer, waits = made.add(kinds=["refund"]), made.deliverer(), list[float | None]()
    while not waits or waits[-1] == 0.0:
        waits.append(await deliverer.step(one.id))
    assert waits[-1] == LOOK_S and len(waits) >= 20 // 3, "it rests only once it has looked at all there is"
    assert len(made.events()) - made.webhooks.progress(one.id).at < 2 and made.receiver.sent == 0


async def test_a_receiver_that_is_away_is_tried_more_and_more_seldom_and_loses_nothing() -> None:
    made = rig()
    made.sell(5)
    one, asked = made.add(), list[int]()

    def away(message: Message) -> Outcome:
        asked.append(made.now_ms)
        return Outcome(None, "no route", reached=False) if len(asked) < 30 else Outcome(200)

    made.receiver.answer = away
    await made.run(one.id)
    assert made.receiver.done == made.events() and made.webhooks.dead(one.id) == []
    gaps = [(b - a) / 1000 for a, b in itertools.pairwise(asked)]
    assert DELAY_S / 2 <= gaps[0] <= DELAY_S + 2 and DELAY_S_MAX / 2 <= gaps[-1] <= DELAY_S_MAX + 2
    assert len({round(gap) for gap in gaps[-8:]}) > 1, "not all at the same moment"


async def test_whoever_asks_for_patience_gets_it() -> None:
    made = rig()
    one, asked = made.add(), list[int]()

    def busy(message: Message) -> Outcome:
        asked.append(made.now_ms)
        return Outcome(503, after_s=900) if len(asked) == 1 else Outcome(204)

    made.receiver.answer = busy
    await made.run(one.id)
    assert asked[1] - asked[0] >= 900_000 and made.receiver.done == made.events()


async def test_one_event_that_is_not_taken_does_not_block_the_others() -> None:
    made = rig()
    made.sell(20)
    poison = made.events()[7]
    healed = [False]

    def answer(message: Message) -> Outcome:
        return Outcome(500, "cannot read it") if poison in message.ids and not healed[0] else Outcome(200)

    made.receiver.answer = answer
    one = made.add(batch=10)
    await made.run(one.id)
    assert made.receiver.done == [id for id in made.events() if id != poison]
    (dead,) = made.webhooks.dead(one.id)
    assert f"{dead.life}-{dead.n}" == poison and dead.why == "it answered 500: cannot read it"
    assert made.receiver.sent <= 2 * TRIES_MAX + 15
    made.webhooks.requeue(one.id)
    await made.run(one.id)
    assert [d.queued for d in made.webhooks.dead(one.id)] == [False], "it is still not taken"
    healed[0] = True
    made.webhooks.requeue(one.id, [dead.n])
    await made.run(one.id)
    assert made.receiver.done[-1] == poison and made.webhooks.dead(one.id) == []
    with pytest.raises(NotFound):
        made.webhooks.discard(one.id, [dead.n])


async def test_what_was_given_up_can_be_discarded() -> None:
    made = rig()
    made.receiver.answer = lambda message: Outcome(422) if message.ids == (made.events()[1],) else Outcome(200)
    one = made.add(batch=1)
    await made.run(one.id)
    (dead,) = made.webhooks.dead(one.id)
    assert made.webhooks.discard(one.id) == 1 and made.webhooks.dead(one.id) == [] and dead.n == 2


async def test_a_receiver_that_takes_nothing_at_all_is_not_given_everything_up_on(monkeypatch: Any) -> None:
    assert GIVEN_UP_MAX > 3
    monkeypatch.setattr("relay.webhooks.GIVEN_UP_MAX", 3)
    made = rig()
    made.sell(20)
    one, ill = made.add(batch=1), [True]
    made.receiver.answer = lambda message: Outcome(500) if ill[0] else Outcome(200)
    await made.run(one.id, steps=300)
    assert len(made.webhooks.dead(one.id)) == 3
    ill[0] = False
    await made.run(one.id)
    made.webhooks.requeue(one.id)
    await made.run(one.id)
    assert sorted(made.receiver.done) == sorted(made.events()) and made.webhooks.dead(one.id) == []


async def test_a_receiver_that_is_gone_is_switched_off() -> None:
    made = rig()
    one = made.add()
    made.receiver.answer = lambda message: Outcome(410)
    await made.run(one.id)
    found = made.webhooks.get(one.id)
    assert not found.active and "410" in found.off_why and made.receiver.sent == 1
    made.receiver.answer = lambda message: Outcome(200)
    made.webhooks.change(one.id, {"active": True})
    await made.run(one.id)
    assert made.receiver.done == made.events() and made.webhooks.get(one.id).off_why == ""


async def test_a_database_that_was_put_back_switches_off_what_had_heard_more() -> None:
    made = rig()
    made.sell(5)
    one = made.add()
    await made.run(one.id)
    before = made.receiver.done[:]
    older = rig()
    older.webhooks, older.receiver = made.webhooks, made.receiver
    older.sell(50)
    await older.run(one.id)
    found = made.webhooks.get(one.id)
    assert not found.active and "replay" in found.off_why and made.receiver.done == before
    made.webhooks.replay(one.id, at=0, life="")
    await older.run(one.id)
    assert made.receiver.done == before + older.events()


async def test_what_is_given_up_of_a_database_that_was_put_back_can_be_sent_once_more() -> None:
    made, older, ill = rig(), rig(), [True]
    made.receiver.answer = lambda message: Outcome(422) if ill[0] and message.last == 2 else Outcome(200)
    one = made.add(batch=1)
    await made.run(one.id)
    older.webhooks, older.receiver = Webhooks(made.webhooks.database, lambda: older.now_ms), made.receiver
    older.webhooks.replay(one.id, at=0, life="")
    await older.run(one.id)
    assert [dead.n for dead in older.webhooks.dead(one.id)] == [2], "the same number, given anew"
    ill[0] = False
    older.webhooks.requeue(one.id)
    await older.run(one.id)
    assert made.receiver.done[-1] == older.events()[1] and older.webhooks.dead(one.id) == []


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**9))
def test_through_crashes_and_bad_answers_each_event_is_done_once_and_in_order(seed: int) -> None:
    """The promise, by chance: what the receiver does not refuse for good it has, in the feed's order; what it refuses
    is in the list of what was given up; and nothing is in both."""
    chance, made = random.Random(seed), rig()
    made.sell(chance.randint(0, 40))
    poison = set(chance.sample(made.events(), min(3, len(made.events()))))
    calm = [False]

    def answer(message: Message) -> Outcome:
        if not calm[0] and chance.random() < 0.4:
            return chance.choice((
                Outcome(None, "cut", reached=False), Outcome(429, after_s=5), Outcome(503), Outcome(302), Outcome(404),
            ))  # fmt: skip
        return Outcome(500) if poison & set(message.ids) else Outcome(200)

    made.receiver.answer = answer
    made.receiver.crash = lambda: not calm[0] and chance.random() < 0.3
    one = made.add(batch=chance.randint(1, 12))
    made.chance = chance
    for _ in range(5):
        asyncio.run(made.run(one.id, steps=chance.randint(1, 60)))
        made.sell(chance.randint(0, 5))
    calm[0] = True
    asyncio.run(made.run(one.id))
    given_up = {f"{dead.life}-{dead.n}" for dead in made.webhooks.dead(one.id)}
    assert given_up == poison
    assert made.receiver.done == [id for id in made.events() if id not in poison]


# -- what is signed and where it goes ----------------------------------------------------------------------------------


def test_a_signature_is_that_of_the_standard() -> None:
    """The example of the Standard Webhooks specification's reference libraries."""
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    signed = signatures([secret], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


async def test_two_secrets_sign_for_a_day_after_a_rotation() -> None:
    made = rig()
    one = made.add()
    rotated = made.webhooks.rotate(one.id)
    assert rotated.secrets(made.now_ms) == [rotated.secret, one.secret]
    assert rotated.secrets(made.now_ms + ROTATION_MS) == [rotated.secret] and rotated.secret != one.secret
    both = signatures(rotated.secrets(made.now_ms), "m", 1, b"x").split(" ")
    for secret, signature in zip((rotated.secret, one.secret), both, strict=True):
        expected = hmac.digest(read_secret(secret), b"m.1.x", hashlib.sha256)
        assert signature == f"v1,{base64.b64encode(expected).decode()}"


@pytest.mark.parametrize(
    ("address", "private"),
    [
        ("8.8.8.8", False), ("127.0.0.1", True), ("10.1.2.3", True), ("192.168.1.1", True), ("169.254.169.254", True),
        ("100.64.0.1", True), ("0.0.0.0", True), ("224.0.0.1", True), ("::1", True), ("fe80::1%eth0", True),
        ("fc00::1", True), ("2606:4700::1111", False), ("::ffff:127.0.0.1", True), ("64:ff9b::a00:1", True),
        ("64:ff9b::808:808", False), ("2002:7f00:1::", True), ("255.255.255.255", True),
    ],
)  # fmt: skip
def test_addresses_that_are_nobodys_business(address: str, private: bool) -> None:
    assert is_private(address) is private


@pytest.mark.parametrize(
    "wrong",
    [
        {"url": "http://erp.example.com/"}, {"url": "ftp://x/"}, {"url": "https://a:b@x/"}, {"url": "https://x/#a"},
        {"url": "https:///x"}, {"url": "https://x:99999/"}, {"batch": 0}, {"batch": 101}, {"batch": True},
        {"kinds": ["sale", 1]}, {"secret": "whsec_abc"}, {"secret": "whsec_****"}, {"url": "https://x/" + "a" * 500},
    ],
)  # fmt: skip
def test_a_subscription_that_is_wrong_is_refused(wrong: dict[str, Any]) -> None:
    made = rig()
    asked = {"url": URL} | wrong
    with pytest.raises(BadRequest):
        made.webhooks.add(asked.pop("url"), at=0, life="", **asked)
    assert made.webhooks.listed() == []


@asynccontextmanager
async def listening(answer: Callable[[Request], Awaitable[Response]]) -> Any:
    app = Starlette(routes=[Route("/{path:path}", answer, methods=["POST"])])
    front = Listener(app, host="127.0.0.1", port=0)
    await front.start()
    try:
        yield front.url
    finally:
        await front.stop()


async def test_over_http_it_is_signed_bounded_and_goes_where_it_may() -> None:
    got: list[tuple[dict[str, str], bytes]] = []

    async def answer(request: Request) -> Response:
        got.append((dict(request.headers), await request.body()))
        path = request.url.path
        if path == "/moved":
            return Response(status_code=307, headers={"location": "/hook"})
        if path == "/busy":
            return Response("later", 503, {"retry-after": "77"})
        if path == "/long":

            async def pieces() -> Any:
                for _ in range(1000):
                    await asyncio.sleep(0)
                    yield b"x" * 1000

            return StreamingResponse(pieces(), 500)
        return Response(status_code=204)

    async with listening(answer) as url:
        sender = HttpSender(clock=lambda: 1614265330.0)
        key = "whsec_" + base64.b64encode(b"k" * 32).decode()
        message = Message("msg_a-1-2", ("a-1", "a-2"), b'{"events":[]}', 2)

        def to(path: str, **more: Any) -> Subscription:
            return Subscription("wh_1", f"{url}{path}", key, **({"private": True} | more))

        assert await sender.send(to("/hook"), message) == Outcome(204)
        head, body = got.pop()
        assert body == message.body and head["posline-event-id"] == "a-1,a-2" and head["webhook-id"] == "msg_a-1-2"
        assert head["webhook-signature"] == signatures([key], "msg_a-1-2", 1614265330, body)
        assert head["webhook-timestamp"] == "1614265330" and head["content-type"] == "application/json"
        refused = await sender.send(to("/hook", private=False), message)
        assert not refused.reached and "--private" in refused.error and got == []
        assert (await sender.send(to("/moved"), message)).status == 307 and len(got) == 1, "no redirect is followed"
        assert await sender.send(to("/busy"), message) == Outcome(503, "later", after_s=77.0)
        long = await sender.send(to("/long"), message)
        assert long.status == 500 and len(long.error) <= ANSWER_BYTES_MAX
        await sender.close()
    closed = await HttpSender().send(Subscription("wh_1", url, key, private=True), message)
    assert closed.status is None and not closed.reached
    nobody = await HttpSender().send(Subscription("wh_1", "https://nobody.invalid/", key), message)
    assert nobody.status is None and not nobody.reached


async def test_a_name_that_leads_inside_a_moment_later_leads_nowhere() -> None:
    """The request goes to the address that was looked at, under the name that was asked for."""
    asked: list[httpx.Request] = []

    async def handle(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(200)

    answers = [["93.184.216.34"], ["127.0.0.1"], ["127.0.0.1", "93.184.216.34"], []]

    async def addresses(host: str, port: int) -> list[str]:
        assert (host, port) == ("erp.example.com", 8443)
        return answers.pop(0)

    sender = HttpSender(addresses=addresses, transport=httpx.MockTransport(handle))
    one = Subscription("wh_1", "https://erp.example.com:8443/hook", "whsec_" + base64.b64encode(b"k" * 32).decode())
    message = Message("m", ("a-1",), b"{}", 1)
    outcomes = [await sender.send(one, message) for _ in range(4)]
    assert [outcome.status for outcome in outcomes] == [200, None, 200, None]
    assert {request.url.host for request in asked} == {"93.184.216.34"}
    assert {request.headers["host"] for request in asked} == {"erp.example.com:8443"}
    assert {request.extensions["sni_hostname"] for request in asked} == {"erp.example.com"}
    await sender.close()


async def test_a_receiver_that_says_nothing_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("relay.delivering.ANSWER_S", 0.05)
    held = asyncio.Event()

    async def answer(request: Request) -> Response:
        await held.wait()
        return Response()

    async with listening(answer) as url:
        sender = HttpSender()
        one = Subscription("wh_1", url, "whsec_" + base64.b64encode(b"k" * 32).decode(), private=True)
        outcome = await sender.send(one, Message("m", ("a-1",), b"{}", 1))
        held.set()
        await sender.close()
    assert outcome.status is None and outcome.reached and "within" in outcome.error


async def test_running_it_delivers_to_many_and_only_where_it_leads() -> None:
    made = rig()
    made.sell(3)
    many = [made.add(batch=2) for _ in range(4)]
    leads, arrivals = [False], Arrivals()
    heard: dict[str, list[str]] = {one.id: [] for one in many}

    class Many(Receiver):
        async def send(self, one: Subscription, message: Message) -> Outcome:
            heard[one.id] += message.ids
            return Outcome(200)

    async def leading() -> bool:
        return leads[0]

    made.webhooks.changed = arrivals.tell
    deliverer = Deliverer(made.store, made.webhooks, Many(), arrivals, leads=leading)
    deliverer.start()
    try:
        await until(lambda: arrivals.waiting == 1)
        assert not any(heard.values())
        leads[0] = True
        arrivals.tell()
        await until(lambda: all(ids == made.events() for ids in heard.values()))
        made.webhooks.remove(many[0].id)
        made.sell(1)
        arrivals.tell()
        await until(lambda: all(heard[one.id] == made.events() for one in many[1:]))
        assert heard[many[0].id] != made.events()
    finally:
        await deliverer.stop()
