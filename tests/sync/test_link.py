"""The invariants of `posline.sync.link`, by their numbers, and what else a link promises: bounded."""

from __future__ import annotations

import random

import pytest

from posline.core.document import lone_update
from posline.core.update import EMPTY, decode_state, encode_state, read_update
from posline.errors import Unavailable
from posline.replica import Replica
from posline.storage.records import Mark, Row
from posline.sync.frames import (
    AuthGranted,
    AuthRefused,
    AuthToken,
    CloseDocument,
    Frame,
    Ping,
    Pong,
    Stateless,
    SyncStatus,
    SyncStep1,
    SyncStep2,
    Update,
    decode,
    encode,
)
from posline.sync.link import DENIALS_A_MINUTE, UNANSWERED_MAX, VERSION, Link
from posline.sync.messages import Announce, Hello, Message, read, write
from posline.sync.moods import Mood
from posline.sync.sending import WINDOW_UPDATES
from posline.trust.gate import Grant, Scope, TokenGate, token_hash
from tests.kit import JOURNAL, commit, founded, joined, key_of, sale, send
from tests.sync.pair import TOKEN, shop

READ, WRITE = "token that reads", "token that writes"
ALIEN = key_of("an author of its own").id


def link_of(replica: Replica, *, dialling: bool = False, session: str = "mine") -> Link:
    gate = TokenGate(
        TOKEN,
        {token_hash(READ): Grant(Scope.READER), token_hash(WRITE): Grant(Scope.WRITER, ALIEN)},
    )
    return Link(
        replica,
        gate,
        dialling=dialling,
        now=0.0,
        random=random.Random(1),
        session=session,
        kind="till",
        links=lambda: (),
    )


def said(link: Link) -> list[Frame]:
    """Everything the link has to say now."""
    frames = []
    while (message := link.take()) is not None:
        frames.append(decode(message))
    return frames


def told(frames: list[Frame]) -> list[Message | None]:
    return [read(f.payload) for f in frames if isinstance(f, Stateless)]


def open_link(replica: Replica, peer: str = "peer") -> Link:
    """A link whose other side the test plays; hellos are exchanged, and the digests differ."""
    link = link_of(replica)
    link.receive(encode(AuthToken("shop", TOKEN, VERSION)), 0.0)
    tell(link, Hello(key_of(peer).id, "theirs", VERSION, "till", 0, False, (), "00" * 32))
    said(link)
    return link


def tell(link: Link, message: Message, now: float = 0.0) -> None:
    link.receive(encode(Stateless("shop", write(message))), now)


def lacks_all(link: Link, document: str = JOURNAL) -> None:
    """The other side holds nothing of the document."""
    tell(link, Announce(document, {}, 0, "00" * 32))


def stock(replica: Replica, token: str = WRITE) -> Link:
    """A stock Yjs client that has attached the journal and has synced."""
    link = link_of(replica)
    link.receive(encode(AuthToken(JOURNAL, token, "4.8.0")), 0.0)
    link.receive(encode(SyncStep1(JOURNAL, encode_state({}))), 0.0)
    said(link)
    return link


def filled(sales: int) -> Replica:
    till = founded()
    for total in range(1, sales + 1):
        till.write("sale", sale(total))
        if total % 5 == 0:
            commit(till)
    commit(till)
    return till


def test_1_nothing_is_sent_that_is_not_committed() -> None:
    till = founded()
    link = open_link(till)
    staged = till.write("sale", sale())
    lacks_all(link)
    sent = [f for f in said(link) if isinstance(f, Update)]
    assert sent and staged.update not in [f.update for f in sent]
    held = till.head(JOURNAL).state
    commit(till)
    link.committed({JOURNAL: till.head(JOURNAL).n - 1})
    assert [f.update for f in said(link) if isinstance(f, Update)] == [staged.update]
    assert held != till.head(JOURNAL).state


def test_2_each_update_is_answered_once_in_order_and_only_behind_its_commit() -> None:
    till = founded()
    peer = joined(till, "peer")
    send(till, peer)
    peer.begin()
    first, second = peer.write("sale", sale(1)), peer.write("sale", sale(2))
    begun = peer.staged[0]
    commit(peer)
    link = open_link(till)
    for update in (begun.update, first.update, b"\x01\x02junk", second.update, first.update):
        link.receive(encode(Update(JOURNAL, update)), 0.0)
    assert not [f for f in said(link) if isinstance(f, SyncStatus)]
    batch = till.staged[:1]
    result = till.store.commit(batch)
    till.release(batch, result)
    link.released({id(s) for s in batch})
    assert [f.applied for f in said(link) if isinstance(f, SyncStatus)] == [True]
    batch = list(till.staged)
    result = till.store.commit(batch)
    till.release(batch, result)
    link.released({id(s) for s in batch})
    assert [f.applied for f in said(link) if isinstance(f, SyncStatus)] == [True, False, True, True]


def test_2_what_another_link_brought_a_moment_ago_is_confirmed_only_behind_its_commit() -> None:
    till = founded()
    peer = joined(till, "peer")
    send(till, peer)
    peer.begin()
    update = peer.staged[0].update
    commit(peer)
    one, other = open_link(till, "peer"), open_link(till, "third")
    one.receive(encode(Update(JOURNAL, update)), 0.0)
    other.receive(encode(Update(JOURNAL, update)), 0.0)
    assert not [f for f in said(other) if isinstance(f, SyncStatus)]
    batch = list(till.staged)
    result = till.store.commit(batch)
    till.release(batch, result)
    for link in (one, other):
        link.released({id(s) for s in batch})
        assert [f.applied for f in said(link) if isinstance(f, SyncStatus)] == [True]


def test_2_a_known_update_says_nothing_of_what_else_the_peer_holds() -> None:
    """A peer that repeats an old update while a sale of ours is staged must still be sent that sale."""
    till = filled(400)
    till.store.squash(till.shop, JOURNAL)
    old = till.rows(JOURNAL, 0, 1)[0].update
    link = open_link(till)
    lacks_all(link)
    staged = till.write("sale", sale(7))
    link.receive(encode(Update(JOURNAL, old)), 0.0)
    link.receive(encode(Update(JOURNAL, old)), 0.0)
    commit(till)
    link.released({id(staged)})
    link.committed({JOURNAL: till.head(JOURNAL).n - 1})
    sent: list[bytes] = []
    while updates := [f.update for f in said(link) if isinstance(f, Update)]:
        sent += updates
        for _ in updates:
            link.receive(encode(SyncStatus(JOURNAL, True)), 0.0)
    state: dict[int, int] = {}
    for update in sent:
        state |= read_update(update, state).after
    assert state == till.head(JOURNAL).state


def scatter(till: Replica, rows: int) -> Replica:
    """Give `till` rows of as many origins, which are not joined."""
    for n in range(rows):
        till.integrate(JOURNAL, lone_update(n + 1, ALIEN, [f"{n}"]), origin=f"o{n}")
    commit(till)
    return till


def test_3_a_replica_is_sent_a_window_and_no_more_until_it_answers() -> None:
    till = scatter(filled(400), 40)
    link = open_link(till)
    lacks_all(link)
    assert len([f for f in said(link) if isinstance(f, Update)]) == WINDOW_UPDATES
    assert said(link) == []
    link.receive(encode(SyncStatus(JOURNAL, True)), 0.0)
    assert len([f for f in said(link) if isinstance(f, Update)]) == 1


def test_the_log_is_read_once_however_slowly_the_peer_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    link = open_link(scatter(founded(), 300))
    numbers: list[int] = []
    rows = Replica.rows

    def counted(self: Replica, document: str, after: int, limit: int) -> list[Row]:
        found = rows(self, document, after, limit)
        numbers.extend(row.n for row in found)
        return found

    monkeypatch.setattr(Replica, "rows", counted)
    lacks_all(link)
    sent = len([f for f in said(link) if isinstance(f, Update)])
    while link.behind:
        link.receive(encode(SyncStatus(JOURNAL, True)), 0.0)
        sent += len([f for f in said(link) if isinstance(f, Update)])
    assert sent >= 300
    assert len(numbers) == len(set(numbers)), "rows were read again for each answer"


def test_4_a_stock_client_gets_one_step_1_and_its_step_2_behind_all_it_lacked() -> None:
    till = filled(300)
    link = link_of(till)
    link.receive(encode(AuthToken(JOURNAL, READ, "4.8.0")), 0.0)
    assert said(link) == [AuthGranted(JOURNAL, "readonly")]
    link.receive(encode(SyncStep1(JOURNAL, encode_state({}))), 0.0)
    frames = said(link)
    asked = frames.pop()  # behind all: the answer to its answer makes a client think that it has everything
    assert isinstance(asked, SyncStep1) and decode_state(asked.state) == till.head(JOURNAL).state
    link.receive(encode(SyncStep1(JOURNAL, asked.state)), 0.0)
    assert said(link) == [SyncStep2(JOURNAL, EMPTY)]
    assert [type(f) for f in frames] == [Update] * (len(frames) - 1) + [SyncStep2]
    assert frames[-1] == SyncStep2(JOURNAL, EMPTY)
    state: dict[int, int] = {}
    for frame in frames[:-1]:
        assert isinstance(frame, Update)
        state |= read_update(frame.update, state).after
    assert state == till.head(JOURNAL).state
    sold = till.write("sale", sale())
    commit(till)
    link.committed({JOURNAL: till.head(JOURNAL).n - 1})
    assert said(link) == [Update(JOURNAL, sold.update)]


def test_4_a_stock_client_is_told_of_each_change_once_applied_or_not() -> None:
    till = founded()
    link = stock(till)
    mine = lone_update(5, ALIEN, ["not an entry of that author"])
    link.receive(encode(SyncStep2(JOURNAL, EMPTY)), 0.0)
    link.receive(encode(Update(JOURNAL, mine)), 0.0)
    frames = said(link)
    assert [f for f in frames if isinstance(f, SyncStatus)] == [SyncStatus(JOURNAL, True), SyncStatus(JOURNAL, False)]
    reader = stock(till, READ)
    reader.receive(encode(SyncStep2(JOURNAL, EMPTY)), 0.0)
    reader.receive(encode(Update(JOURNAL, mine)), 0.0)
    assert [f.applied for f in said(reader) if isinstance(f, SyncStatus)] == [True, False]
    assert reader.mood is Mood.STOCK


def test_4_a_stock_client_whose_update_has_a_hole_is_told_to_sync_afresh() -> None:
    till = founded()
    link = stock(till, TOKEN)
    from posline.core.document import Document

    document = Document(99)
    document.append(ALIEN, ["a"])
    later = document.append(ALIEN, ["b"])
    link.receive(encode(Update(JOURNAL, later)), 0.0)
    frames = said(link)
    assert [type(f) for f in frames if not isinstance(f, Stateless)] == [SyncStatus, CloseDocument]
    link.receive(encode(AuthToken(JOURNAL, TOKEN, "4.8.0")), 0.0)
    link.receive(encode(SyncStep1(JOURNAL, encode_state({}))), 0.0)
    assert [type(f) for f in said(link)] == [AuthGranted, Update, SyncStep2, SyncStep1]


@pytest.mark.parametrize("token", [READ, "nobody's"])
def test_5_a_replica_with_a_programs_token_or_none_is_turned_away(token: str) -> None:
    link = link_of(founded())
    for attempt in range(4):
        link.receive(encode(AuthToken("shop", token, VERSION)), float(attempt))
    frames = said(link)
    assert all(isinstance(f, AuthRefused) for f in frames)
    assert link.closing is not None and link.mood is Mood.CLOSED


def test_5_garbage_is_refused_and_more_than_three_in_a_minute_end_the_link() -> None:
    till = founded()
    rubbish = random.Random(3)
    link = open_link(till)
    for n in range(3):
        link.receive(rubbish.randbytes(40), n * 1.0)
    assert link.closing is None
    link.receive("text", 70.0)
    link.receive(b"", 71.0)
    link.receive(encode(Update(JOURNAL, b"\xff" * 20)), 72.0)
    assert link.closing is None
    link.receive(encode(Stateless("shop", '{"v":1,"t":"have"}')), 73.0)
    assert link.closing is not None and "too much was refused" in link.closing


def test_5_whatever_arrives_raises_nothing() -> None:
    till = founded()
    chance = random.Random(4)
    real = [
        encode(AuthToken("shop", TOKEN, VERSION)),
        encode(Update(JOURNAL, till.rows(JOURNAL, 0, 1)[0].update)),
        encode(SyncStep1(JOURNAL, encode_state({1: 2}))),
        encode(SyncStatus(JOURNAL, True)),
        encode(Stateless("shop", write(Announce(JOURNAL, {1: 2}, 1, "00")))),
        encode(Stateless("shop", write(Hello(ALIEN, "x", VERSION, "till", 2**53 - 1, True, (), "0")))),
    ]
    for _ in range(3000):
        link = open_link(till) if chance.random() < 0.5 else stock(till)
        message = bytearray(chance.choice(real))
        for _ in range(chance.randint(0, 4)):
            message[chance.randrange(len(message))] = chance.getrandbits(8)
        link.receive(bytes(message[: chance.randint(0, len(message))]), 0.0)
        link.receive(bytes(message), 0.0)
        said(link)


def test_5_a_program_that_may_only_read_and_floods_is_dropped_in_the_end() -> None:
    till = founded()
    link = stock(till, READ)
    update = lone_update(5, ALIEN, ["x"])
    for _ in range(DENIALS_A_MINUTE):
        link.receive(encode(Update(JOURNAL, update)), 0.0)
        said(link)
    assert link.closing is None
    link.receive(encode(Update(JOURNAL, update)), 0.0)
    assert link.closing is not None


def test_5_a_link_that_floods_harms_no_other() -> None:
    net = shop("alif", "beh", relay=False)
    line = net.link("alif", "beh")
    net.wait(0.5)
    alif = net.devices["alif"]
    bad = alif.hub.connect(alif.replica.shop, TokenGate(TOKEN), dialling=False, now=net.now)
    for _ in range(50):
        alif.hub.received(bad, b"\xff" * 1000, net.now)
    assert bad.closing is not None
    alif.hub.disconnect(bad, net.now)
    alif.replica.write("sale", sale(5))
    net.wait(0.5)
    assert line.up and net.devices["beh"].replica.root() == alif.replica.root()


def test_6_a_row_goes_to_a_peer_once_a_connection() -> None:
    net = shop("alif", "beh", relay=False)
    line = net.link("alif", "beh")
    net.wait(0.5)
    seen: list[bytes] = []
    _, beh_link = line.ends[1]
    receive = beh_link.receive

    def watch(message: bytes | str, now: float) -> None:
        assert isinstance(message, bytes)
        frame = decode(message)
        if isinstance(frame, Update):
            seen.append(frame.update)
        receive(message, now)

    beh_link.receive = watch  # type: ignore[method-assign]
    for total in range(50):
        net.devices["alif"].replica.write("sale", sale(total + 1))
        net.wait(0.1)
    net.wait(5.0)
    assert len(seen) == len(set(seen))
    assert sum(read_update(u, _anything(u)).strings for u in seen) >= 50


def _anything(update: bytes) -> dict[int, int]:
    class All(dict[int, int]):
        def get(self, key: int, default: int | None = None) -> int:  # type: ignore[override]
            return 2**53 - 1

    return All()


# -- bounds and time --------------------------------------------------------------------------------------------------


def test_a_peer_that_never_answers_is_dropped_within_two_seconds() -> None:
    link = open_link(filled(50))
    lacks_all(link)
    now, pings = 0.0, 0
    while link.closing is None:
        now += 0.1
        link.tick(now)
        pings += sum(isinstance(f, Ping) for f in said(link))
    assert 1.9 <= now <= 2.11 and pings >= 2
    assert link.closing == "the other side went silent"


def test_a_peer_that_says_nothing_of_itself_is_dropped() -> None:
    link = link_of(founded())
    now = 0.0
    while link.closing is None and now < 20.0:
        now += 0.5
        link.receive(encode(Pong()), now)
        link.tick(now)
    assert 10.0 <= now <= 11.0 and link.closing is not None and "who it is" in link.closing


def test_what_waits_for_a_slow_peer_is_bounded() -> None:
    """A peer that asks and never reads, with a long history behind the link."""
    till = founded()
    for _ in range(120):
        for _ in range(50):
            till.write("sale", sale() | {"note": "n" * 190})
        commit(till)
    for link in (stock_unread(till), open_link(till)):
        lacks_all(link) if link.mood is Mood.OPEN else None
        for _ in range(20_000):
            if link.closing is not None:
                break
            lacks_all(link) if link.mood is Mood.OPEN else link.receive(
                encode(SyncStep1(JOURNAL, encode_state({}))), 0.0
            )
        assert link._out_bytes < 5 * 1024 * 1024


def stock_unread(replica: Replica) -> Link:
    link = link_of(replica)
    link.receive(encode(AuthToken(JOURNAL, READ, "4.8.0")), 0.0)
    return link


def test_a_shell_is_asked_to_stop_reading_while_commits_lag() -> None:
    till = founded()
    peer = joined(till, "peer")
    send(till, peer)
    link = open_link(till)
    for n in range(UNANSWERED_MAX):
        assert not link.crowded
        link.receive(encode(Update(JOURNAL, lone_update(n + 1, ALIEN, [str(n)]))), 0.0)
    assert link.crowded
    commit_and_release(till, link)
    assert not link.crowded


def commit_and_release(replica: Replica, link: Link) -> None:
    batch = list(replica.staged)
    replica.release(batch, replica.store.commit(batch))
    link.released({id(s) for s in batch})


def test_every_hole_is_announced_in_the_end_and_a_thousand_only_a_few_times() -> None:
    till = founded()
    from posline.core.document import Document

    other = Document(77)
    updates = [other.append(ALIEN, [str(n)]) for n in range(2000)]
    link = open_link(till)
    now = 0.0
    announced = refused = 0
    for update in updates[1:]:
        now += 0.001
        link.receive(encode(Update(JOURNAL, update)), now)
        frames = said(link)
        announced += sum(isinstance(m, Announce) for m in told(frames))
        refused += sum(isinstance(f, SyncStatus) and not f.applied for f in frames)
    assert refused == 1999 and announced <= 5 and link.closing is None
    link.receive(encode(Update(JOURNAL, updates[1999])), now + 0.01)  # just behind an announcement
    frames = said(link)
    link.tick(now + 0.6)
    assert any(isinstance(m, Announce) for m in told(frames + said(link)))
    assert till.staged == []


def test_a_refused_row_and_what_leans_on_it_are_not_sent_for_ever() -> None:
    """The other side takes no row of one client: an alarm, and silence; other rows still pass."""
    till = filled(30)
    link = open_link(till)
    lacks_all(link)
    from posline.sync.messages import RefusedUpdate

    sent = 0
    now = 0.0
    for _ in range(300):
        now += 0.1
        link.tick(now)
        updates = [f for f in said(link) if isinstance(f, Update)]
        for index, _ in enumerate(updates):
            tell(link, RefusedUpdate(JOURNAL, "no", sent + index > 0), now)
            link.receive(encode(SyncStatus(JOURNAL, False)), now)
        sent += len(updates)
        tell(link, Announce(JOURNAL, {}, 0, "00" * 32), now)
    assert sent <= 2 * till.head(JOURNAL).n
    assert "refused" in till.alarms
    till.integrate(JOURNAL, lone_update(1, ALIEN, ["fine"]), origin="else")
    commit(till)
    link.committed({JOURNAL: till.head(JOURNAL).n - 1})
    assert [f for f in said(link) if isinstance(f, Update)]


# -- whole lines ------------------------------------------------------------------------------------------------------


def test_messages_of_the_largest_kind_are_bounded() -> None:
    net = shop("alif", "beh")
    for _ in range(300):
        net.devices["alif"].replica.write("sale", sale() | {"note": "x" * 190})
    line = net.link("alif", "beh")
    net.wait(2.0)
    assert 10_000 < line.largest <= 65 * 1024


def test_an_update_that_comes_while_the_database_is_away_is_not_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A row that was refused is not sent again: the sales in it would be missing for as long as the link lasts."""
    office = founded("office")
    link = open_link(office)
    till = filled(1)

    def away(*arguments: object, **named: object) -> None:
        raise Unavailable("the database does not answer")

    monkeypatch.setattr(office, "integrate", away)
    with pytest.raises(Unavailable):
        link.receive(encode(Update(JOURNAL, till.rows(JOURNAL, 0, 1)[0].update)), 0.1)
    assert not any(isinstance(frame, SyncStatus) for frame in said(link))


def test_how_far_runs_are_held_is_said_later_where_it_could_not_be_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    till = founded()
    till.durable()
    till.write("sale", sale(1))
    commit(till)
    marks = till.store.marks

    def away(*arguments: object) -> list[Mark]:
        raise Unavailable("the database does not answer")

    monkeypatch.setattr(till.store, "marks", away)
    with pytest.raises(Unavailable):
        till.durable()
    monkeypatch.setattr(till.store, "marks", marks)
    assert [mark.author for mark in till.durable()] == [till.store_id]
