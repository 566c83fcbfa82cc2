"""The promises, each broken on purpose in one place of the product, and the test that notices."""

from __future__ import annotations

from tests.mutants.plant import Mutant

__all__ = ["MUTANTS"]

ENGINE, REPLICA, STORE, UPDATE = (
    "posline/sync/engine.py",
    "posline/replica.py",
    "posline/storage/store.py",
    "posline/core/update.py",
)
LEDGER, STATUS, LINK, HUB = (
    "posline/storage/ledger.py",
    "posline/core/status.py",
    "posline/sync/link.py",
    "posline/sync/hub.py",
)

MUTANTS = [
    Mutant(
        "confirmed-before-commit", "receipt after disk", ENGINE,
        "        for future in waiting:\n            await asyncio.shield(future)\n",
        "        await asyncio.sleep(0)\n", "",
    ),
    Mutant(
        "told-before-commit", "nothing leaves before the commit", REPLICA,
        "        ahead.update(staged.after)\n        self.staged.append(staged)\n",
        "        ahead.update(staged.after)\n        self.staged.append(staged)\n        self._touched.update({(e.till, e.run): None for e in staged.entries})\n        head = self.store.head(self.shop, staged.document)\n        head.state.update(staged.after)\n", "",
    ),
    Mutant(
        "client-id-reused", "two lives of a till write under different client ids", REPLICA,
        "        document = Document(self._random.getrandbits(CLIENT_BITS) or 1)\n",
        "        document = Document(int.from_bytes(self.store_id.encode()[:6]))\n", "",
    ),
    Mutant(
        "failed-commit-goes-on", "what is staged behind a failed commit fails too", REPLICA,
        "        self.staged.clear()\n        self._ahead.clear()\n        self._open.clear()\n",
        "        self.staged.clear()\n        self._ahead.clear()\n", "",
    ),
    Mutant(
        "fsync-of-files-skipped", "keys and settings survive a power cut", "posline/storage/files.py",
        "        os.fsync(handle)\n    finally:\n        os.close(handle)\n    temporary.replace(path)\n",
        "    finally:\n        os.close(handle)\n    temporary.replace(path)\n", "",
    ),
    Mutant(
        "fsync-of-commits-skipped", "receipt after disk", "posline/storage/connection.py",
        '"PRAGMA synchronous=FULL",', '"PRAGMA synchronous=NORMAL",', "",
    ),
    Mutant(
        "keyed-by-id", "nobody can suppress another's sale by its id", LEDGER,
        "            if place in held:\n                continue\n",
        "            if place in held or (arrival.entry.placed and _id(arrival.entry) in taken):\n                continue\n", "",
    ),
    Mutant(
        "deletions-pass", "no peer can erase an entry", UPDATE,
        "    if update[at] != 0:\n        raise Refused(\"the update deletes something: entries are only ever added\")\n    if at + 1 != len(update):\n        raise Refused(\"the update has something behind its end\")\n", "", "",
    ),
    Mutant(
        "holes-pass", "nothing is applied whose beginning is missing", UPDATE,
        "        if clock > here:\n            raise Hole(f\"elements {here} to {clock - 1} of client {client} are missing here\")\n", "", "",
    ),
    Mutant(
        "map-keys-pass", "only strings in arrays pass", UPDATE,
        "    if info & 31 != _CONTENT_ANY or info & _KEY:\n", "    if info & 31 != _CONTENT_ANY:\n", "",
    ),
    Mutant(
        "slices-dropped", "no transaction of more than 256 elements", UPDATE,
        "MAX_UPDATE_ELEMENTS = 256 ", "MAX_UPDATE_ELEMENTS = 100_000 ", "",
    ),
    Mutant(
        "digest-without-content", "equal digests mean equal elements", STORE,
        '            entry, value = arrival.entry, int.from_bytes(arrival.entry.hash, "big")\n',
        '            entry, value = arrival.entry, int.from_bytes(arrival.entry.id.encode()[:32].ljust(32), "big")\n', "",
    ),
    Mutant(
        "first-come-wins", "no total depends on the order of arrival", STATUS,
        "    ordered = sorted(claims, key=lambda claim: claim[1])\n", "    ordered = list(claims)\n", "",
    ),
    Mutant(
        "signatures-unchecked", "nobody can forge", LEDGER,
        "            signed = _signature(take.authority, entry)\n", "            signed = SIGNED\n", "",
    ),
    Mutant(
        "chain-unchecked", "an altered entry falls when its till signs", LEDGER,
        "            and entry.prev == run.tip_hash.hex()[:SHORT]\n", "", "",
    ),
    Mutant(
        "unfounded-chain-counts", "what breaks off counts for nothing until it is joined", STATUS,
        '                verdicts[entry.key] = Judgement(False, Status.HELD, "an entry before it is missing here")\n',
        "                verdicts[entry.key] = Judgement(False, Status.COUNTED)\n", "",
    ),
    Mutant(
        "id-in-flight-forgotten", "a second post of an id in flight waits for the first", "posline/till/recording.py",
        "        while (first := self._in_flight.get(id)) is not None:\n            await asyncio.wait([first])\n", "", "",
    ),
    Mutant(
        "light-without-hash", "a light cannot lie where a number was used twice", STORE,
        "SELECT 1 FROM entry WHERE shop = ? AND author = ? AND run = ? AND seq = ? AND hash = ?\",\n                (key, author, run, mark.seq, mark.hash),",
        "SELECT 1 FROM entry WHERE shop = ? AND author = ? AND run = ? AND seq = ?\",\n                (key, author, run, mark.seq),", "",
    ),
    Mutant(
        "origin-not-clipped", "what is known already is not written twice", REPLICA,
        "        if read.overlaps:\n            update = clip(update, known)\n", "", "",
    ),
    Mutant(
        "clone-unnoticed", "two machines with one memory part at once", REPLICA,
        "        if live is not None and live.client_id in read.after:\n            self._cloned(document)\n            live = None\n", "", "",
    ),
    Mutant(
        "no-new-run-for-foreign-entries", "a till that went back signs where it stands", REPLICA,
        "        if kinds - SIGNATURES:\n            self._new_run = True\n", "", "",
    ),
    Mutant(
        "removed-members-write", "what comes after a removal is held", STATUS,
        "            elif removed and not is_vouched:\n", "            elif False:\n", "",
    ),
    Mutant(
        "full-disk-half-written", "a failed commit leaves nothing", STORE,
        "                if self._db.in_transaction:\n                    self._db.execute(\"ROLLBACK\")\n",
        "                if self._db.in_transaction:\n                    self._db.execute(\"COMMIT\")\n", "",
    ),
    Mutant(
        "went-on-after-a-failed-disk", "after an I/O error the process ends", ENGINE,
        "        self._broken = error\n        self._fail_all(", "        self._fail_all(", "",
    ),
    Mutant(
        "forwards-to-nobody", "tills sync transitively", "posline/sync/sending.py",
        "DEFERRED_MAX = 10_000 ", "DEFERRED_MAX = 10_000_000_000\nDEFER_S = DEFER_MOST_S = 1e9\n_UNUSED = 0 ", "",
    ),
]  # fmt: skip
