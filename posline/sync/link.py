"""One connection between two replicas, or between a replica and a stock Yjs client, without the socket.

Outside events only change state (`receive`, `committed`, `released`, `tick`); `_decide` alone says what goes out. The
shell takes messages one by one with `take()` while its socket has room, so what waits for a slow peer is bounded.

Invariants, by number in the tests:

1. Nothing is sent that is not committed: rows, heads and digests come from the replica's committed reads.
2. Each update that arrives is answered by exactly one SyncStatus, in the order of arrival; 1 only once what it brought
   is committed, also where another link brought the same a moment ago and its commit is still under way.
3. To a replica, at most a window of updates is unanswered. A stock client answers nothing; what it is sent is bounded
   by what the socket takes.
4. A stock client gets one SyncStep1 for each authentication and none else, and its SyncStep2 only behind everything
   that it lacked.
5. Whatever arrives raises nothing here, but for Unavailable where a database does not answer. What breaks the rules is
   refused with its reason; more than a few of those in a minute close the link, and nothing else does.
6. A row goes to a peer at most once a connection, unless the peer announces that it lacks it.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Set

from posline.core.update import EMPTY, StateVector, decode_state, encode_state
from posline.errors import Hole, PoslineError, Refused, Unavailable
from posline.replica import Replica, is_document
from posline.storage.records import Mark
from posline.sync.comparing import Comparing
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
from posline.sync.having import Having
from posline.sync.liveness import INTERNET, LAN, STOCK, Liveness, Pace
from posline.sync.messages import (
    Announce,
    Authors,
    Have,
    Hello,
    Links,
    Message,
    Missing,
    Prefixes,
    RefusedUpdate,
    Tree,
    Where,
    read,
    write,
)
from posline.sync.moods import MOVES, Answer, Mood, Patience, Peer, Tally
from posline.sync.repair import Repair
from posline.sync.sending import Sender, covers
from posline.trust.gate import Gate, Grant, Scope
from posline.writer import Random

__all__ = ["LINKED", "MYSELF", "SILENT", "VERSION", "Link"]

LINKED = "linked already"
MYSELF = "this is myself"
SILENT = "the other side went silent"
VERSION = "posline/1"  # in our Auth messages: how a listener tells a replica from a stock client
SHOP = "shop"

HANDSHAKE_S = 10.0  # from the connection to the peer's hello
OUTBOX_BYTES = 256 * 1024  # no more rows are read while this much waits for the socket
OUTBOX_BYTES_MAX = 4 * 1024 * 1024  # answers alone came to this: the peer asks and does not listen
REFUSALS_A_MINUTE = 3
DENIALS_A_MINUTE = 300  # a program that may only read and writes: each is answered, a flood is not
DOCUMENTS_MAX = 400  # that one stock client may follow at once: a year of days
UNANSWERED_MAX = 64  # updates that arrived and wait for their commit; the shell stops reading beyond
SHOP_UNANSWERED_MAX = 256  # of all links of a shop: none of them is read from beyond, and other shops have their turn


class Link:
    """One connection, from the side of `replica`. Times are seconds of any steady clock."""

    def __init__(
        self,
        replica: Replica,
        gate: Gate,
        *,
        dialling: bool,
        now: float,
        random: Random,
        session: str,
        kind: str,
        links: Callable[[], Iterable[str]],
        pace: Pace | None = None,
        repairs: dict[str, dict[str, list[float]]] | None = None,
        here: bool = False,
        tally: Tally | None = None,
    ) -> None:
        """`links` gives the store ids of this replica's live links; `repairs` remembers repairs over reconnects; `here`
        says that the peer is on this machine; `tally` counts answers."""
        self.replica, self.gate, self.dialling = replica, gate, dialling
        self.peer = Peer()
        self.mood = Mood.WAITING
        self.closing: str | None = None  # the reason, once the shell should close
        self.ended = ""  # why the other side closed, where it did and said so
        self.refused = False  # the other side would not have us
        self.heard: list[Have] = []  # for the hub to pass on
        self.where: Where | None = None  # for the hub to note
        self.here = here
        self.greeted = False  # the peer's hello is here
        self.on_output: Callable[[], None] = lambda: None
        self._random, self._session, self._kind, self._links = random, session, kind, links
        self._repairs = repairs if repairs is not None else {}
        self._liveness = Liveness(pace or LAN, now, dialling=dialling)
        self._begun, self._now = now, now
        self._out: deque[bytes] = deque()
        self._out_bytes = 0
        self._grants: dict[str, Grant] = {}
        self._to_ask: set[str] = set()  # documents of a stock client whose state was not asked for yet
        self._answers: deque[Answer] = deque()
        self._tally = tally or Tally()
        self._sender = Sender(
            replica,
            random,
            now,
            room=lambda: self._out_bytes < OUTBOX_BYTES,
            reaches=lambda store: store in self.peer.links,
            put=self._put,
            caught_up=self._caught_up,
        )
        self._comparing = Comparing(replica, self._tell, now)
        self._repair = Repair(replica, self._comparing.later)
        self._last_refusal: RefusedUpdate | None = None
        self._refusals = Patience(REFUSALS_A_MINUTE)
        self._denials = Patience(DENIALS_A_MINUTE)
        self._having = Having(replica, self._tell, now)
        self.clock_apart_ms: int | None = None  # how far the peer's clock is ahead of ours, None until it says
        if dialling:
            self._say(AuthToken(SHOP, gate.token(), VERSION))

    # -- the shell's side ------------------------------------------------------------------------------

    def take(self) -> bytes | None:
        """The next message for the socket; None when there is none now."""
        if not self._out:
            self._decide()
        if not self._out:
            return None
        message = self._out.popleft()
        self._out_bytes -= len(message)
        return message

    @property
    def crowded(self) -> bool:
        """Whether the shell should stop reading until commits have caught up."""
        return len(self._answers) >= UNANSWERED_MAX or len(self.replica.staged) >= SHOP_UNANSWERED_MAX

    @property
    def waiting_bytes(self) -> int:
        """What waits for the socket."""
        return self._out_bytes

    @property
    def owes(self) -> bool:
        """Whether an update that arrived here was not answered yet."""
        return bool(self._answers)

    @property
    def behind(self) -> int:
        """How many rows the peer is not known to hold durably."""
        return self._sender.behind

    @property
    def mine(self) -> tuple[str, str]:
        """This end: its store, and which life of it. Of the two ends the lower one goes first."""
        return self.replica.store_id, self._session

    @property
    def theirs(self) -> tuple[str, str]:
        """The other end, once it said who it is; two lives of one till differ in their sessions alone."""
        return self.peer.store.split("/")[0], self.peer.session

    def close(self, reason: str) -> None:
        """End the link; the shell closes the socket with this reason."""
        if self.closing is None:
            self.closing, self.mood = reason[:120], Mood.CLOSED
            self.on_output()

    # -- events ----------------------------------------------------------------------------------------

    def receive(self, message: bytes | str, now: float) -> None:
        """A websocket message arrived."""
        self._now = now
        self._liveness.heard(now)
        if self.mood is Mood.CLOSED:
            return
        try:
            if isinstance(message, str):
                raise Refused("messages are binary")
            frame = decode(message)
            moves = MOVES.get(type(frame))
            if moves is not None and self.mood not in moves:
                raise Refused(f"a {type(frame).__name__} has no place here: {self.mood.value}")
            self._on(frame)
        except Refused as error:
            self._count(self._refusals, error.reason)
        self._decide()

    def tick(self, now: float) -> None:
        """Time went by."""
        self._now = now
        if self.mood is Mood.CLOSED:
            return
        self._liveness.waits(self._sender.waits or not self.greeted, now)
        if not self.greeted and self.mood is not Mood.STOCK and now - self._begun > HANDSHAKE_S:
            self.close("the other side did not say who it is in time")
        elif self._liveness.dead(now):
            self.close(SILENT)
        elif self._liveness.ask(now):
            self._say(Ping())
        self._decide()

    def stood_still(self, seconds: float, now: float) -> None:
        """Nobody of this process looked for so long."""
        self._liveness.stood_still(seconds, now)

    @property
    def due(self) -> float:
        """When to tick again, if nothing happens until then."""
        if self.mood is Mood.CLOSED:
            return math.inf
        due = [self._liveness.due, self._comparing.due_at, self._sender.due_at, self._having.due_at]
        if not self.greeted and self.mood is not Mood.STOCK:
            due.append(self._begun + HANDSHAKE_S)
        return min(due)

    def committed(self, rows: dict[str, int]) -> None:
        """Commits added rows: {document: number of the last row before them}."""
        for document, before in rows.items():
            if self.mood is Mood.OPEN and self.greeted:
                self._sender.added(document, before)
        self._decide()

    def released(self, done: Set[int]) -> None:
        """These staged updates (by identity) are on the disk."""
        for answer in self._answers:
            if answer.waits_for is not None and id(answer.waits_for) in done:
                answer.waits_for = None
        self._decide()

    def waits(self) -> bool:
        """Whether an update that arrived here waits for a commit."""
        return any(answer.waits_for is not None for answer in self._answers)

    def have(self, marks: Iterable[Mark], *, brought: bool) -> None:
        """This replica holds runs that far; `brought` when this link brought some of it, so it hears at once."""
        if self.mood is Mood.OPEN and self.greeted:
            self._having.held(marks, self._now, brought=brought)
            self._decide()

    def pass_on(self, have: Have) -> None:
        """Another store's `have`, from another link."""
        if self.mood is Mood.OPEN and self.greeted and have.store not in self.peer.links | {self.peer.store}:
            self._tell(have)

    def members_changed(self) -> None:
        """The shop's members may be others now."""
        reason = self.gate.objection()
        if reason is not None:
            self.refused = True
            self.close(reason)

    def tell_where(self, where: Where) -> None:
        """Say where members listen."""
        if self.mood is Mood.OPEN and self.greeted:
            self._tell(where)

    def links_changed(self) -> None:
        """Our live links, or how our time is known, changed."""
        if self.mood is Mood.OPEN and self.greeted:
            self._tell(Links(tuple(self._links()), *self._time()))

    # -- frames ----------------------------------------------------------------------------------------

    def _on(self, frame: Frame) -> None:
        match frame:
            case AuthToken():
                self._on_token(frame)
            case AuthGranted():
                self._on_granted()
            case AuthRefused():
                self.refused = True
                self.close(f"refused: {frame.reason}")
            case Stateless():
                if self.mood is Mood.OPEN:
                    self._on_message(read(frame.payload))
            case SyncStep1():
                self._on_step1(frame)
            case SyncStep2() | Update():
                self._on_update(frame)
            case SyncStatus():
                self._on_status(frame)
            case CloseDocument():
                self._grants.pop(frame.document, None)
                self._sender.drop(frame.document)
            case Ping():
                self._say(Pong())
            case _:
                pass  # awareness is of no use to a till

    def _on_token(self, frame: AuthToken) -> None:
        if self.dialling:
            raise Refused("a listener asks for no token")
        replica = frame.version.startswith("posline/")
        grant = self.gate.admit(frame.document, frame.token) if is_document(frame.document) else "no such document"
        if replica and self.mood is Mood.WAITING and frame.document == SHOP:
            if isinstance(grant, str) or grant.scope is not Scope.REPLICA:
                self._say(
                    AuthRefused(SHOP, grant if isinstance(grant, str) else "this token is for programs, not tills")
                )
                self._count(self._refusals, "a token that opens nothing")
                return
            self._say(AuthGranted(SHOP, Scope.WRITER.value))
            self._open()
            return
        self._attach(frame.document, grant)

    def _attach(self, document: str, grant: Grant | str) -> None:
        """A stock client asks for a document."""
        if isinstance(grant, str) or len(self._grants) >= DOCUMENTS_MAX:
            self._say(
                AuthRefused(document, grant if isinstance(grant, str) else "too many documents on one connection")
            )
            self._count(self._denials, "tokens that open nothing")
            return
        if self.mood is Mood.WAITING:
            self.mood, self._liveness = Mood.STOCK, Liveness(STOCK, self._now)
            self._sender.windowed = False
        scope = Scope.READER if grant.scope is Scope.READER else Scope.WRITER
        self._grants[document] = grant
        self._sender.drop(document)
        self._say(AuthGranted(document, scope.value))
        self._to_ask.add(document)

    def _on_granted(self) -> None:
        if not self.dialling:
            raise Refused("a listener was granted something")
        self._open()

    def _open(self) -> None:
        self.mood = Mood.OPEN
        at_ms, confirmed = self._time()
        self._tell(
            Hello(
                self.replica.store_id, self._session, VERSION, self._kind, at_ms, confirmed, tuple(self._links()),
                self.replica.root(),
            )
        )  # fmt: skip

    def _time(self) -> tuple[int, bool]:
        clock = self.replica.clock
        if clock is None:
            return 0, False
        reading = clock.now()
        return reading.at_ms, reading.trust == "confirmed"

    def _on_step1(self, frame: SyncStep1) -> None:
        if frame.document not in self._grants:
            raise Refused("a document was asked for before its token was shown")
        self._sender.begin(frame.document, decode_state(frame.state), final=True)

    def _on_update(self, frame: SyncStep2 | Update) -> None:
        """Stage what an update brings; its answer waits for the commit."""
        document, grant = frame.document, Grant(Scope.REPLICA)
        if self.mood is Mood.STOCK:
            if document not in self._grants:
                raise Refused("an update of a document came before its token was shown")
            grant = self._grants[document]
        try:
            staged = self.replica.integrate(
                document,
                frame.update,
                origin=self.origin,
                only_author=grant.author,
                read_only=grant.scope is Scope.READER,
            )
        except Hole as error:
            self._refuse(document, error, hole=True)
            return
        except Unavailable:  # nothing is said of the update by that: the link ends, and both sides compare afresh
            raise
        except PoslineError as error:
            self._refuse(document, error, hole=False)
            return
        waits_for = staged
        if staged is None:  # known, but perhaps not on the disk yet
            waits_for = next((s for s in reversed(self.replica.staged) if s.document == document), None)
        if self.mood is Mood.OPEN:
            self._sender.they_have(self.replica.marks_of(frame.update))
            self._comparing.stirred(self._now)
            if staged is not None:
                self._sender.brought(document, staged.after)
        self._answers.append(Answer(document, waits_for, True))

    @property
    def origin(self) -> str:
        """What rows that this link brings are marked with: the peer's store id."""
        return self.peer.store or "client"

    def _refuse(self, document: str, error: PoslineError, *, hole: bool) -> None:
        why = RefusedUpdate(document, str(error), hole)
        then: Frame | None = None
        reader = self.mood is Mood.STOCK and self._grants[document].scope is Scope.READER
        denied = self.mood is Mood.STOCK and (reader or self._grants[document].author is not None)
        if hole and self.mood is Mood.STOCK and not reader:
            then = CloseDocument(document, f"{error}: sync again")
        if hole and self.mood is Mood.OPEN:
            self._comparing.hole(document)
        elif denied:
            self._count(self._denials, str(error))
        else:
            self._count(self._refusals, str(error))
        self._answers.append(Answer(document, None, False, why, then))

    def _on_status(self, frame: SyncStatus) -> None:
        if self.mood is Mood.STOCK:
            return
        self._sender.answered(frame.document, frame.applied, self._last_refusal)
        self._last_refusal = None

    # -- messages between replicas ---------------------------------------------------------------------

    def _on_message(self, message: Message | None) -> None:
        if message is None:
            return
        if isinstance(message, Hello):
            if self.greeted:
                raise Refused("a second hello")
            self._on_hello(message)
            return
        if not self.greeted:
            raise Refused("something was said before hello")
        match message:
            case Tree():
                if self._comparing.on_tree(message):
                    self.replica.equal_with(self.peer.store)
            case Announce():
                self._on_announce(message)
            case Have():
                self._on_have(message)
            case Links():
                self.peer.links = frozenset(message.links)
                self._on_time(message.at_ms, message.confirmed)
            case Where():
                self.where = message
            case RefusedUpdate():
                self._last_refusal = message
            case Authors():
                if self.replica.known(message.document):
                    self._tell_all(self._repair.on_authors(message, self._now), message.document)
            case Prefixes():
                self._tell_all(self._repair.on_prefixes(message), message.document)
            case Missing():
                if is_document(message.document):
                    self._repair.on_missing(message)

    def _on_hello(self, hello: Hello) -> None:
        if hello.session == self._session:
            self.close(MYSELF)
            return
        store = hello.store
        if self.gate.peer not in (None, store):
            self.refused = True
            self.close("it says that it is another device than the one whose key it has")
            return
        if store == self.replica.store_id:
            store = f"{store}/{hello.session}"  # another life of this very till: both sync, and the fork is shown
            self.replica.alarm(
                "clone", "another machine runs with a copy of this till's data folder: stop one of the two"
            )
        self.peer = Peer(store, hello.session, hello.kind, hello.version, frozenset(hello.links))
        self.greeted = True
        if "head office" in (hello.kind, self._kind) and self._liveness.pace is LAN:
            self._liveness = Liveness(INTERNET, self._now, dialling=self.dialling)
        self._repair.rounds = self._repairs.setdefault(store, {})
        self._on_time(hello.at_ms, hello.confirmed)
        if hello.root == self.replica.root():
            self.replica.equal_with(store)
        else:
            self._comparing.stirred(self._now)
            self._comparing.show("")

    def _on_time(self, at_ms: int, confirmed: bool) -> None:
        if self.replica.clock is not None and at_ms:
            self.replica.clock.heard(at_ms, confirmed)
            self.clock_apart_ms = at_ms - self.replica.clock.now().at_ms

    def _on_announce(self, announce: Announce) -> None:
        document, state = announce.document, announce.state
        if not is_document(document):
            return
        self.replica.clone_suspected(document, state)
        head = self.replica.head(document)
        self._sender.begin(document, state)
        if not covers(head.state, state):
            self._comparing.announce(document)
            return
        remembered = self.replica.remembered(document, state)
        if remembered is None:
            return
        if remembered == (announce.count, announce.digest):
            return
        if self.mine < self.theirs:  # one of the two begins
            self._tell_all(self._repair.begin(document, self._now), document)
        else:
            self._comparing.announce(document)  # so that the other side, whose turn it is, sees the difference

    def _on_have(self, have: Have) -> None:
        if have.store == self.peer.store:
            self._sender.heard_have(have.marks, self._now)
        self.heard.append(have)

    # -- what goes out -----------------------------------------------------------------------------------

    def _decide(self) -> None:
        """Everything that may go out now goes into the outbox. The only place that decides it."""
        if self.mood is Mood.CLOSED:
            return
        before = len(self._out)
        self._answer()
        self._having.say(self._now)
        self._comparing.announce_holes(self._now)
        self._compare()
        self._sender.send(self._now)
        if self._out_bytes > OUTBOX_BYTES_MAX:
            self.close("the other side asks and does not listen")
        if len(self._out) > before:
            self.on_output()

    def _compare(self) -> None:
        """Compare digests once more where the line has come to rest."""
        if not self._comparing.due(self._now):
            return
        if not self._answers and self._sender.idle:
            self._comparing.again(self._now)

    def _answer(self) -> None:
        while self._answers and self._answers[0].waits_for is None:
            answer = self._answers.popleft()
            if answer.why is not None:
                # a stock client hears only what is said to a document that it follows
                self._say(Stateless(SHOP if self.mood is Mood.OPEN else answer.document, write(answer.why)))
            self._say(SyncStatus(answer.document, answer.applied))
            self._tally.count(answer.applied)
            if answer.then is not None:
                self._say(answer.then)
                self._grants.pop(answer.document, None)
                self._sender.drop(answer.document)

    def _put(self, document: str, update: bytes) -> None:
        self._say(Update(document, update))
        if self.mood is Mood.OPEN:
            self._comparing.stirred(self._now)

    def _caught_up(self, document: str, state: StateVector) -> None:
        """A stock client has been sent all that it lacked."""
        self._say(SyncStep2(document, EMPTY))
        if document in self._to_ask:  # only now: a stock client whose answer is answered thinks it has all
            self._to_ask.discard(document)
            self._say(SyncStep1(document, encode_state(state)))

    def _tell_all(self, messages: Iterable[Message], document: str) -> None:
        if is_document(document):
            for message in messages:
                self._tell(message)

    def _tell(self, message: Message) -> None:
        self._say(Stateless(SHOP, write(message)))

    def _say(self, frame: Frame) -> None:
        message = encode(frame)
        self._out.append(message)
        self._out_bytes += len(message)
        self.on_output()

    def _count(self, patience: Patience, reason: str) -> None:
        """One more refusal; too many in a minute end the link."""
        if patience.worn_out(self._now):
            self.refused = True
            self.close(f"too much was refused, last: {reason}")
