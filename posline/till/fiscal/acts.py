"""What a person says of filing: how it is set up, what became of a sale that may have been filed, who files it now.

A sale that may have been filed leaves that state by nothing else than the service's word, or a person's who looked.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from posline.core.checks import MAX_TEXT
from posline.core.fiscal import FiscalSetting, State, read_setting
from posline.core.fiscal_invoice import address_of
from posline.core.members import Role
from posline.core.numbers import AUTHOR
from posline.errors import Ambiguous, BadRequest, NotAllowed, NotFound, NotPossible
from posline.storage.filed import Filed
from posline.till.fiscal.desk import SETTING, filing_fields
from posline.till.fiscal.token import origin_of, remove_token, save_token
from posline.till.fiscal.view import filed_dict

if TYPE_CHECKING:
    from posline.till.till import Till

__all__ = ["forget_token", "keep_token", "release", "resolve", "set_up"]

OPEN = (State.QUEUED, State.SENDING, State.REJECTED, State.UNKNOWN)


async def resolve(till: Till, wanted: str, *, number: str | None, why: str = "", by: str = "") -> dict[str, Any]:
    """A person looked at the service: it has the sale under `number`, or (None) does not have it, so that it is queued
    again. Only for what needs reconciliation. Raises NotFound, Ambiguous, NotPossible, BadRequest."""
    filed = _one(till, wanted)
    stands = till.fiscal.filed.stands(filed)
    if stands.state is State.SENDING and stands.filer == till.id and not till.fiscal.outbox.running:
        pass  # cut off, and nobody sends at present
    elif stands.state is not State.UNKNOWN:
        raise NotPossible(f"it is {stands.state}: only what needs reconciliation is resolved")
    if number is not None and not 0 < len(number.strip()) <= MAX_TEXT:
        raise BadRequest.of("number", f"is the service's number, 1 to {MAX_TEXT} characters")
    said = {"state": "released"} if number is None else {"state": "accepted", "number": number.strip()}
    fields = filing_fields(
        filed, stands.heads, stands.adapter, stands.filer, code="person", why=_words("why", why), **said
    )
    await _write(till, fields, by)
    return _shown(till, filed)


async def release(
    till: Till, wanted: str, *, filer: str = "", not_sent: bool = False, why: str = "", by: str = ""
) -> dict[str, Any]:
    """Queue again what was rejected, once it is mended; or give what waits to another filer, where its own is lost.

    By a manager. `filer` is a till's label or id, by default whoever is set to file now. What waits is given away where
    its filer has left the shop; what needs reconciliation is not, before that. `not_sent` says that a person made sure
    that the service has it not, for a filer that is lost and still a member, or that was sending when it was lost.
    Raises NotAllowed, NotFound, Ambiguous, NotPossible, BadRequest.
    """
    _need_rank(till)
    filed = _one(till, wanted)
    stands = till.fiscal.filed.stands(filed)
    setting = till.fiscal.desk.setting()
    to = _filer(till, filer) if filer else setting.filer if setting is not None else stands.filer
    adapter = setting.adapter if setting is not None else stands.adapter
    members = till.store.members(till.shop_id)
    if to not in members:
        raise BadRequest.of("filer", f"{to[:40]!r} is no member of this shop")
    if stands.state not in OPEN:
        raise NotPossible(f"it is {stands.state}: there is nothing to file")
    if stands.state is State.UNKNOWN and not not_sent:
        raise NotPossible("it may have been filed: look at the service first, then 'posline fiscal resolve'")
    if stands.state in (State.QUEUED, State.SENDING) and not not_sent:
        if stands.filer in members:
            label = till.watch.label(stands.filer)
            raise NotPossible(
                f"till {label} files it, and may be sending it at this moment. If {label} is lost for good, look "
                "whether the service has the sale; where it has not, say --not-sent"
            )
        if stands.state is State.SENDING:
            raise NotPossible("its filer was sending it when it was lost: look at the service, then say --not-sent")
    fields = filing_fields(filed, stands.heads, adapter, to, state="released", code="person", why=_words("why", why))
    await _write(till, fields, by)
    return _shown(till, filed)


async def set_up(till: Till, value: Any, *, own: bool = False) -> dict[str, Any]:
    """Set how this shop files, or (`own`) this till alone; None or "off" turns it off. A `filer` that is left out is
    this till. By a manager. Raises NotAllowed, BadRequest."""
    _need_rank(till)
    if value in (None, "off", {}):
        value = {"adapter": "off"}
    if isinstance(value, dict) and value.get("adapter") != "off":
        value = {"filer": till.id, **value}
        setting = read_setting(value)
        assert setting is not None
        if setting.filer not in till.store.members(till.shop_id):
            raise BadRequest.of("fiscal.filer", f"{setting.filer} is no member of this shop")
    else:
        read_setting(value)
    if len(json.dumps(value)) > 16_000:
        raise BadRequest.of("fiscal", "is longer than a setting may be")
    name = f"{SETTING}:{till.id}" if own else SETTING
    await till.write("setting", {"name": name, "value": value}, document="shop")
    till.fiscal.outbox.retry()
    return till.fiscal.status()


def keep_token(till: Till, token: str) -> dict[str, Any]:
    """Keep the service's token here, in a file of this folder alone. Raises NotPossible, BadRequest."""
    setting = _set(till)
    save_token(till.folder.path, token, origin := origin_of(address_of(setting)))
    till.fiscal.outbox.retry()
    return {"token": True, "for": origin}


def forget_token(till: Till) -> dict[str, Any]:
    """Forget the token."""
    return {"token": False, "removed": remove_token(till.folder.path)}


# ----------------------------------------------------------------------------------------------------------------------


def _set(till: Till) -> FiscalSetting:
    setting = till.fiscal.desk.setting()
    if setting is None:
        raise NotPossible("filing is off: say first with which service, by 'posline fiscal set'")
    return setting


def _need_rank(till: Till) -> None:
    own = till.store.members(till.shop_id).get(till.id)
    if own is None or own.role is not Role.MANAGER:
        raise NotAllowed("this till is no manager: say it at one that is")


def _one(till: Till, wanted: str) -> Filed:
    found = till.fiscal.filed.named(wanted)
    if not found:
        raise NotFound(f"nothing that is filed has the id, receipt or reference {wanted[:60]!r}")
    if len(found) > 1:
        raise Ambiguous(wanted, [filed.hash.hex() for filed in found])
    return found[0]


def _filer(till: Till, wanted: str) -> str:
    if AUTHOR.fullmatch(wanted):
        return wanted
    for author in till.store.members(till.shop_id):
        if till.watch.label(author) == wanted:
            return author
    raise BadRequest.of("filer", f"no till here is called {wanted[:40]!r}")


def _words(field: str, text: str) -> str:
    if len(text) > MAX_TEXT:
        raise BadRequest.of(field, f"is longer than {MAX_TEXT} characters")
    return text


async def _write(till: Till, fields: dict[str, Any], by: str) -> None:
    await till.engine.durable(till.replica.write("filing", fields, by=_words("by", by)))
    till.fiscal.outbox.retry()


def _shown(till: Till, filed: Filed) -> dict[str, Any]:
    again = till.fiscal.filed.by_hash(filed.hash)
    return filed_dict(till.fiscal.filed, again or filed)
