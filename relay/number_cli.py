"""`posline-relay accounting ...` and `posline-relay webhook ...`: how they are called, and what they print."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from posline.till.terminal import Ask, DayOf, Shop, print_json, visible
from posline.till.text import money
from relay.export_commands import Shops

__all__ = ["add_accounting_commands", "add_webhook_commands"]

Id = Annotated[str, typer.Argument(help="The webhook's id.")]
Numbers = Annotated[list[int] | None, typer.Argument(help="Numbers of events [all that were given up]")]


def add_accounting_commands(accounting: typer.Typer, ask: Ask, day_of: DayOf) -> None:
    """Put the commands into the group `accounting`; `ask` asks the head office."""

    @accounting.command("show")
    def show(
        context: typer.Context,
        shop: Shops = None,
        from_: Annotated[str | None, typer.Option("--from", help="First day.")] = None,
        to: Annotated[str | None, typer.Option(help="Last day.")] = None,
    ) -> None:
        """What several days come to, in double entry, and whether it ties. Exits 1 if it does not."""
        found = ask(context, "accounting_show", {"shops": shop or [], "from": day_of(from_), "to": day_of(to)})
        print_json(found) if context.obj.json else _print_span(found)
        if not found["ties"]:
            raise typer.Exit(1)

    @accounting.command("post")
    def post(
        context: typer.Context,
        shop: Shop,
        day: Annotated[str | None, typer.Argument(help="YYYY-MM-DD [today]")] = None,
        after: Annotated[str, typer.Option(help="The id of the last posting of this day that was booked.")] = "",
        provisional: Annotated[
            bool, typer.Option("--provisional", help="Also a day that is not closed; the rest follows as an addendum.")
        ] = False,
    ) -> None:
        """The postings of a day, each to be booked once: the day itself, and an addendum for each later change."""
        asked = {"shop": shop, "day": day_of(day), "after": after, "provisional": provisional}
        found = ask(context, "accounting_post", asked)
        if context.obj.json:
            print_json(found)
            return
        for posting in found["postings"]:
            print(f"{posting['id']}  {posting['day']}  {posting['posting']} {posting['number']}")
            _print_journal(posting["journal"], posting["currency"])

    @accounting.command("accounts")
    def accounts(context: typer.Context) -> None:
        """The accounts that journals are posted to."""
        _print_accounts(context, ask(context, "accounting_accounts", {}))

    @accounting.command("set-account")
    def set_account(
        context: typer.Context,
        what: Annotated[str, typer.Argument(help="Such as sales:standard, tender:card, cash_out:milk.")],
        account: Annotated[str, typer.Argument(help="The account's code.")],
        name: Annotated[str, typer.Argument(help="Its name.")],
    ) -> None:
        """Post something to an account of the chain's own from now on."""
        asked = {"what": what, "account": account, "name": name}
        _print_accounts(context, ask(context, "accounting_set", asked))

    @accounting.command("reset-account")
    def reset_account(
        context: typer.Context, what: Annotated[str, typer.Argument(help="As set-account took it.")]
    ) -> None:
        """Post something as before it had an account of its own."""
        _print_accounts(context, ask(context, "accounting_set", {"what": what}))


def _print_accounts(context: typer.Context, found: Mapping[str, Any]) -> None:
    if context.obj.json:
        print_json(found)
        return
    for each in found["accounts"]:
        print(f"{each['what']:24}  {each['account']:12}  {visible(each['name'])}")


def _print_span(found: Mapping[str, Any]) -> None:
    for day in found["days"]:
        waiting = f", waits for till {', '.join(day['waiting_for'])}" if day["waiting_for"] else ""
        late = f", {day['late']['count']} late" if day["late"]["count"] else ""
        ties = "ties" if day["ties"] else "DOES NOT TIE"
        net = money(day["figures"]["net"], day["currency"])
        print(f"{day['day']}  {day['shop']}  {net:>16}  {day['state']}{waiting}{late}, {ties}")
        for check in day["checks"]:
            if not check["ties"]:
                print(f"    {check['check']}: {check['left']} and not {check['right']}: {check['says']}")
    if "journal" in found and found["currency"]:
        _print_journal(found["journal"], found["currency"])


def _print_journal(journal: list[Mapping[str, Any]], currency: str) -> None:
    for line in journal:
        debit, credit = (money(line[side], currency) if line[side] else "" for side in ("debit", "credit"))
        print(f"  {line['account']:8} {visible(line['name']):30} {visible(line['what']):28} {debit:>16} {credit:>16}")


def add_webhook_commands(webhook: typer.Typer, ask: Ask) -> None:
    """Put the commands into the group `webhook`; `ask` asks the head office."""

    def answer(context: typer.Context, name: str, asked: Mapping[str, Any]) -> None:
        found = ask(context, name, asked)
        print_json(found) if context.obj.json else _print_webhook(found)

    @webhook.command("add")
    def add(
        context: typer.Context,
        url: str,
        shop: Shops = None,
        kinds: Annotated[str, typer.Option(help="Only these kinds of entry, with commas between.")] = "",
        batch: Annotated[int, typer.Option(help="Events in a message at the most, up to 100.")] = 50,
        from_beginning: Annotated[
            bool, typer.Option("--from-beginning", help="Tell of all that is here already, too.")
        ] = False,
        private: Annotated[
            bool, typer.Option("--private", help="It may lie within this machine's own network, and be http.")
        ] = False,
        secret: Annotated[str, typer.Option(help="whsec_ and 24 to 64 bytes in base64 [a new one]")] = "",
    ) -> None:
        """Tell a program of what comes in; prints its secret, this once."""
        named = [kind.strip() for kind in kinds.split(",") if kind.strip()]
        answer(context, "webhook_add", {
            "url": url, "shops": shop or [], "kinds": named, "batch": batch, "private": private,
            "after": "0" if from_beginning else None, "secret": secret,
        })  # fmt: skip

    @webhook.command("list")
    def listed(context: typer.Context) -> None:
        """Who is told, how far each has heard, and what is wrong. Exits 1 if something is."""
        found = ask(context, "webhook_list", {})
        if context.obj.json:
            print_json(found)
        else:
            for each in found["webhooks"]:
                _print_webhook(each)
        if any(not each["active"] or each["failed"] or each["given_up"] for each in found["webhooks"]):
            raise typer.Exit(1)

    @webhook.command("on")
    def on(context: typer.Context, id: Id) -> None:
        """Go on telling it, from where it was, at once."""
        answer(context, "webhook_switch", {"id": id, "active": True})

    @webhook.command("off")
    def off(context: typer.Context, id: Id) -> None:
        """Tell it nothing for now."""
        answer(context, "webhook_switch", {"id": id, "active": False})

    @webhook.command("remove")
    def remove(context: typer.Context, id: Id) -> None:
        """Forget it."""
        found = ask(context, "webhook_remove", {"id": id})
        print_json(found) if context.obj.json else print(f"{id} is removed")

    @webhook.command("rotate")
    def rotate(context: typer.Context, id: Id) -> None:
        """Give it a new secret; for a day the old one signs, too."""
        answer(context, "webhook_rotate", {"id": id})

    @webhook.command("replay")
    def replay(
        context: typer.Context,
        id: Id,
        after: Annotated[str, typer.Option(help="A cursor of the feed; 0 is its beginning.")],
    ) -> None:
        """Tell it once more what is behind a cursor."""
        answer(context, "webhook_replay", {"id": id, "after": after})

    @webhook.command("dead")
    def dead(context: typer.Context, id: Id) -> None:
        """What it did not take, and was given up."""
        found = ask(context, "webhook_dead", {"id": id})
        if context.obj.json:
            print_json(found)
            return
        for each in found["dead"]:
            print(f"{each['n']}  {'to be sent again' if each['queued'] else 'given up'}: {visible(each['why'])}")

    @webhook.command("requeue")
    def requeue(context: typer.Context, id: Id, numbers: Numbers = None) -> None:
        """Send what was given up once more."""
        found = ask(context, "webhook_requeue", {"id": id, "numbers": numbers})
        print_json(found) if context.obj.json else print(f"{found['requeued']} to be sent again")

    @webhook.command("discard")
    def discard(context: typer.Context, id: Id, numbers: Numbers = None) -> None:
        """Never send what was given up."""
        found = ask(context, "webhook_discard", {"id": id, "numbers": numbers})
        print_json(found) if context.obj.json else print(f"{found['discarded']} will not be sent")


def _print_webhook(one: Mapping[str, Any]) -> None:
    state = "on" if one["active"] else f"off ({one['off_why']})" if one["off_why"] else "off"
    shops = ", ".join(map(visible, one["shop_names"])) or "every shop"
    print(f"{one['id']}  {one['url']}  {state}")
    print(f"    {shops}; {', '.join(one['kinds']) or 'everything'}; heard up to {one['at']} of {one['end']}")
    if one["failed"]:
        print(f"    tried {one['tries']} times: {visible(one['failed'])}")
    if one["given_up"]:
        print(f"    {one['given_up']} events were given up: 'posline-relay webhook dead {one['id']}'")
    if "secret" in one:
        print(f"    secret {one['secret']}")
