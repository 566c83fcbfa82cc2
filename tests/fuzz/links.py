"""A live link that hears a stream of spoilt frames behind its handshake, as a replica, a reader or a writer.

It raises nothing, answers each update once, keeps its queues within their limits, and what an honest till sends next is
taken and counted. An input is one connection: who it is, and what it says.
"""

from __future__ import annotations

import contextlib
import random
from functools import cache
from random import Random

from posline.core.document import lone_update
from posline.core.status import Status
from posline.errors import Refused
from posline.storage.reports import Reports
from posline.sync.frames import (
    AuthToken,
    Frame,
    Stateless,
    SyncStatus,
    SyncStep1,
    SyncStep2,
    Update,
    decode,
    encode,
)
from posline.sync.hub import Hub
from posline.sync.link import OUTBOX_BYTES_MAX, UNANSWERED_MAX, VERSION, Link
from posline.sync.messages import Hello, write
from posline.sync.moods import Mood
from posline.trust.gate import TokenGate
from tests.fuzz.entries import bodies, envelope
from tests.fuzz.mutate import dump, pack, spoil, unpack
from tests.fuzz.target import Target, outcome
from tests.fuzz.updates import mutate_update
from tests.fuzz.wire import mutate_frame
from tests.kit import JOURNAL, StillTime, Writer, commit, founded, joined, sale, text_key
from tests.sync.pair import TOKEN, Device, Net
from tests.sync.wire import READ, WRITE, shop_gate

__all__ = ["LINKS"]

FRAMES_MAX = 40
ROLES = (b"replica", b"slow replica", b"reader", b"slow reader", b"writer", b"nobody")
QUICK_S, SLOW_S = 0.05, 21.0  # between two messages: three refusals in a minute are borne


def _till() -> Device:
    """A till with some sales, which has admitted an honest one that nobody has heard of yet."""
    time = StillTime()
    replica = founded("alif", time)
    honest = Writer("pe")
    replica.write("member", {"key": text_key(honest.key.public), "label": "PE", "role": "till"}, document="shop")
    for total in (100, 250):
        replica.write("sale", sale(total))
    commit(replica)
    hub = Hub(random=random.Random("hub"), kind="till")
    hub.add(replica)
    return Device("alif", replica, hub, time)


@cache
def _honest() -> tuple[list[bytes], str, int]:
    """What the honest till sends: its run, a sale and a seal; the sale's id and total."""
    writer = Writer("pe")
    entries = [writer.begin(), writer.sale(777), writer.seal()]
    frames = [
        encode(Update(JOURNAL, lone_update(2**50 + n, writer.id, [entry.raw.decode()])))
        for n, entry in enumerate(entries)
    ]
    return frames, entries[1].id, 777


@cache
def _recorded() -> list[bytes]:
    """What a second till said on its first link with this one, sales of its own among it."""
    till = _till()
    net = Net()
    net.devices["alif"] = till
    time = StillTime()
    other = joined(till.replica, "be", time)
    net.add("be", other, time=time)
    line = net.link("be", "alif")
    said: list[bytes] = []
    real = till.hub.received

    def received(link: Link, message: bytes | str, now: float) -> None:
        said.append(bytes(message))  # type: ignore[arg-type]
        real(link, message, now)

    till.hub.received = received  # type: ignore[method-assign]
    net.settle()
    for total in (30, 40):
        other.write("sale", sale(total))
        net.devices["be"].commit()
        net.settle()
    net.wait(2.0)
    assert line.up
    return said


def _seeds() -> list[bytes]:
    journal = Update(JOURNAL, lone_update(77, "a" * 26, [dump(envelope(*bodies()[0], Random(5))).decode()]))
    stock = [
        encode(AuthToken(JOURNAL, READ)),
        encode(SyncStep1(JOURNAL, b"\0")),
        encode(AuthToken("shop", READ)),
        encode(SyncStep2(JOURNAL, b"\0\0")),
        encode(journal),
    ]
    writer = [encode(AuthToken(JOURNAL, WRITE)), *stock[1:2], encode(journal), encode(AuthToken("catalog/1", WRITE))]
    mine = _recorded()
    return [
        pack([b"slow replica", *mine[2:][:FRAMES_MAX]]),
        pack([b"slow reader", *stock]),
        pack([b"nobody", *mine[:FRAMES_MAX]]),
        pack([b"reader", *stock]),
        pack([b"writer", *writer]),
        pack([b"replica", encode(journal), *mine[2:12]]),
    ]


def _mutate(data: bytes, rng: Random) -> bytes:
    role, *said = unpack(data) or [b"replica"]
    if rng.random() < 0.05:
        role = rng.choice(ROLES)
    for _ in range(rng.choice((1, 2, 4, 8))):
        how, at = rng.randrange(12), rng.randrange(len(said) + 1)
        if how == 0 and said:
            said.insert(at, rng.choice(said))
        elif how == 1 and at < len(said):
            del said[at]
        elif how == 2:
            rng.shuffle(said)
        elif how == 3:
            said[at:at] = rng.sample(_recorded(), 3)
        elif how == 4:
            body = envelope(*rng.choice(bodies()), rng)
            text = dump(body).decode()
            said.insert(
                at,
                encode(
                    Update(
                        rng.choice((JOURNAL, "shop", "catalog/1")), lone_update(rng.getrandbits(53), "a" * 26, [text])
                    )
                ),
            )
        elif at < len(said):
            said[at] = _twisted(said[at], rng)
    return pack([role, *said[:FRAMES_MAX]])


def _twisted(message: bytes, rng: Random) -> bytes:
    try:
        frame: Frame = decode(message)
    except Refused:
        return spoil(message, rng)
    if isinstance(frame, Update | SyncStep2) and rng.random() < 0.75:
        document = (
            frame.document
            if rng.random() < 0.9
            else rng.choice(("shop", "catalog/1", "journal/2026-11-24", "nothing", "journal/2026-02-31"))
        )
        return encode(type(frame)(document, mutate_update(frame.update, rng)))
    return mutate_frame(message, rng)


class _Connection:
    """One connection to the till, whose time goes on with each message."""

    def __init__(self, till: Device, gate: TokenGate, now: float, step_s: float = QUICK_S) -> None:
        self.till, self.now, self._step_s = till, now, step_s
        self.link = till.hub.connect(till.replica.shop, gate, dialling=False, now=now)
        self.answered: list[SyncStatus] = []
        self.updates = 0  # that have to be answered

    def say(self, message: bytes) -> None:
        """One message arrives; what the till has to say is heard."""
        link = self.link
        if link.mood is Mood.OPEN:
            with contextlib.suppress(Refused):
                self.updates += isinstance(decode(message), Update)
        self.now += self._step_s
        self.till.hub.received(link, message, self.now)
        self.hear()

    def hear(self) -> None:
        heard = 0
        while (message := self.link.take()) is not None:
            heard += len(message)
            frame = decode(message)
            if isinstance(frame, SyncStatus):
                self.answered.append(frame)
        assert heard <= OUTBOX_BYTES_MAX + 2**20, f"{heard} bytes waited for one who had not listened"

    def commit(self) -> None:
        """The disk catches up, and time goes by."""
        self.till.commit()
        self.till.time.pass_ms(100)
        self.till.hub.tick(self.now)
        self.till.replica.tick(self.now)
        self.till.commit()
        self.hear()

    def greet(self, store: str) -> None:
        """Be a replica."""
        self.say(encode(AuthToken("shop", TOKEN, VERSION)))
        hello = Hello(store, f"session of {store}", VERSION, "till", 0, False, (), "0" * 64)
        self.say(encode(Stateless("shop", write(hello))))


def _check(data: bytes) -> str:
    role, *said = unpack(data) or [b"nobody"]
    till = _till()
    gate = shop_gate("a" * 26)
    slow, _, who = role.rpartition(b" ")
    hostile = _Connection(till, gate, 0.0, SLOW_S if slow else QUICK_S)
    if who == b"replica":
        hostile.greet("b" * 26)
    elif who in (b"reader", b"writer"):
        hostile.say(encode(AuthToken(JOURNAL, READ if who == b"reader" else WRITE)))
    for n, message in enumerate(said[:FRAMES_MAX]):
        if hostile.link.closing is not None:
            break
        hostile.say(message)
        if n % 3 == 2:
            hostile.commit()
        assert len(till.replica.staged) <= UNANSWERED_MAX and len(hostile.link.heard) == 0
    hostile.commit()
    assert not till.replica.staged and not hostile.link.waits()
    if hostile.link.closing is None and hostile.link.mood is Mood.OPEN:
        assert len(hostile.answered) == hostile.updates, "an update was not answered, or twice"
    now = hostile.now + 1.0
    _honest_till_goes_on(till, gate, now)
    _this_till_goes_on(till)
    closing = hostile.link.closing
    became = outcome(closing) if closing else sum(answer.applied for answer in hostile.answered)
    return f"{role.decode('ascii', 'replace')[:12]} {hostile.link.mood.name} {became}"


def _honest_till_goes_on(till: Device, gate: TokenGate, now: float) -> None:
    """An honest till comes, on a connection of its own, and its sale counts."""
    frames, id, total = _honest()
    honest = _Connection(till, gate, now)
    honest.greet(Writer("pe").id)
    for frame in frames:
        honest.say(frame)
    honest.commit()
    assert honest.link.closing is None, f"the honest till's link was closed: {honest.link.closing}"
    assert [answer.applied for answer in honest.answered] == [True] * len(frames), "an honest update was refused"
    found = Reports(till.replica.store, till.replica.shop, here=till.replica.store_id).by_id(id)
    assert [(one.status, one.entry.amount) for one in found] == [(Status.COUNTED, total)], (
        "an honest sale is not counted"
    )


def _this_till_goes_on(till: Device) -> None:
    """The till that heard all this sells on."""
    staged = till.replica.write("sale", sale(555))
    till.commit()
    found = Reports(till.replica.store, till.replica.shop, here=till.replica.store_id).by_id(staged.entries[0].id)
    assert [one.status for one in found] == [Status.COUNTED]


LINKS = Target("links", _seeds, _mutate, _check, 6_000)
