"""A stock Yjs document, pycrdt and the reader show the same entries for the same updates."""

from __future__ import annotations

import base64
import json
import random
import subprocess

from posline.core.document import Document
from posline.core.segment import elements, squash
from posline.core.update import MAX_UPDATE_BYTES, MAX_UPDATE_ELEMENTS, StateVector, clip, decode_state, read_update
from tests.stock import stock_folder

ROOTS = ["a" * 26, "b" * 26]


def shown_by_yjs(deliveries: list[list[bytes]]) -> list[dict[str, object]]:
    """What fresh Yjs documents show after each of these deliveries."""
    lines = [json.dumps([[base64.b64encode(u).decode() for u in updates], ROOTS]) for updates in deliveries]
    done = subprocess.run(
        ["node", str(stock_folder() / "view.mjs")],
        input="\n".join(lines),
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def log_of(seed: int) -> list[bytes]:
    """A log in commit order: two authors, forks and restarts under fresh client ids, live and in batches."""
    rng = random.Random(seed)
    lives = [Document(rng.getrandbits(53)) for _ in range(3)]
    log: list[bytes] = []
    for step in range(120):
        at = rng.randrange(3)
        if rng.random() < 0.05:
            lives[at] = Document(rng.getrandbits(53))
            lives[at].load(log)
        elif rng.random() < 0.3:
            for life in lives:
                for update in log:
                    if read_update(update, life.state).after:
                        life.load([update])
        texts = [f"{seed}/{step}/{i} شاپ" for i in range(rng.choice((1, 1, 1, 4)))]
        log.append(lives[at].append(ROOTS[at % 2], texts))
    return log


def test_yjs_pycrdt_and_the_reader_show_the_same_entry_for_entry() -> None:
    deliveries: list[list[bytes]] = []
    expected: list[dict[str, list[str]]] = []
    for seed in range(12):
        log = log_of(seed)
        squashed = [update for update, _ in squash(log)]
        state: StateVector = {}
        document = Document(1)
        read_out: list[bytes] = []
        for update in squashed:
            assert len(update) <= MAX_UPDATE_BYTES
            read = read_update(update, state)
            assert read.strings <= MAX_UPDATE_ELEMENTS
            document.apply(update, read)
            state |= read.after
            read_out += read.elements
        arrays = {root: document.elements(root) for root in ROOTS}
        assert sorted(read_out) == sorted(text.encode() for texts in arrays.values() for text in texts)
        assert sorted(e for u in squashed for e in elements(u)) == sorted(read_out)
        known = dict(list(state.items())[:2])
        shuffled = list(log)
        random.Random(seed).shuffle(shuffled)
        clipped = [u for u in (clip(s, known) for s in squashed) if u != b"\0\0"]
        for delivery in (log, squashed, squashed + log, [*log, *shuffled], [*squashed, *clipped]):
            deliveries.append(delivery)
            expected.append(arrays)
    shown = shown_by_yjs(deliveries)
    assert [view["arrays"] for view in shown] == expected
    assert not any(view["pending"] for view in shown)


def test_a_squashed_log_is_smaller_than_its_rows_and_the_same_document() -> None:
    document = Document(3)
    log = [document.append(ROOTS[0], [f"entry {i}"]) for i in range(1000)]
    segments = squash(log)
    assert sum(count for _, count in segments) == 1000
    assert len(segments) == 4 and sum(len(u) for u, _ in segments) < sum(map(len, log)) * 0.6
    again = Document(4)
    again.load([update for update, _ in segments])
    assert again.elements(ROOTS[0]) == document.elements(ROOTS[0])
    assert again.state == document.state == decode_state(bytes(document._doc.get_state()))
