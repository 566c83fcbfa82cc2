"""The promises, each broken on purpose in one place of the product, and the test that notices."""

from __future__ import annotations

from tests.mutants.plant import Mutant

__all__ = ["MUTANTS"]

ENGINE, REPLICA, WRITER, STORE, UPDATE = (
    "posline/sync/engine.py",
    "posline/replica.py",
    "posline/writer.py",
    "posline/storage/store.py",
    "posline/core/update.py",
)
LEDGER, STATUS, LINK, HUB = (
    "posline/storage/ledger.py",
    "posline/core/status.py",
    "posline/sync/link.py",
    "posline/sync/hub.py",
)

SPOILT = "tests/fuzz/test_inputs.py::test_a_bounded_share_of_spoilt_inputs_breaks_no_promise"
REQUESTS = "tests/fuzz/test_requests.py::test_spoilt_requests_get_refusals_and_the_books_are_what_was_answered"

MUTANTS = [
    Mutant(
        "confirmed-before-commit", "receipt after disk", ENGINE,
        "        for future in waiting:\n            await asyncio.shield(future)\n",
        "        await asyncio.sleep(0)\n",
        "tests/sync/test_engine.py::test_what_is_rung_while_a_commit_runs_goes_into_the_next",
    ),
    Mutant(
        "told-before-commit", "nothing leaves before the commit", WRITER,
        "        ahead.update(staged.after)\n        self.staged.append(staged)\n",
        "        ahead.update(staged.after)\n        self.staged.append(staged)\n        self._touched.update({(e.till, e.run): None for e in staged.entries})\n        head = self.store.head(self.shop, staged.document)\n        head.state.update(staged.after)\n",
        "tests/test_replica.py::test_a_failed_commit_leaves_nothing_and_the_next_sale_is_whole",
    ),
    Mutant(
        "client-id-reused", "two lives of a till write under different client ids", WRITER,
        "        return Document(self._random.getrandbits(CLIENT_BITS) or 1)\n",
        "        return Document(int.from_bytes(self.store_id.encode()[:6]))\n",
        "tests/test_replica.py::test_an_element_that_leaked_before_a_failed_commit_hides_no_later_sale",
    ),
    Mutant(
        "failed-commit-goes-on", "what is staged behind a failed commit fails too", WRITER,
        "        self._open.clear()\n        self._seen.clear()\n",
        "        self._seen.clear()\n",
        "tests/test_replica.py::test_a_failed_commit_leaves_nothing_and_the_next_sale_is_whole",
    ),
    Mutant(
        "keyed-by-id", "nobody can suppress another's sale by its id", LEDGER,
        "            if place in held:\n                continue\n",
        "            if place in held or (arrival.entry.placed and _id(arrival.entry) in taken):\n                continue\n",
        "tests/storage/test_ledger.py::test_one_id_at_two_tills_with_other_content_counts_twice_with_an_alarm",
    ),
    Mutant(
        "deletions-pass", "no peer can erase an entry", UPDATE,
        "    if update[at] != 0:\n        raise Refused(\"the update deletes something: entries are only ever added\")\n    if at + 1 != len(update):\n        raise Refused(\"the update has something behind its end\")\n", "",
        "tests/core/test_update.py::test_a_delete_set_for_clocks_still_to_come_is_refused",
    ),
    Mutant(
        "holes-pass", "nothing is applied whose beginning is missing", UPDATE,
        "        if clock > here:\n            raise Hole(f\"elements {here} to {clock - 1} of client {client} are missing here\")\n", "",
        "tests/core/test_update.py::test_a_hole_is_told_apart_from_what_may_never_pass",
    ),
    Mutant(
        "map-keys-pass", "only strings in arrays pass", UPDATE,
        "    if info & 31 != _CONTENT_ANY or info & _KEY:\n", "    if info & 31 != _CONTENT_ANY:\n",
        "tests/core/test_update.py::test_a_map_key_under_an_authors_root_is_refused",
    ),
    Mutant(
        "slices-dropped", "no transaction of more than 256 elements", UPDATE,
        "MAX_UPDATE_ELEMENTS = 256 ", "MAX_UPDATE_ELEMENTS = 100_000 ",
        "tests/core/test_update.py::test_an_update_of_20000_small_elements_is_refused_with_little_work",
    ),
    Mutant(
        "digest-without-content", "equal digests mean equal elements", STORE,
        '            entry, value = arrival.entry, int.from_bytes(arrival.entry.hash, "big")\n',
        '            entry, value = arrival.entry, int.from_bytes(arrival.entry.id.encode()[:32].ljust(32), "big")\n',
        "tests/test_replica.py::test_a_failed_commit_leaves_nothing_and_the_next_sale_is_whole",
    ),
    Mutant(
        "first-come-wins", "no total depends on the order of arrival", STATUS,
        "    ordered = sorted(claims, key=lambda claim: claim[1])\n", "    ordered = list(claims)\n",
        "tests/storage/test_day.py::test_z_reports_less_duplicates_are_the_day_on_every_till",
    ),
    Mutant(
        "signatures-unchecked", "nobody can forge", LEDGER,
        "            signed = _signature(take.authority, entry)\n", "            signed = SIGNED\n",
        "tests/storage/test_ledger.py::test_a_wrong_signature_is_invalid",
    ),
    Mutant(
        "chain-unchecked", "an altered entry falls when its till signs", LEDGER,
        "            and entry.prev == run.tip_hash.hex()[:SHORT]\n", "",
        "tests/storage/test_ledger.py::test_an_altered_entry_falls_whatever_came_first",
    ),
    Mutant(
        "unfounded-chain-counts", "what breaks off counts for nothing until it is joined", STATUS,
        '                verdicts[entry.key] = Judgement(False, Status.HELD, "an entry before it is missing here")\n',
        "                verdicts[entry.key] = Judgement(False, Status.COUNTED)\n",
        "tests/storage/test_ledger.py::test_a_forged_number_of_2_to_the_53_less_1_counts_for_nothing_and_moves_no_counter",
    ),
    Mutant(
        "id-in-flight-forgotten", "a second post of an id in flight waits for the first", "posline/till/recording.py",
        "        while (first := self._in_flight.get(id)) is not None:\n            await asyncio.wait([first])\n", "",
        "tests/faults/test_posts.py::test_100_parallel_posts_of_one_id_across_a_restart_are_one_sale",
    ),
    Mutant(
        "light-without-hash", "a light cannot lie where a number was used twice", "posline/storage/standing.py",
        "SELECT 1 FROM entry WHERE shop = ? AND author = ? AND run = ? AND seq = ? AND hash = ?\",\n                (key, author, run, mark.seq, mark.hash),",
        "SELECT 1 FROM entry WHERE shop = ? AND author = ? AND run = ? AND seq = ?\",\n                (key, author, run, mark.seq),",
        "tests/test_replica.py::test_lights_turn_on_only_for_our_own_hash",
    ),
    Mutant(
        "origin-not-clipped", "what is known already is not written twice", REPLICA,
        "        if read.overlaps:\n            update = clip(update, known)\n", "",
        "tests/storage/test_day.py::test_z_reports_less_duplicates_are_the_day_on_every_till",
    ),
    Mutant(
        "clone-unnoticed", "two machines with one memory part at once", REPLICA,
        "        self.clone_suspected(document, read.after)\n", "",
        "tests/test_replica.py::test_another_tills_live_client_id_hides_no_sale",
    ),
    Mutant(
        "no-new-run-for-foreign-entries", "a till that went back signs where it stands", WRITER,
        "            self._new_run = True\n", "",
        "tests/test_replica.py::test_a_till_restored_from_an_older_copy_counts_on_from_what_is_vouched_for",
    ),
    Mutant(
        "removed-members-write", "what comes after a removal is held", STATUS,
        "            elif removed and not is_vouched:\n", "            elif False:\n",
        "tests/core/test_members.py::test_what_lies_behind_the_points_of_a_removal_counts_and_what_lies_beyond_is_held",
    ),
    Mutant(
        "went-on-after-a-failed-disk", "after an I/O error the process ends", ENGINE,
        "        self._broken = error\n        self._fail_all(", "        self._fail_all(",
        "tests/sync/test_engine.py::test_after_an_error_that_says_nothing_is_known_nothing_goes_on",
    ),
    Mutant(
        "forwards-to-nobody", "tills sync transitively", "posline/sync/sending.py",
        "        live = not sending.catching_up and self.windowed and row.origin != self._replica.store_id\n",
        "        live = not sending.catching_up and self.windowed and row.origin != self._replica.store_id\n        if live:\n            return\n",
        "tests/sync/test_hub.py::test_what_one_life_of_a_till_sells_reaches_its_other_life_through_a_third",
    ),
    Mutant(
        "origin-unchecked", 'an element leans only on what is here', UPDATE,
        '            elif at >= known.get(of, 0):\n                raise Hole',
        '            elif at >= known.get(of, 0) + 3:\n                raise Hole',
        SPOILT,
    ),
    Mutant(
        "not-utf8", 'only whole UTF-8 passes', UPDATE,
        '        if not all(map(_starts_whole, strings)):\n',
        '        if not strings:\n',
        SPOILT,
    ),
    Mutant(
        "larger-than-64-kib", 'one message never keeps a slow line busy for long', UPDATE,
        '    if len(update) > MAX_UPDATE_BYTES:\n',
        '    if len(update) > 4 * MAX_UPDATE_BYTES:\n',
        "tests/core/test_update.py::test_limits_hold_at_below_and_above",
    ),
    Mutant(
        "true-is-an-amount", 'money is a whole number', "posline/core/checks.py",
        'return type(value) is int and 0 <= value <= MAX_MONEY',
        'return isinstance(value, int) and 0 <= value <= MAX_MONEY',
        SPOILT,
    ),
    Mutant(
        "tax-about-right", 'tax follows from the rate to the minor unit', "posline/core/sales.py",
        'elif tax != round_half_up(numerator, denominator):',
        'elif abs(tax - round_half_up(numerator, denominator)) > 1:',
        SPOILT,
    ),
    Mutant(
        "key-twice", 'an entry means the same to every reader', "posline/core/entry.py",
        'if len(found) != len(pairs):',
        'if len(found) > len(pairs):',
        SPOILT,
    ),
    Mutant(
        "any-depth", 'an entry is at most 16 deep', "posline/core/entry.py",
        'if deepest > MAX_DEPTH:',
        'if deepest > 100 * MAX_DEPTH:',
        SPOILT,
    ),
    Mutant(
        "answered-twice", 'each update is answered once', LINK,
        '            self._say(SyncStatus(answer.document, answer.applied))\n',
        '            self._say(SyncStatus(answer.document, answer.applied))\n            if not answer.applied:\n                self._say(SyncStatus(answer.document, False))\n',
        SPOILT,
    ),
    Mutant(
        "rounding-in-the-net", "a day's net is its sales less what came back", "posline/storage/day.py",
        '            "net": figures["net"],\n',
        '            "net": figures["net"] + figures["rounding"],\n',
        REQUESTS,
    ),
    Mutant(
        "lost-log-unnoticed", 'a till whose last commits are gone says so', "posline/storage/soundness.py",
        'if ran and not log.there:',
        'if False:',
        "tests/till/test_salvaging.py::test_lost_commits_are_noticed_and_people_are_told_until_they_have_seen_it",
    ),
    Mutant(
        "full-disk-spins", 'a full disk keeps no till from its end', ENGINE,
        'if not await self._commit(batch) and not batch:',
        'if not await self._commit(batch) and False:',
        "tests/sync/test_engine.py::test_notes_that_find_no_room_wait_and_keep_nobody",
    ),
    Mutant(
        "document-kept-for-ever", 'what is let go of is freed', "posline/core/document.py",
        '            self._doc.unobserve(subscription)\n',
        '            pass\n',
        "tests/core/test_document.py",
    ),
]  # fmt: skip
