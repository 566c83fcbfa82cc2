"""The engine over real sockets and real threads: group commit, failing disks, links that come and go."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import threading
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import pytest

from posline.errors import CommitFailed, DiskFull, OutcomeUnknown
from posline.replica import Replica
from posline.storage.records import Commit, Staged
from posline.storage.reports import Reports
from posline.storage.store import Store
from posline.storage.verify import verify
from posline.sync import accept, dial, engine
from posline.sync.dial import is_near
from posline.sync.engine import Engine
from posline.sync.liveness import NEAR_RETRY_S, PENALTY_S, backoff_s
from posline.trust.gate import Gate, Stranger, TokenGate
from tests.kit import DAY, JOURNAL, StillTime, commit, sale
from tests.sync.wire import TOKEN, on_disk, serving, shop_gate, until


class Disk:
    """Wraps a store's commit: counts, holds up and breaks."""

    def __init__(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sizes: list[int] = []
        self.threads: set[str] = set()
        self.fails: list[BaseException] = []
        self.may_go = threading.Event()
        self.may_go.set()
        self._commit = store.commit
        monkeypatch.setattr(store, "commit", self.commit)

    def commit(self, batch: Sequence[Staged]) -> Commit:
        self.threads.add(threading.current_thread().name)
        assert self.may_go.wait(10)
        if self.fails:
            raise self.fails.pop(0)
        made = self._commit(batch)
        self.sizes.append(len(batch))
        return made


def started(replica: Replica) -> Engine:
    running = Engine(replica.store)
    running.add(replica)
    return running


async def test_what_is_rung_while_a_commit_runs_goes_into_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (till,) = on_disk(tmp_path, "a")
    disk, running = Disk(till.store, monkeypatch), started(till)
    monkeypatch.setattr(engine, "INLINE_UPDATES", 0)
    await running.start()
    disk.may_go.clear()
    first = asyncio.create_task(running.durable(till.write("sale", sale())))
    await until(lambda: disk.threads)
    rest = [asyncio.create_task(running.durable(till.write("sale", sale(n)))) for n in range(2, 102)]
    await asyncio.sleep(0.05)
    assert not first.done()
    disk.may_go.set()
    await asyncio.gather(first, *rest)
    assert disk.sizes == [1, 100]
    assert all(name.startswith("commit") for name in disk.threads)
    await running.stop()


async def test_on_a_fast_disk_a_single_sale_is_committed_without_a_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (till,) = on_disk(tmp_path, "a")
    disk, running = Disk(till.store, monkeypatch), started(till)
    await running.start()
    await running.durable(till.write("sale", sale()))
    assert disk.threads == {threading.current_thread().name}
    await running.stop()


async def test_a_full_disk_fails_all_that_is_staged_and_nothing_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (till,) = on_disk(tmp_path, "a")
    disk, running = Disk(till.store, monkeypatch), started(till)
    await running.start()
    await running.durable(till.write("sale", sale(1)))
    disk.fails.append(DiskFull("no room"))
    lost = [till.write("sale", sale(n)) for n in (10, 100)]
    results = await asyncio.gather(*(running.durable(each) for each in lost), return_exceptions=True)
    assert [type(result) for result in results] == [DiskFull, DiskFull]
    with pytest.raises(CommitFailed):
        await running.durable(lost[0])  # whoever asks late is not told that it stands
    await running.durable(till.write("sale", sale(1000)))
    report = Reports(till.store, till.shop, here=till.store_id).day(DAY)
    assert report["sales"]["total"] == 1001
    assert report["tills"][0]["missing_count"] == 0
    assert list(verify(till.store, till.shop)) == []
    await running.stop()


async def test_notes_that_find_no_room_wait_and_keep_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a full disk cannot take note of is tried again a while later, and does not keep the till from its end."""
    (till,) = on_disk(tmp_path, "a")
    disk, running = Disk(till.store, monkeypatch), started(till)
    await running.start()
    tries = 20
    disk.fails += [DiskFull("no room")] * tries
    running.store.set_meta("seen", {})
    running.poke()
    async with asyncio.timeout(10):
        await running.stop()
    assert len(disk.fails) >= tries - 3, "one try for what was staged, and one for what was noted"


async def test_after_an_error_that_says_nothing_is_known_nothing_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (till,) = on_disk(tmp_path, "a")
    disk = Disk(till.store, monkeypatch)
    told: list[BaseException] = []
    running = Engine(till.store, on_fatal=told.append)
    running.add(till)
    await running.start()
    disk.fails.append(OSError("input/output error"))
    with pytest.raises(OutcomeUnknown):
        await running.durable(till.write("sale", sale()))
    assert len(told) == 1
    with pytest.raises(OutcomeUnknown):
        await running.durable(till.write("sale", sale()))
    assert disk.sizes == []
    await running.stop()


async def test_what_fails_around_a_commit_stops_no_sale(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Listeners, links and ticks that raise are logged; the next sale is recorded all the same."""
    (till,) = on_disk(tmp_path, "a")
    running = started(till)

    def fail(*_: object) -> None:
        raise ZeroDivisionError

    running.on_commit(fail)
    monkeypatch.setattr(running.hub, "released", fail)
    monkeypatch.setattr(running.hub, "tick", fail)
    await running.start()
    for n in range(1, 4):
        await running.durable(till.write("sale", sale(n)))
        await asyncio.sleep(engine.TICK_S)
    assert Reports(till.store, till.shop, here=till.store_id).day(DAY)["sales"]["total"] == 6
    await running.stop()


async def test_the_alarm_of_a_full_disk_goes_with_the_next_sale_that_is_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (till,) = on_disk(tmp_path, "a")
    disk, running = Disk(till.store, monkeypatch), started(till)
    await running.start()
    disk.fails.append(DiskFull("no room"))
    with pytest.raises(DiskFull):
        await running.durable(till.write("sale", sale()))
    assert "disk" in till.alarms
    await running.durable(till.write("sale", sale()))
    assert "disk" not in till.alarms
    await running.stop()


async def test_a_clean_stop_signs_what_was_not_signed(tmp_path: Path) -> None:
    (till,) = on_disk(tmp_path, "a")
    running = started(till)
    await running.start()
    await running.durable(till.write("sale", sale()))
    await running.stop()
    kinds = [kind for (kind,) in till.store.read.execute("SELECT kind FROM entry ORDER BY n")]
    assert kinds[-2:] == ["sale", "seal"]


async def test_a_busy_log_is_squashed_in_between_and_no_sale_waits_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "IDLE_S", 0.1)
    (till,) = on_disk(tmp_path, "a")
    for n in range(700):
        till.write("sale", sale(n + 1))
        if n % 10 == 0:
            commit(till)
    commit(till)
    running = started(till)
    await running.start()
    for n in range(engine.SQUASH_ROWS):
        await running.durable(till.write("sale", sale(n + 1)))
    rows = "SELECT count(*) FROM log"
    await until(lambda: till.store.read.execute(rows).fetchone()[0] < 20)
    await running.durable(till.write("sale", sale()))
    assert list(verify(till.store, till.shop)) == []
    await running.stop()


async def test_two_tills_link_and_each_ends_with_all(tmp_path: Path) -> None:
    a, b = on_disk(tmp_path, "a", "b")
    for n in range(600):
        a.write("sale", sale(n + 1))
    commit(a)
    async with serving(a) as served, serving(b) as other:
        other.engine.dial(b.shop, served.url, TokenGate(TOKEN))
        await until(lambda: a.root() == b.root() and b.documents())
        b.begin()
        await other.engine.durable(b.write("sale", sale(5)))
        await until(lambda: a.root() == b.root())
        (peer,) = served.engine.peers(a.shop)
        assert peer.connected and peer.kind == "till" and peer.last_seen is not None
        await until(lambda: served.engine.peers(a.shop)[0].behind == 0)
        await until(lambda: Reports(a.store, a.shop, here=a.store_id).waiting(a.store_id) == 0)
        await until(lambda: Reports(b.store, b.shop, here=b.store_id).waiting(b.store_id) == 0)
    assert list(verify(b.store, b.shop)) == []


async def test_a_till_that_comes_back_is_dialled_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dial, "NEAR_RETRY_S", 0.2)
    a, b = on_disk(tmp_path, "a", "b")
    async with serving(b) as other:
        async with serving(a) as served:
            port = served.listener.port
            other.engine.dial(b.shop, served.url, TokenGate(TOKEN))
            await until(lambda: a.root() == b.root())
        await until(lambda: not other.engine.peers(b.shop)[0].connected)
        a.write("sale", sale())
        commit(a)
        async with serving(a, port=port):
            await until(lambda: a.root() == b.root())


def looks(engines: Sequence[Engine], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The devices that diallers found linked when they looked, whichever way round: each time before they rest."""
    found: list[str] = []

    def watch(linked: Callable[[str, str], bool], shop: str, store: str) -> bool:
        there = linked(shop, store)
        found.extend([store] * there)
        return there

    monkeypatch.setattr(dial, "LINKED_S", 0.1)
    for one in engines:
        monkeypatch.setattr(one.hub, "linked", partial(watch, one.hub.linked))
    return found


async def test_two_that_dial_each_other_keep_one_link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = on_disk(tmp_path, "a", "b")
    async with serving(a) as one, serving(b) as other:
        one.engine.dial(a.shop, other.url, TokenGate(TOKEN))
        other.engine.dial(b.shop, one.url, TokenGate(TOKEN))
        await until(lambda: a.root() == b.root() and one.engine.hub.linked(a.shop, b.store_id))
        await until(lambda: len(one.engine.hub.links(a.shop)) == len(other.engine.hub.links(b.shop)) == 1)
        held = one.engine.hub.links(a.shop)[0]
        found = looks([one.engine, other.engine], monkeypatch)
        await until(lambda: len(found) >= 3)  # the one whose call was not kept would call again
        assert one.engine.hub.links(a.shop) == [held]


@pytest.mark.parametrize("names", [("a", "b"), ("b", "a")])
async def test_two_that_bear_one_session_are_both_linked_in_the_end(
    tmp_path: Path, names: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A copy of a running process: the third device says why it closed, whichever side had dialled, and the one that it
    closed on takes another session."""
    a, b = on_disk(tmp_path, *names)
    a.store.backup(tmp_path / "copy.db")
    copy = Replica(
        Store.open(tmp_path / "copy.db"),
        a.shop,
        author=a.author,
        clock=StillTime().clock(),
        random=random.Random(1),
        documents=True,
    )
    async with serving(a) as one, serving(copy) as twin, serving(b) as other:
        twin.engine.hub.session = one.engine.hub.session
        other.engine.dial(b.shop, one.url, TokenGate(TOKEN))
        await until(lambda: other.engine.hub.linked(b.shop, a.store_id))
        twin.engine.dial(a.shop, other.url, TokenGate(TOKEN))
        await until(lambda: one.engine.hub.session != twin.engine.hub.session)
        one.engine.dial(a.shop, other.url, TokenGate(TOKEN))

        def sessions() -> set[str]:
            return {link.peer.session for link in other.engine.hub.links(b.shop) if link.greeted}

        await until(lambda: len(sessions()) == 2)
        held = other.engine.hub.links(b.shop)
        found = looks([one.engine, twin.engine, other.engine], monkeypatch)
        await until(lambda: len(found) >= 3)
        assert other.engine.hub.links(b.shop) == held and len(held) == 2
        await until(lambda: a.root() == b.root() == copy.root())


async def test_who_is_refused_takes_its_time_before_it_comes_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    a, b = on_disk(tmp_path, "a", "b")
    caplog.set_level(logging.INFO, "posline.sync")
    waits: list[tuple[int, float]] = []

    def at_once(failures: int, chance: float, *, most: float) -> float:
        waits.append((failures, most))
        return 0.0

    monkeypatch.setattr(dial, "backoff_s", at_once)
    async with serving(a, shop_gate()) as served, serving(b) as other:
        other.engine.dial(b.shop, served.url, TokenGate("of another shop"))
        await until(lambda: len(waits) >= 5)
    assert waits[:5] == [(failures, PENALTY_S) for failures in range(1, 6)]  # twice as long each time
    (said,) = [record for record in caplog.records if "no link to" in record.message]
    assert "token" in said.message
    assert not b.documents()


async def test_who_finds_no_room_is_no_stranger_and_comes_again_soon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A whole chain comes back behind one router: those for whom there is no room just now do not stay away for
    minutes."""

    class Asks(TokenGate):
        def approach(self, proof: str, nonce: str, *, introduce: bool, tls: str, expects: str = "") -> Gate:
            raise Stranger("it does not say who it is")

    a, b = on_disk(tmp_path, "a", "b")
    waits: list[float] = []

    def at_once(failures: int, chance: float, *, most: float) -> float:
        waits.append(most)
        return 0.0

    monkeypatch.setattr(dial, "backoff_s", at_once)
    monkeypatch.setattr(accept, "STRANGERS_MAX", 0)
    async with serving(a, shop_gate()) as served, serving(b) as other:
        other.engine.dial(b.shop, served.url, Asks(TOKEN))
        await until(lambda: len(waits) >= 2)
        (peer,) = other.engine.peers(b.shop)
        assert peer.why.startswith("too many connections from this address")
    assert waits[:2] == [NEAR_RETRY_S, NEAR_RETRY_S]


async def test_nobody_there_is_said_and_tried_again(tmp_path: Path) -> None:
    (a,) = on_disk(tmp_path, "a")
    running = started(a)
    await running.start()
    running.dial(a.shop, "ws://127.0.0.1:1/sync", TokenGate(TOKEN))
    await until(lambda: all(peer.why for peer in running.peers(a.shop)) and running.peers(a.shop))
    (peer,) = running.peers(a.shop)
    assert (peer.connected, peer.last_seen, peer.url) == (False, None, "ws://127.0.0.1:1/sync")
    running.undial("ws://127.0.0.1:1/sync")
    assert running.peers(a.shop) == []
    await running.stop()


async def test_a_shop_that_is_dropped_loses_its_links(tmp_path: Path) -> None:
    a, b = on_disk(tmp_path, "a", "b")
    async with serving(a) as served, serving(b) as other:
        other.engine.dial(b.shop, served.url, TokenGate(TOKEN))
        await until(lambda: served.engine.hub.linked(a.shop, b.store_id))
        served.engine.drop(a.shop)
        await until(lambda: not other.engine.peers(b.shop)[0].connected)


async def test_a_failed_commit_ends_the_links_that_wait_for_it_and_the_next_one_brings_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = on_disk(tmp_path, "a", "b")
    disk = Disk(b.store, monkeypatch)
    disk.fails += [DiskFull("no room"), DiskFull("no room")]
    async with serving(a) as served, serving(b) as other:
        other.engine.dial(b.shop, served.url, TokenGate(TOKEN))
        await until(lambda: a.root() == b.root() and b.head(JOURNAL).count)
    assert disk.fails == []
    assert list(verify(b.store, b.shop)) == []


def test_waiting_grows_to_its_bound_and_is_spread_out() -> None:
    assert backoff_s(0, 1.0) <= 0.2
    assert [backoff_s(n, 1.0) for n in range(20)] == sorted(backoff_s(n, 1.0) for n in range(20))
    assert backoff_s(50, 1.0) == 5.0 and backoff_s(50, 0.0) == 2.5
    assert backoff_s(50, 1.0, most=300.0) == 300.0


@pytest.mark.parametrize(
    ("url", "near"),
    [
        ("ws://127.0.0.1:1/sync", True), ("wss://192.168.1.20:8701/sync", True), ("wss://[fe80::1]:8701/sync", True),
        ("wss://till-a.local/sync", True), ("wss://till-a/sync", True), ("wss://office.example.com/sync/x", False),
        ("wss://8.8.8.8/sync", False),
    ],
)  # fmt: skip
def test_addresses_of_the_local_network_are_near(url: str, near: bool) -> None:
    assert is_near(url) is near


async def test_who_is_told_to_stop_while_a_connection_comes_up_stops(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cancelling may be lost in a race with what it interrupts; a till hung for ever over that."""
    a, b = on_disk(tmp_path, "a", "b")
    reached = asyncio.Event()

    class Racing(dial.connect):
        async def __aenter__(self) -> dial.ClientConnection:
            connection = await super().__aenter__()
            reached.set()
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
            return connection

    monkeypatch.setattr(dial, "connect", Racing)
    async with serving(a) as served:
        other = started(b)
        await other.start()
        other.dial(b.shop, served.url, TokenGate(TOKEN))
        await reached.wait()
        async with asyncio.timeout(10):
            await other.stop()
