"""What the commands of `posline-relay` ask of a head office, whether it runs or is opened for the one command."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from posline.errors import NotFound, NotPossible
from posline.storage.verify import verify
from posline.till.local import Command
from posline.till.report_commands import sheet_of
from relay.hosting.commands import DEVICE_COMMANDS
from relay.number_commands import NUMBER_COMMANDS, actor_of
from relay.office import PAGE, iso_ms
from relay.operations.commands import OPERATION_COMMANDS
from relay.price_commands import PRICE_COMMANDS
from relay.relay import Relay
from relay.rights import Role

__all__ = ["COMMANDS"]


async def invite(relay: Relay, arguments: Mapping[str, Any]) -> Any:
    """A link for `posline attach`."""
    token = relay.invitations.add(
        expires_s=float(arguments["expires_s"]), note=str(arguments.get("shop") or ""), by=actor_of(arguments)
    )
    return {"link": str(relay.invitations.link(token, relay.key.id))}


# -- shops -------------------------------------------------------------------------------------------------------------


async def shop_list(relay: Relay, arguments: Mapping[str, Any]) -> Any:
    """The shops, by name."""
    return {
        "shops": [
            {
                "shop": branch.id,
                "name": branch.name,
                "attached": branch.registered.attached,
                "alias": branch.registered.alias,
            }
            for branch in relay.branches()
        ]
    }


async def shop_rename(relay: Relay, arguments: Mapping[str, Any]) -> Any:
    """{shop, alias}: another name of ours for it; "" leaves it with its own."""
    shop, alias = relay.office.find(arguments["shop"]), str(arguments["alias"])
    relay.office.rename_shop(shop.id, alias, by=actor_of(arguments))
    return {"shop": shop.id, "name": shop.name, "alias": alias}


async def shop_remove(relay: Relay, arguments: Mapping[str, Any]) -> Any:
    """Its tills are refused until it is invited and attached again; what is held of it stays."""
    shop = relay.office.find(arguments["shop"])
    if shop.removed_ms:
        raise NotPossible(f"{shop.name} was removed already, on {iso_ms(shop.removed_ms)}")
    relay.office.remove_shop(shop.id, by=actor_of(arguments))
    return {"shop": shop.id, "name": shop.name}


# -- people ------------------------------------------------------------------------------------------------------------


async def user_add(relay: Relay, arguments: Mapping[str, Any]) -> Any:
    """{name, role?, shops?}: a token with which a person reads by the API what is theirs, and chooses a password; of
    somebody who is known already, one more token."""
    name, asked = str(arguments["name"]), arguments.get("role")
    shops = [relay.office.find(shop).id for shop in arguments.get("shops") or []]
    try:
        person = relay.people.by_name(name)
    except NotFound:
        token = relay.people.add(name, Role(asked or Role.OWNER), shops or None, by=actor_of(arguments))
        return {"user": relay.people.by_name(name).name, "known": False, "token": token}
    if (asked and asked != person.role) or (shops and frozenset(shops) != person.shops):
        raise NotPossible(
            f"{person.name} is known already, as {person.role} and perhaps with other shops: change that on the page "
            "'People', or remove them first"
        )
    return {"user": person.name, "known": True, "token": relay.people.hand_out(person, by=actor_of(arguments))}


async def user_list(relay: Relay, arguments: Mapping[str, Any]) -> Any:
    """Everybody, by name."""
    return {
        "users": [
            {
                "user": person.name,
                "role": person.role.value,
                "shops": None if person.shops is None else sorted(person.shops),
                "password": person.chosen,
                "signed_in": iso_ms(person.seen_ms) if person.seen_ms else None,
            }
            for person in relay.people.listed()
        ]
    }


async def user_remove(relay: Relay, arguments: Mapping[str, Any]) -> Any:
    """{name}: their sessions and tokens end."""
    person = relay.people.by_name(str(arguments["name"]))
    relay.people.remove(person, by=actor_of(arguments))
    return {"user": person.name}


async def user_password(relay: Relay, arguments: Mapping[str, Any]) -> Any:
    """{name}: a token with which they choose a new password."""
    person = relay.people.by_name(str(arguments["name"]))
    return {"user": person.name, "token": relay.people.forget_password(person, by=actor_of(arguments))}


# -- tokens and the audit trail ----------------------------------------------------------------------------------------


async def token_add(relay: Relay, arguments: Mapping[str, Any]) -> Any:
    """A token for a program, for one shop; `note` is what keeps it from being of use, "" for nothing."""
    shop, role, author = relay.office.find(arguments["shop"]), arguments["role"], arguments.get("author") or ""
    name = arguments.get("name") or ""
    token = relay.office.hand_out(shop=shop.id, role=role, name=name, author=author, by=actor_of(arguments))
    note = ""
    if role == "write" and not author:
        note = "no author is named (--author), so this token reads, and writes nothing"
    elif role == "write" and relay.take_up(shop).doors.standing(author) is not None:
        note = f"{author} is no member of the shop, as far as is known here: until it is, this token opens nothing"
    _, _, pin = relay.office.address.partition(" ")
    file, text = (relay.home.root, relay.home.root_pem) if pin else (None, "")
    certificate = {"certificate": None if file is None else str(file), "certificate_pem": text or None}
    return {"shop": shop.id, "role": role, **certificate, "note": note, "token": token}


async def token_list(relay: Relay, arguments: Mapping[str, Any]) -> Any:
    """The tokens that open something, the newest first."""
    return {
        "tokens": [
            {
                "id": token.id,
                "name": token.name,
                "of": "person" if token.person else "program",
                "shop": token.shop or None,
                "role": token.role,
                "bearer": bool(token.bearer),
                "sign_in_until": iso_ms(token.sign_in_ms) if token.sign_in_ms > relay.office.now_ms() else None,
                "made": iso_ms(token.made_ms),
                "used": iso_ms(token.used_ms) if token.used_ms else None,
            }
            for token in relay.office.tokens()
        ]
    }


async def token_revoke(relay: Relay, arguments: Mapping[str, Any]) -> Any:
    """{id}: it opens nothing from now on, and links that it opened end."""
    token = relay.office.revoke(str(arguments["id"]), by=actor_of(arguments))
    return {"id": token.id, "name": token.name}


async def audit(relay: Relay, arguments: Mapping[str, Any]) -> Any:
    """{limit?, before?}: who did what, the newest first."""
    lines = relay.office.trail(before=str(arguments.get("before") or ""), limit=int(arguments.get("limit") or PAGE))
    return {
        "lines": [
            {
                "id": line.id,
                "at": iso_ms(line.at_ms),
                "who": line.who,
                "from": line.address,
                "act": line.act,
                "about": line.about,
                "detail": line.detail,
            }
            for line in lines
        ]
    }


# -- the ledger --------------------------------------------------------------------------------------------------------


async def verify_ledger(relay: Relay, arguments: Mapping[str, Any]) -> Any:
    """Problems found by working the ledgers out again from the documents, of one shop or of all."""
    branches = [relay.branch(arguments["shop"])] if arguments.get("shop") else relay.branches()

    def work() -> list[str]:
        return [
            f"{branch.name}: {problem}" if len(branches) > 1 else problem
            for branch in branches
            for problem in verify(relay.store, branch.id)
        ]

    return {"problems": await asyncio.to_thread(work)}


async def report_day(relay: Relay, arguments: Mapping[str, Any]) -> Any:
    """As GET /api/shops/{shop}/reports/day/{day}."""
    branch = relay.branch(arguments["shop"])
    return await asyncio.to_thread(branch.reports.day, arguments.get("day") or branch.day)


async def report_sheet(relay: Relay, arguments: Mapping[str, Any]) -> Any:
    """As GET /api/shops/{shop}/reports/{kind}: {shop, by, from, to}."""
    branch, by = relay.branch(arguments["shop"]), str(arguments["by"])
    asked = {"first": arguments.get("from"), "last": arguments.get("to")}
    sheet = await asyncio.to_thread(sheet_of, branch.reports, by, shop=branch.name, today=branch.day, **asked)
    return sheet.to_dict()


COMMANDS: dict[str, Command] = {
    "invite": invite,
    "shop_list": shop_list,
    "shop_rename": shop_rename,
    "shop_remove": shop_remove,
    "user_add": user_add,
    "user_list": user_list,
    "user_remove": user_remove,
    "user_password": user_password,
    "token_add": token_add,
    "token_list": token_list,
    "token_revoke": token_revoke,
    "audit": audit,
    "verify": verify_ledger,
    "report_day": report_day,
    "report_sheet": report_sheet,
    **DEVICE_COMMANDS,
    **NUMBER_COMMANDS,
    **OPERATION_COMMANDS,
    **PRICE_COMMANDS,
}
