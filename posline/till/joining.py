"""Taking up invitations: a till joins a shop, a shop attaches to a head office.

What an answer brings is written down before anything gives way to it (`Settings.joining`), so that a cut at any point
is finished by the next start (`posline.till.opening`).
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import httpx

from posline.core.numbers import author_id
from posline.core.status import Role
from posline.errors import FolderError, PoslineError
from posline.storage.folder import Folder
from posline.storage.store import Store
from posline.till.admitting import admit, public_key, shop_updates
from posline.till.invitation import Invitation
from posline.till.linking import RELAY_SETTING, relay_token
from posline.till.opening import KEY_SEED_BYTES, base64url
from posline.till.settings import Settings
from posline.trust.keys import Key

if TYPE_CHECKING:
    from posline.till.till import Till

__all__ = ["AskFailed", "attach", "request_membership"]

ANSWER_S = 30.0
HEAD_OFFICE_LABEL = "HQ"
_FOUNDING_KINDS = ("run", "founding", "seal", "setting")


class AskFailed(PoslineError):
    """The other side refused, or could not be reached."""

    title = "The other side did not agree"


async def request_membership(
    folder: Folder, invitation: Invitation, *, label: str, succeeds: str = "", store: Store | None = None
) -> str:
    """Ask to be admitted with this invitation and write down the answer; the next opening of the folder goes by it.

    `store` is the folder's where it is open. Returns the label that was given. Raises AskFailed, and FolderError where
    the folder belongs to a shop already.
    """
    settings = Settings.load(folder)
    key = _key_for(folder, settings, invitation, store)
    body = {"token": invitation.token, "key": base64url(key.public), "label": label, "succeeds": succeeds}
    answer = await _post(invitation.url, body)
    if answer.get("shop") != invitation.of:
        raise AskFailed("the answer is not from the shop that the invitation names: ask for a new one")
    settings.joining = {
        "shop": answer["shop"],
        "name": answer["name"],
        "token": answer["token"],
        "from": answer["from"],
        "updates": answer["updates"],
        "peers": list(dict.fromkeys([invitation.sync_url, *answer["peers"]])),
    }
    settings.save(folder)
    return str(answer["label"])


def _key_for(folder: Folder, settings: Settings, invitation: Invitation, opened: Store | None) -> Key:
    """The key to be admitted: this till's own where it was restored into that shop, else a fresh one, kept from the
    first try on so that a lost answer can be asked for again."""
    if settings.shop and folder.key.exists():
        own = Key.load(folder.key)
        store = opened or Store.open(folder.database)
        try:
            if settings.shop == invitation.of:
                if own.id in store.members(settings.shop):
                    raise FolderError("this till is a member of that shop already: start it with 'posline till'")
                return own
            _check_fresh(store, folder, settings.shop, own.id)
        finally:
            if opened is None:
                store.close()
    elif folder.database.exists():
        raise FolderError(f"{folder.path} holds data without its key: name an empty folder with --data")
    path = folder.path / "key.new"
    if not path.exists():
        Key(secrets.token_bytes(KEY_SEED_BYTES)).save(path)
    return Key.load(path)


def _check_fresh(store: Store, folder: Folder, shop: str, own: str) -> None:
    """Refuse to give up a shop in which anything was done."""
    marks = ",".join("?" * len(_FOUNDING_KINDS))
    row = store.read.execute(
        f"SELECT count(*) FROM entry WHERE shop = ? AND (author <> ? OR kind NOT IN ({marks}))",
        (store.shop_key(shop), own, *_FOUNDING_KINDS),
    ).fetchone()
    if row[0]:
        raise FolderError(
            f"{folder.path} holds a shop with {row[0]} entries, which joining would take away: name an empty folder "
            "with --data, or take the other tills into this shop with 'posline invite'"
        )


async def attach(till: Till, invitation: Invitation) -> dict[str, Any]:
    """Join the whole shop to the head office that the invitation is from; the other tills learn it by sync.

    Returns {name, url, store}. Raises AskFailed, NotAdmitted.
    """
    body = {
        "token": invitation.token,
        "shop": till.shop_id,
        "name": till.shop,
        "shop_token": relay_token(till.settings.token, invitation.of),
        "updates": shop_updates(till),
    }
    answer = await _post(invitation.url, body)
    key = public_key(str(answer.get("key", "")))
    if author_id(key) != invitation.of:
        raise AskFailed("the answer is not from the head office that the invitation names: ask it for a new one")
    await admit(till, key, role=Role.HEAD_OFFICE, label=HEAD_OFFICE_LABEL)
    # the address is the one in the invitation: what the head office thinks its own is may not lead there from here
    relay = {"url": invitation.sync_url + "/" + till.shop_id, "store": invitation.of}
    if till.reports.setting(RELAY_SETTING) != relay:
        await till.write("setting", {"name": RELAY_SETTING, "value": relay}, document="shop")
    return {"name": str(answer.get("name", "")), **relay}


async def _post(url: str, body: Mapping[str, Any]) -> dict[str, Any]:
    try:
        async with httpx.AsyncClient(timeout=ANSWER_S, trust_env=False) as client:
            answer = await client.post(url, json=body)
            found = answer.json()
    except httpx.HTTPError as error:
        raise AskFailed(f"nobody answers at {url} ({error or type(error).__name__}): is it running there?") from error
    except ValueError as error:
        raise AskFailed(f"what answers at {url} is no Posline") from error
    if answer.status_code >= 300 or not isinstance(found, dict):
        raise AskFailed(str(found.get("detail", "it refused")) if isinstance(found, dict) else "it refused")
    return found
