"""One Yjs document in memory, through pycrdt: add-only, one array of strings an author.

A document is loaded under a fresh client id each time, so that no two processes, and no two lives of one, ever write
under the same Yjs clock. What it emits is what was newly integrated. It is only ever fed what the reader
(`posline.core.update`) has let through, in slices of at most 256 elements, and checked to have done what the reader
foretold.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pycrdt import Array, Doc, TransactionEvent

from posline.core.update import EMPTY, MAX_UPDATE_ELEMENTS, Read, StateVector, decode_state
from posline.errors import Mismatch, Unloadable

__all__ = ["Document", "lone_update"]


class Document:
    """One document. Any Mismatch leaves it in an unknown state: drop it and load another."""

    def __init__(self, client_id: int) -> None:
        """`client_id` is a fresh random number of up to 53 bits."""
        self.client_id = client_id
        self._doc: Doc[Array[str]] = Doc(client_id=client_id)
        self._roots: dict[str, Array[str]] = {}

    def load(self, updates: Iterable[bytes]) -> None:
        """Apply rows of the log, each of at most 256 elements. Raises Unloadable."""
        for update in updates:
            try:
                self._apply(update)
            except Mismatch as error:
                raise Unloadable(f"a document cannot be loaded: {error}") from error

    def append(self, author: str, elements: Sequence[str]) -> bytes:
        """Append to the author's array in one transaction; returns the update that brings it to others."""
        if not 0 < len(elements) <= MAX_UPDATE_ELEMENTS:
            raise ValueError(f"{len(elements)} elements in one transaction: 1 to {MAX_UPDATE_ELEMENTS} may be")
        root = self._roots.get(author)
        if root is None:
            root = self._roots[author] = self._doc.get(author, type=Array)
        emitted: list[bytes] = []

        def note(event: TransactionEvent) -> None:
            emitted.append(bytes(event.update))

        # for this transaction alone: a document that is observed is held by its observer, and never freed
        subscription = self._doc.observe(note)
        try:
            if len(elements) == 1:
                root.append(elements[0])
            else:
                root.extend(list(elements))
        except BaseException as error:  # pycrdt's PanicException is a BaseException
            raise _mismatch(error) from error
        finally:
            self._doc.unobserve(subscription)
        if len(emitted) != 1:
            raise Mismatch(f"an append emitted {len(emitted)} updates instead of one")
        return emitted[0]

    def apply(self, update: bytes, read: Read) -> None:
        """Apply a received update. Raises Mismatch when the clocks do not advance by exactly what was read."""
        wanted = self.state | read.after
        self._apply(update)
        if self.state != wanted:
            raise Mismatch("the document's clocks did not advance by what the update holds")

    def _apply(self, update: bytes) -> None:
        if update == EMPTY:
            return
        try:
            self._doc.apply_update(update)
        except BaseException as error:
            raise _mismatch(error) from error

    @property
    def state(self) -> StateVector:
        """The state vector, what is staged included."""
        return decode_state(bytes(self._doc.get_state()))

    def elements(self, author: str) -> list[str]:
        """An author's array, as any Yjs client would show it."""
        return list(self._doc.get(author, type=Array))


def _mismatch(error: BaseException) -> BaseException:
    if isinstance(error, KeyboardInterrupt | SystemExit | MemoryError):
        return error
    return Mismatch(f"the document could not take the update ({type(error).__name__}: {error})")


def lone_update(client_id: int, author: str, elements: Sequence[str]) -> bytes:
    """The update that appends `elements` under a client id used for nothing else, without loading a document."""
    return Document(client_id).append(author, elements)
