"""Taking up invitations: a till joins a shop, a shop attaches to a head office.

What an answer brings is written down before anything gives way to it (`Settings.joining`), so that a cut at any point
is finished by the next start (`posline.till.opening`).
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from posline.core.base64url import base64url
from posline.core.members import Role
from posline.core.numbers import author_id
from posline.errors import FolderError, Refused
from posline.storage.folder import Folder
from posline.storage.store import Store
from posline.till.admitting import admit, public_key, shop_updates
from posline.till.asking import AskFailed, ask_first
from posline.till.invitation import Invitation
from posline.till.linking import RELAY_SETTING
from posline.till.opening import KEY_SEED_BYTES, finish_joining, take_updates, written_since_founding
from posline.till.settings import Settings
from posline.trust.keys import Key

if TYPE_CHECKING:
    from posline.till.till import Till

__all__ = ["attach", "request_membership"]

HEAD_OFFICE_LABEL = "HQ"


async def request_membership(
    folder: Folder, invitation: Invitation, *, label: str, succeeds: str = "", store: Store | None = None
) -> str:
    """Ask to be admitted with this invitation and write down the answer; the next opening of the folder goes by it.

    `store` is the folder's where it is open. Returns the label that was given. Raises AskFailed, and FolderError where
    the folder belongs to a shop already.
    """
    settings = Settings.load(folder)
    if settings.joining is not None and settings.joining["shop"] == invitation.of:
        return str(settings.joining.get("label", ""))  # it was answered, and then came a cut
    if settings.joining is not None and store is None and not (folder.path / "key.new").exists():
        # a join that was cut off after its key had taken its place: with another key it would be admitted twice
        finish_joining(folder, settings)
    key = _key_for(folder, settings, invitation, store)
    question = {"token": invitation.token, "key": base64url(key.public), "label": label, "succeeds": succeeds}
    asked, answer = await ask_first(invitation.urls, invitation.pin, question)
    _check_shop(answer, invitation.of, key)
    inviter, where = str(answer["from"]), dict(answer["where"])
    where[inviter] = list(dict.fromkeys([urlsplit(asked).netloc, *where.get(inviter, [])]))
    settings.joining = {
        "shop": answer["shop"],
        "name": str(answer["name"]),
        "from": inviter,
        "updates": answer["updates"],
        "where": where,
        "label": str(answer["label"]),
    }
    settings.save(folder)
    return str(answer["label"])


def _check_shop(answer: Mapping[str, Any], shop: str, key: Key) -> None:
    """Whether the answer is of the shop that the invitation names, and admits this till: a shop's id is the hash of its
    founding, so nobody can put another in its place. Raises AskFailed."""
    store = Store.open(":memory:")
    try:
        sound = answer["shop"] == shop and isinstance(answer["label"], str)
        take_updates(store, shop, answer["updates"], origin=str(answer["from"]))
        for addresses in dict(answer["where"]).values():
            sound = sound and isinstance(addresses, list)
        member = author_id(key.public) in store.members(shop)
    except (KeyError, TypeError, ValueError, AttributeError, Refused) as error:
        raise AskFailed("the answer cannot be read: is the other till's version another one?") from error
    finally:
        store.close()
    if not sound or not member:
        raise AskFailed("the answer is not from the shop that the invitation names: ask for a new one")


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
    written = written_since_founding(store, shop, own)
    if written:
        raise FolderError(
            f"{folder.path} holds a shop with {written} entries, which joining would take away: name an empty folder "
            "with --data, or take the other tills into this shop with 'posline invite'"
        )


async def attach(till: Till, invitation: Invitation) -> dict[str, Any]:
    """Join the whole shop to the head office that the invitation is from; the other tills learn it by sync.

    Returns {name, url, store}. Raises AskFailed, NotAdmitted.
    """
    question = {
        "token": invitation.token, "shop": till.shop_id, "name": till.shop, "updates": shop_updates(till),
    }  # fmt: skip
    asked, answer = await ask_first(invitation.urls, invitation.pin, question)
    key = public_key(str(answer.get("key", "")))
    if author_id(key) != invitation.of:
        raise AskFailed("the answer is not from the head office that the invitation names: ask it for a new one")
    await admit(till, key, role=Role.HEAD_OFFICE, label=HEAD_OFFICE_LABEL)
    # the address is the one in the invitation: what the head office thinks its own is may not lead there from here
    relay = {"url": f"{invitation.sync_url(asked)}/{till.shop_id}", "store": invitation.of}
    if till.reports.setting(RELAY_SETTING) != relay:
        await till.write("setting", {"name": RELAY_SETTING, "value": relay}, document="shop")
    return {"name": str(answer.get("name", "")), **relay}
