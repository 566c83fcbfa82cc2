"""What the outbox needs of the device that files: its author, its ledger, a pen, a clock, a die and a token.

A till has all of these, and whatever else holds a replica that writes may: nothing here knows a till.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from posline.core.fiscal import Contact, FiscalSetting, read_setting
from posline.core.fiscal_invoice import address_of
from posline.errors import BadRequest, PoslineError
from posline.storage.filed import Filed, FiledReports
from posline.storage.store import Store
from posline.till.fiscal.token import origin_of
from posline.writer import Random

__all__ = ["SETTING", "Desk", "filing_fields", "setting_of"]

log = logging.getLogger("posline.fiscal")

SETTING = "fiscal"  # the shared setting; `fiscal:<author>` is one till's own, where each has a registration of its own
CONTACT = "fiscal contact"  # where it is kept since when the service is not reachable, or is again
TOKENS = ("fbr_di",)  # services that take nothing without a token, wherever they answer


def setting_of(filed: FiledReports, author: str) -> Any:
    """The value of the setting that holds for what `author` sells and files."""
    own = filed.reports.setting(f"{SETTING}:{author}")
    return own if own is not None else filed.reports.setting(SETTING)


def filing_fields(filed: Filed, heads: tuple[str, ...], adapter: str, filer: str, **said: Any) -> dict[str, Any]:
    """The fields of a `filing` entry about `filed` that follows the steps `heads`; what is empty is left out."""
    fields: dict[str, Any] = {
        "sale": filed.id, "of": filed.hash.hex(), "usin": filed.usin, "adapter": adapter, "filer": filer,
    }  # fmt: skip
    said["errors"] = list(said.get("errors", ()))
    if heads:
        fields["after"] = list(heads)
    return fields | {name: value for name, value in said.items() if value}


@dataclass
class Desk:
    """Where filing is done. `write(fields)` records one `filing` entry and returns once it is on the disk; `token()`
    gives the token and the origin that it is for."""

    store: Store
    shop: str
    author: str
    write: Callable[[Mapping[str, Any]], Awaitable[None]]
    token: Callable[[], tuple[str, str]]
    wall_ms: Callable[[], int]
    monotonic_ms: Callable[[], int]
    random: Random

    def __post_init__(self) -> None:
        self.filed = FiledReports(self.store, self.shop)
        # the shop's edition as of which it was read; the setting; what is wrong with it. Changed at once: several
        # threads ask
        self._read: tuple[int, FiscalSetting | None, str] = (-1, None, "")

    @property
    def fault(self) -> str:
        """What is wrong with the setting, "" when nothing; as of when it was last asked for."""
        return self._read[2]

    def setting(self) -> FiscalSetting | None:
        """The setting as it holds here; None where filing is off, or is set up wrongly (`fault` says why)."""
        edition = self.store.edition(self.shop)
        read_at, setting, _ = self._read
        if edition != read_at:
            fault = ""
            try:
                setting = read_setting(setting_of(self.filed, self.author))
            except BadRequest as error:
                setting, fault = None, f"the setting fiscal is wrong: {error}"
                log.warning("%s", fault)
            self._read = (edition, setting, fault)
        return setting

    def token_for(self, setting: FiscalSetting) -> tuple[str, str]:
        """(the token that may be shown to the service, why it lacks one or "")."""
        address = address_of(setting)
        try:
            token, origin = self.token()
        except PoslineError as error:
            return "", str(error)
        needed = setting.adapter in TOKENS or setting.cloud
        if token and origin != origin_of(address):
            if not needed:
                return "", ""
            return "", f"the token here is for {origin}, and the setting names {origin_of(address)}: set it again"
        return token, "no token is set here: 'posline fiscal token set'" if needed and not token else ""

    @property
    def contact(self) -> Contact:
        """How the service was last reached."""
        kept = self.store.get_meta(CONTACT)
        return Contact(*kept) if isinstance(kept, list) and len(kept) == 2 else Contact()

    def reached(self, *, yes: bool) -> None:
        """Keep whether the service was reached just now."""
        before, now = self.contact, self.wall_ms()
        after = before.reached(now) if yes else before.missed(now)
        if after != before:
            self.store.set_meta(CONTACT, [after.down_ms, after.restored_ms])
