"""Every failure Posline reports, in one tree.

    PoslineError
    ├── BadRequest        the caller's input breaks a rule: nothing was recorded (422)
    ├── NotFound          no such sale, day or product (404)
    ├── Ambiguous         a receipt or id matches several sales (300)
    ├── NotAllowed        this till may not do that (403)
    ├── Conflict          the id is taken by other content (409)
    ├── NotPossible       as things stand it cannot be done: nothing is left to refund, a shift is open (409)
    ├── CommitFailed      the disk did not take it: nothing was recorded
    │   ├── DiskFull      ... because there is no room (507)
    │   ├── CommitUnknown ... or it did, and its answer was lost: going on is safe, and repeating the same id
    │   └── Overtaken     ... because another process wrote as the same author meanwhile
    ├── DiskFailed        the disk gave an error: the process ends, and is started afresh (503)
    ├── Unavailable       what it needs does not answer for now, and is tried again (503)
    ├── OutcomeUnknown    the till is going down: repeat the same id (503)
    ├── BadEntry          we were about to write an entry that our own rules refuse
    ├── Mismatch          a document did not do what the reader said it would
    │   └── Unloadable    ... since a row of its log is not what was written
    ├── FolderError       the data folder cannot be used
    │   ├── FolderLocked  another till owns it
    │   └── FolderDamaged it is not whole
    └── Refused           a peer sent what may not pass; the link stays up
        └── Hole          ... because something before it is missing here

Each error carries its facts as attributes and turns them into one sentence that says what happened and what to do.
The HTTP layer maps `status` and `title` to a problem document in one place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = [
    "Ambiguous",
    "BadEntry",
    "BadRequest",
    "CommitFailed",
    "CommitUnknown",
    "Conflict",
    "DiskFailed",
    "DiskFull",
    "FieldError",
    "FolderDamaged",
    "FolderError",
    "FolderLocked",
    "Hole",
    "Mismatch",
    "NotAllowed",
    "NotFound",
    "NotPossible",
    "OutcomeUnknown",
    "Overtaken",
    "PoslineError",
    "Refused",
    "Unavailable",
    "Unloadable",
]


class PoslineError(Exception):
    """The root: anything Posline reports. `status` is the HTTP status it maps to, `title` the problem's short name."""

    status = 500
    title = "Something went wrong"


@dataclass(frozen=True, slots=True)
class FieldError:
    """One field of a request that breaks a rule: `field` is a path such as `lines.0.quantity`."""

    field: str
    detail: str


class BadRequest(PoslineError):
    """The input breaks a rule. Nothing was recorded; `errors` names each field."""

    status = 422
    title = "The request is not right"

    def __init__(self, errors: Sequence[FieldError]) -> None:
        self.errors = tuple(errors)
        super().__init__("; ".join(f"{e.field}: {e.detail}" for e in self.errors))

    @classmethod
    def of(cls, field: str, detail: str) -> BadRequest:
        return cls([FieldError(field, detail)])


class NotFound(PoslineError):
    """Nothing here answers to that name."""

    status = 404
    title = "Not found"


class Ambiguous(PoslineError):
    """A receipt or id matches several sales: `ids` lists their element hashes (hex)."""

    status = 300
    title = "Several sales match"

    def __init__(self, wanted: str, hashes: Sequence[str]) -> None:
        self.wanted, self.hashes = wanted, tuple(hashes)
        super().__init__(f"{wanted} matches {len(self.hashes)} sales: choose one of the list")


class NotAllowed(PoslineError):
    """This till may not do that: it is no manager, or no member."""

    status = 403
    title = "Not allowed"


class Conflict(PoslineError):
    """The id is already used for something else."""

    status = 409
    title = "This id is already used"

    def __init__(self, id: str) -> None:
        self.id = id
        super().__init__(f"the id {id} is already recorded with other content: make a new id for what is new")


class NotPossible(PoslineError):
    """As things stand it cannot be done. Nothing was recorded."""

    status = 409
    title = "Not possible as things stand"


class CommitFailed(PoslineError):
    """The disk did not take it: nothing was recorded (but see CommitUnknown), and repeating the same id is safe."""

    status = 503
    title = "Not recorded"

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"nothing was recorded ({reason}); repeat the same id")


class DiskFull(CommitFailed):
    """There is no room on the disk: nothing was recorded."""

    status = 507
    title = "No room on disk"


class CommitUnknown(CommitFailed):
    """The answer of a database was lost, and it could not be asked again in time: the commit stands or not, and
    repeating the same id is safe."""

    title = "Outcome unknown"

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.args = (f"it is not known whether this was recorded ({reason}); repeat the same id",)


class Overtaken(CommitFailed):
    """Another process wrote as the same author meanwhile: nothing was recorded, and the next try goes on behind it."""

    def __init__(self, shop: str) -> None:
        self.shop = shop
        super().__init__("another process of this head office wrote there meanwhile")


class DiskFailed(PoslineError):
    """The disk gave an error, so that what was opened on it can no longer be believed: the process ends, and whoever
    runs it starts it afresh."""

    status = 503
    title = "The disk failed"

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(
            f"the disk failed: {reason}. Start again; if it ends again, put the data folder on a sound disk"
        )


class Unavailable(PoslineError):
    """What this needs does not answer for now, and is tried again by itself."""

    status = 503
    title = "Not available now"


class OutcomeUnknown(PoslineError):
    """The till is going down and cannot tell whether the commit stands: repeat the same id once it is back."""

    status = 503
    title = "Outcome unknown"

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"it is not known whether this was recorded ({reason}); repeat the same id")


class BadEntry(PoslineError):
    """An entry of our own would not pass our own rules; it was not written."""


class Mismatch(PoslineError):
    """A document did not do what the reader foretold; it must be reloaded under a fresh client id."""


class Unloadable(Mismatch):
    """A row of a document's log is not what was written."""


class FolderError(PoslineError):
    """The data folder cannot be used."""

    title = "The data folder cannot be used"


class FolderLocked(FolderError):
    """Another till owns this data folder."""


class FolderDamaged(FolderError):
    """Something in the data folder is missing or not whole."""


class Refused(PoslineError):
    """A peer sent what may not pass. Nothing was applied, and the link stays up."""

    status = 422
    title = "Refused"

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class Hole(Refused):
    """An update leans on elements that are not here yet: the sender should be told what we hold."""
