"""Who may do what at a till: cashiers with their PINs, permissions by role, and somebody else's approval.

Cashiers are shared settings, so each till knows them without a line. Nobody needs a PIN to sell: one is asked for only
where the shop has restricted something, and then of whoever does it or of a second person who approves.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from posline.core.checks import MAX_TEXT
from posline.core.faults import Faults
from posline.core.people import (
    CASHIER,
    LANGUAGES,
    MANAGER,
    MEMBERS,
    ROLES,
    SETTINGS,
    Cashier,
    cashier_of,
    exceeded,
    pin_hash,
    pin_matches,
    rank,
    read_limits,
    read_permissions,
)
from posline.core.pricing import PricedSale
from posline.errors import BadRequest, NotAllowed, NotFound
from posline.till.session import Sessions, proven
from posline.till.shared import may_manage
from posline.till.terms import ENFORCE_LIMIT, LIMITS, REQUIRE_CUSTOMER

if TYPE_CHECKING:
    from posline.till.till import Till

__all__ = ["CASHIER_SETTING", "PERMISSIONS", "People", "approval"]

CASHIER_SETTING = "cashier:"  # before a name: the shared setting that describes a cashier
PERMISSIONS = "permissions"  # the shared setting with the least role for an action
TRIES = 5  # wrong PINs in a row before a name has to wait
WAIT_S, WAIT_MAX_S = 30, 600
SALT_BYTES = 16
NAMES_MAX = 200  # cashiers of a shop
NAME_MAX = MAX_TEXT - len(CASHIER_SETTING)  # characters of a cashier's name, so that the setting's is one too


class People:
    """A till's view of its shop's cashiers, and how often somebody guessed wrong here."""

    def __init__(self, till: Till) -> None:
        self._till = till
        self.sessions = Sessions(till)
        self.wrong: dict[str, tuple[int, int]] = {}  # name -> wrong PINs in a row, when the next may be tried

    # -- cashiers ------------------------------------------------------------------------------------------------------

    def listed(self) -> list[Cashier]:
        """Everybody who rings or rang here, by name."""
        found = (cashier_of(value) for _, value in self._till.reports.settings(CASHIER_SETTING))
        return sorted((cashier for cashier in found if cashier is not None), key=lambda c: c.name)

    def cashier(self, name: str) -> Cashier | None:
        """A cashier by name, or None."""
        return cashier_of(self._till.reports.setting(CASHIER_SETTING + name)) if name else None

    async def save(self, name: str, request: Mapping[str, Any]) -> Cashier:
        """Make or change a cashier: {role?, pin?, active?, language?}; what is not given stays. Raises BadRequest, and
        NotAllowed where this till is no manager."""
        may_manage(self._till)
        faults = Faults()
        fields = faults.fields("", request, frozenset({"role", "pin", "active", "language"}))
        if len(faults.text("name", name)) > NAME_MAX:
            faults.add("name", f"must be a text of 1 to {NAME_MAX} characters")
        now = self.cashier(name)
        if now is None and len(self.listed()) >= NAMES_MAX:
            faults.add("name", f"would be one cashier more than the {NAMES_MAX} that a shop may have")
        now = now or Cashier(name)
        role, active = fields.get("role", now.role), fields.get("active", now.active)
        language, pin = fields.get("language", now.language), fields.get("pin")
        for field, value, known in (("role", role, ROLES), ("language", language, LANGUAGES)):
            if value not in known:
                faults.add(field, f"must be one of {', '.join(known)}")
        if type(active) is not bool:
            faults.add("active", "must be true or false")
        faults.raise_any()
        kept = now.pin
        if pin is not None:
            kept = await self._hash(pin)
        value = {"name": name, "role": role, "pin": kept, "active": active, "language": language}
        await self._till.write("setting", {"name": CASHIER_SETTING + name, "value": value}, document="shop")
        self.wrong.pop(name, None)
        return Cashier(name, role, kept, active, language)

    async def _hash(self, pin: object) -> str:
        if pin == "":
            return ""
        salt = self._till.clockwork.random.getrandbits(8 * SALT_BYTES).to_bytes(SALT_BYTES, "big")
        try:
            return await asyncio.to_thread(pin_hash, str(pin) if isinstance(pin, str) else "", salt)
        except ValueError as error:
            raise BadRequest.of("pin", f"{error}, as a text; empty for none") from error

    @property
    def limited(self) -> bool:
        """Whether the shop has limits for what is sold."""
        return self._till.terms.limited

    # -- rights --------------------------------------------------------------------------------------------------------

    async def allow(self, action: str, request: Mapping[str, Any]) -> str:
        """Let `action` pass, which `request` asks for as {by?, pin?, approve?: {by, pin}}; the name of who approved it,
        "" where it needed nobody. Raises NotAllowed, BadRequest."""
        least = self._least(action)
        return await self._who(request, lambda role: rank(role) >= rank(least), f"{action}: this needs a {least}")

    def let_read(self, action: str) -> None:
        """As `allow`, for what is asked by GET, which has no body to put a PIN in: by the request's session alone."""
        if self.may_read(action):
            return
        least = self._least(action)
        raise NotAllowed(
            f"{action}: this needs a {least}. Sign in with a PIN first (POST /api/session {{'by': name, 'pin': PIN}}): "
            f"{self._able(lambda role: rank(role) >= rank(least))} can"
        )

    def may_read(self, action: str) -> bool:
        """Whether the request's session, or nobody's, is enough for what is asked by GET."""
        least, seated = self._least(action), proven()
        return least == CASHIER or (seated is not None and rank(seated.role) >= rank(least))

    def _least(self, action: str) -> str:
        """The least role for an action. Where the shop says nothing it is anybody's, but for letting tills in, which
        is a manager's as soon as one has a PIN to say so with."""
        permissions, _ = read_permissions(self._till.reports.setting(PERMISSIONS) or {})
        if action == MEMBERS and action not in permissions:
            return MANAGER if self._provable(MANAGER) else CASHIER
        return permissions.get(action, CASHIER)

    def _provable(self, least: str) -> bool:
        """Whether there is anybody to prove that they have this role, or a higher one."""
        return any(c.active and c.pin and rank(c.role) >= rank(least) for c in self.listed())

    async def allow_person(self, name: str, request: Mapping[str, Any]) -> None:
        """Let a cashier be made or changed: a setting, and nobody makes somebody of a role, or changes who has it, that
        they could not prove themselves; the first one of a role is anybody's to make. Raises NotAllowed."""
        await self.allow(SETTINGS, request)
        now = self.cashier(name)
        roles = [now.role if now is not None else CASHIER, request.get("role")]
        least = max((role for role in roles if role in ROLES), key=rank)
        await self._of_role(least, request, f"{name}: to make or change a {least} needs a {least}")

    async def allow_setting(self, name: str, request: Mapping[str, Any]) -> str:
        """As `allow`, for a setting. What restricts somebody already is not lifted by those whom it restricts: unless
        the permission `settings` says who may, it takes the highest role that anybody can prove."""
        approved = await self.allow(SETTINGS, request)
        standing = self._till.reports.setting(name) if name in (PERMISSIONS, LIMITS) else None
        if not standing or SETTINGS in read_permissions(self._till.reports.setting(PERMISSIONS) or {})[0]:
            return approved
        least = max((role for role in ROLES if self._provable(role)), key=rank, default=CASHIER)
        return await self._of_role(least, request, f"{name}: to change what stands needs a {least}") or approved

    async def _of_role(self, least: str, request: Mapping[str, Any], what: str) -> str:
        """Who proved to have at least this role; "" where nobody could, and whoever is there may."""
        if not self._provable(least):
            return ""
        return await self._who(request, lambda role: rank(role) >= rank(least), what)

    def _able(self, enough: Callable[[str], bool]) -> str:
        """Who could, in words."""
        names = ", ".join(c.name for c in self.listed() if c.active and c.pin and enough(c.role))
        return names[:200] or "nobody here yet"

    async def allow_sale(self, request: Mapping[str, Any], priced: PricedSale) -> str:
        """As `allow`, for a sale: whether it is within a cashier's limits, or those of the role of whoever proves it. A
        name in `by` proves nothing: anybody can write a supervisor's."""
        limits, _ = read_limits(self._till.reports.setting(LIMITS) or {})
        setting = self._till.reports.setting
        lent = self._till.books.beyond(
            priced, named=setting(REQUIRE_CUSTOMER) is True, limited=setting(ENFORCE_LIMIT) is True
        )
        cashier = self.cashier(priced.by)
        role = cashier.role if cashier is not None and cashier.active else CASHIER
        own, least = (exceeded(priced, limits.get(name, {})) for name in (role, CASHIER))
        beyond = own or least or lent
        if beyond is None:
            return ""

        def enough(role: str) -> bool:
            return exceeded(priced, limits.get(role, {})) is None and (lent is None or rank(role) > rank(CASHIER))

        return await self._who(request, enough, beyond)

    async def _who(self, request: Mapping[str, Any], enough: Callable[[str], bool], what: str) -> str:
        """The name of who may do it and proved it, by a PIN or by the request's session; "" where anybody may."""
        if enough(CASHIER):
            return ""
        for person in (request.get("approve"), request):
            if not isinstance(person, Mapping) or person.get("pin") is None:
                continue
            name = person.get("by")
            cashier = self.cashier(name) if isinstance(name, str) else None
            if cashier is not None and enough(cashier.role):
                await self.check(cashier.name, person.get("pin"))
                return cashier.name
        seated = proven()
        if seated is not None and enough(seated.role):
            return seated.name
        raise NotAllowed(
            f"{what}. Have it approved with a PIN ('approve': {{'by': name, 'pin': PIN}}): {self._able(enough)} can"
        )

    async def check(self, name: str, pin: object) -> Cashier:
        """The cashier with this name and PIN. After some wrong ones in a row the name must wait. Raises NotFound,
        NotAllowed."""
        cashier = self.cashier(name)
        if cashier is None or not cashier.active:
            raise NotFound(f"no cashier is called {name[:60]!r}")
        if not cashier.pin:
            raise NotAllowed(f"{name} has no PIN: set one with 'posline cashier set {name} --pin PIN'")
        now = self._till.clockwork.monotonic_ms()
        wrong, next_ms = self.wrong.get(name, (0, 0))
        if now < next_ms:
            raise NotAllowed(f"too many wrong PINs for {name}: wait {-(-(next_ms - now) // 1000)} seconds")
        # counted before it is looked at: many tries at once are not one try
        wait_s = 0 if wrong + 1 < TRIES else min(WAIT_S << min(wrong + 1 - TRIES, 10), WAIT_MAX_S)
        self.wrong[name] = wrong + 1, now + wait_s * 1000
        if not isinstance(pin, str) or not await asyncio.to_thread(pin_matches, pin, cashier.pin):
            raise NotAllowed(f"this is not {name}'s PIN")
        self.wrong.pop(name, None)
        return cashier


async def approval(till: Till, action: str, request: Mapping[str, Any]) -> dict[str, str]:
    """Who let `action` pass, as an entry names them: {approved: name}, or {}. What is recorded already was let pass
    before. Raises NotAllowed."""
    if till.recording.knows(request):
        return {}
    name = await till.people.allow(action, request)
    return {"approved": name} if name else {}
