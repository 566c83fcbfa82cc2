"""The head office's register: its shops, and the tokens that were handed out; of those only hashes are kept.

It lies in the folder's settings file, written whole and durably at each change; changes are rare and made by people.
Knows nothing of entries or links.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from posline.errors import NotFound, PoslineError
from posline.storage.folder import Folder
from posline.till.invitation import TOKEN_BYTES, Invitations
from posline.trust.gate import Grant, Scope, token_hash

__all__ = ["Access", "HandedOut", "Register", "RegisteredShop", "ShopNameTwice"]


class ShopNameTwice(PoslineError):
    """Several shops have the name that was asked for."""

    status = 409
    title = "Several shops have this name"


@dataclass(frozen=True, slots=True)
class RegisteredShop:
    """A shop that was attached; `alias` is our own name for it."""

    id: str
    name: str
    attached: str
    alias: str = ""


@dataclass(frozen=True, slots=True)
class HandedOut:
    """A token's meaning: `shop` "" is every shop; `role` read or write; `author` whose entries a writer may bring."""

    shop: str
    role: str
    name: str = ""
    author: str | None = None


@dataclass(frozen=True, slots=True)
class Access:
    """What the bearer of a token may read: every shop, or one. `author` is whose entries it writes, where it may."""

    name: str
    shop: str
    author: str | None = None

    def covers(self, shop: str) -> bool:
        """Whether it opens this shop."""
        return self.shop in ("", shop)


class Register:
    """The register of one folder."""

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        held = folder.settings
        self._shops = {id: RegisteredShop(id, **found) for id, found in held.get("shops", {}).items()}
        self._tokens = {hash: HandedOut(**found) for hash, found in held.get("tokens", {}).items()}

    # -- shops ---------------------------------------------------------------------------------------------------------

    def shops(self) -> list[RegisteredShop]:
        """All shops, by name."""
        return sorted(self._shops.values(), key=lambda shop: (shop.name, shop.id))

    def find(self, wanted: str, covers: Callable[[str], bool] = lambda shop: True) -> RegisteredShop:
        """A shop by its id, or by its name or alias where only one has it, of those that `covers` says are the
        asker's; where none of these has it, any shop's. Raises NotFound, ShopNameTwice."""
        if wanted in self._shops:  # an id goes first: what a shop calls itself is its own choice
            return self._shops[wanted]
        named = [shop for shop in self._shops.values() if wanted and wanted in (shop.name, shop.alias)]
        own = [shop for shop in named if covers(shop.id)]
        named = own or named[:1]
        if len(named) > 1:
            raise ShopNameTwice(
                f"{len(named)} shops are called {wanted!r}: use an id, of {', '.join(s.id for s in named)}"
            )
        if not named:
            raise NotFound(f"no shop {wanted[:60]!r} is attached here: 'posline-relay shop list' shows those that are")
        return named[0]

    def add_shop(self, id: str, name: str, attached: str, alias: str = "") -> RegisteredShop:
        """Attach a shop, or attach it again."""
        shop = RegisteredShop(id, name, attached, alias)
        self._save(shops=self._shops | {id: shop})
        return shop

    # -- tokens --------------------------------------------------------------------------------------------------------

    def hand_out(self, *, shop: str, role: str, name: str = "", author: str | None = None) -> str:
        """A new token, which is shown this once. `shop` "" opens every shop."""
        token = secrets.token_urlsafe(TOKEN_BYTES)
        self._save(tokens=self._tokens | {token_hash(token): HandedOut(shop, role, name, author)})
        return token

    def access(self, token: str) -> Access | None:
        """What `token` opens on the API; None when it is not known."""
        found = self._tokens.get(token_hash(token))
        return None if found is None else Access(found.name, found.shop, found.author)

    def decide(self, shop: str, token: str) -> Grant | None:
        """What a program with `token` may do with the documents of `shop`; None when nothing."""
        found = self._tokens.get(token_hash(token))
        if found is None or found.shop not in ("", shop):
            return None
        if found.role == "write" and found.author:
            return Grant(Scope.WRITER, found.author)
        return Grant(Scope.READER)

    # -- invitations that were made while nobody served ---------------------------------------------------------------

    def leave_invitation(self, token: str, *, ends_ms: int, note: str) -> None:
        """Keep an invitation for the next start."""
        held = self._folder.settings
        held.setdefault("invitations", {})[token_hash(token)] = [ends_ms, note]
        self._folder.save_settings(held)

    def hold_invitations(self, invitations: Invitations, now_ms: int) -> None:
        """Take up what `leave_invitation` left."""
        held = self._folder.settings
        for hash, (ends_ms, note) in held.pop("invitations", {}).items():
            invitations.hold(hash, expires_s=(ends_ms - now_ms) / 1000, note=note)
        self._folder.save_settings(held)

    @property
    def address(self) -> str:
        """Where shops reach this head office, as of its last start; "" before the first."""
        return str(self._folder.settings.get("address", ""))

    def remember_address(self, address: str) -> None:
        """Keep where shops reach this head office, for invitations that are made while it is not running."""
        held = self._folder.settings
        if held.get("address") != address:
            self._folder.save_settings(held | {"address": address})

    # ------------------------------------------------------------------------------------------------------------------

    def _save(
        self, *, shops: dict[str, RegisteredShop] | None = None, tokens: dict[str, HandedOut] | None = None
    ) -> None:
        shops = self._shops if shops is None else shops
        tokens = self._tokens if tokens is None else tokens
        held: dict[str, Any] = self._folder.settings
        held["shops"] = {id: {k: v for k, v in asdict(shop).items() if k != "id"} for id, shop in shops.items()}
        held["tokens"] = {hash: asdict(found) for hash, found in tokens.items()}
        self._folder.save_settings(held)
        self._shops, self._tokens = shops, tokens
