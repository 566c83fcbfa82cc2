"""A document in memory: what it emits, and that it is gone when it is let go."""

from __future__ import annotations

import gc
import weakref

from posline.core.document import Document
from posline.core.update import read_update

ROOT = "a" * 26


def test_each_append_emits_what_it_added_and_nothing_else() -> None:
    document, other = Document(7), Document(8)
    brought = other.append(ROOT, ["theirs"])
    document.load([brought])
    assert read_update(document.append(ROOT, ["one"]), other.state).elements == (b"one",)
    document.apply(again := other.append(ROOT, ["more"]), read_update(again, document.state))
    assert read_update(document.append(ROOT, ["two", "three"]), document.state | {7: 1}).elements == (b"two", b"three")


def test_a_document_that_is_let_go_is_freed_with_all_it_holds() -> None:
    document = Document(7)
    document.load([Document(8).append(ROOT, ["loaded"])])
    document.append(ROOT, ["appended"])
    held = weakref.ref(document), weakref.ref(document._doc)
    del document
    gc.collect()
    assert [each() for each in held] == [None, None], "each day's document would stay in memory for good"
