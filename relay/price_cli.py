"""`posline-relay prices ...`: how it is called, and what it prints."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from posline.till.terminal import Ask, DayOf, print_json, visible

__all__ = ["add_price_commands"]

List = Annotated[str, typer.Option("--list", help="all, group:NAME, or shop: with the shop's id or name.")]
Lists = Annotated[list[str] | None, typer.Option("--list", help="A list; may stand several times [all with drafts]")]
Why = Annotated[str, typer.Option(help="A word on why, for the history.")]
Sku = Annotated[str, typer.Argument(help="The product's SKU.")]
Fields = Annotated[
    list[str] | None, typer.Argument(help="FIELD=VALUE, as price=26000; with nothing behind it, it is cleared.")
]
LISTED = 20  # changes and shops on a screen


def add_price_commands(prices: typer.Typer, ask: Ask, day_of: DayOf) -> None:
    """Put the commands into the group `prices`; `ask` asks the head office."""

    def answer(context: typer.Context, name: str, asked: Mapping[str, Any], show: Callable[[Any], None]) -> Any:
        found = ask(context, name, asked)
        print_json(found) if context.obj.json else show(found)
        return found

    @prices.command("list")
    def listed(context: typer.Context) -> None:
        """The lists: how many products each has, and how many drafts."""
        answer(context, "prices_lists", {}, _print_lists)

    @prices.command("import")
    def import_(
        context: typer.Context,
        file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, readable=True, help="CSV, or CSV in gzip.")],
        list_: List = "all",
        why: Why = "",
        dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would change.")] = False,
    ) -> None:
        """Draft what a file says. Exits 1 if rows were left out."""
        asked = {"file": str(file.resolve()), "list": list_, "why": why, "dry_run": dry_run}
        if answer(context, "prices_import", asked, _print_import)["bad_count"]:
            raise typer.Exit(1)

    @prices.command("export")
    def export(context: typer.Context, list_: List = "all") -> None:
        """A list as CSV, as it was published."""
        for line in ask(context, "prices_export", {"list": list_}):
            print(line, end="")

    @prices.command("set")
    def set_(
        context: typer.Context,
        sku: Sku,
        fields: Fields = None,
        list_: List = "all",
        from_: Annotated[str | None, typer.Option("--from", help="The business day from which it is so.")] = None,
        why: Why = "",
        withdraw: Annotated[bool, typer.Option("--withdraw", help="Take the product out of the list.")] = False,
    ) -> None:
        """Draft what a list says of one product."""
        if bool(fields) == withdraw:
            raise typer.BadParameter("FIELD=VALUE, or --withdraw")
        said = None if withdraw else dict(map(_field, fields or []))
        asked = {"list": list_, "sku": sku, "fields": said, "from": day_of(from_) or "", "why": why}
        answer(context, "prices_set", asked, lambda found: print(f"{sku}: {visible(str(found['draft']))} (a draft)"))

    @prices.command("preview")
    def preview(context: typer.Context) -> None:
        """What publishing would change."""
        answer(context, "prices_preview", {}, lambda found: _print_changes(found["changes"], found["count"]))

    @prices.command("publish")
    def publish(context: typer.Context, list_: Lists = None, why: Why = "") -> None:
        """Bring drafts to the shops; `prices status` says how far it is."""
        asked = {"lists": list_ or [], "why": why}
        answer(context, "prices_publish", asked, lambda found: print(f"version {found['version']} is on its way"))

    @prices.command("discard")
    def discard(context: typer.Context, list_: Lists = None) -> None:
        """Forget drafts."""
        asked = {"lists": list_ or []}
        answer(context, "prices_discard", asked, lambda found: print(f"{found['discarded']} forgotten"))

    @prices.command("status")
    def status(
        context: typer.Context,
        shop: Annotated[str, typer.Option("--shop", help="Only this one, with what it has otherwise.")] = "",
    ) -> None:
        """Which version each shop and each of its tills has. Exits 1 while one lacks the last."""
        found = answer(context, "prices_status", {"shop": shop}, _print_shop if shop else _print_status)
        shops = [found] if shop else found["shops"]
        if any(each["version"] < each["wanted"] or any(t["behind"] for t in each["tills"]) for each in shops):
            raise typer.Exit(1)

    @prices.command("again")
    def again(
        context: typer.Context,
        shop: Annotated[str, typer.Option("--shop", help="The shop's id or name.")],
        why: Why = "",
    ) -> None:
        """Compare all that a shop has with the lists, and bring it what differs."""
        asked = {"shop": shop, "why": why}
        answer(context, "prices_override", asked, lambda found: print(f"version {found['version']} is on its way"))

    @prices.command("group")
    def group(
        context: typer.Context,
        name: Annotated[str, typer.Argument(help="The group's name [shows all]")] = "",
        shop: Annotated[list[str] | None, typer.Option("--shop", help="A shop of it; may stand several times.")] = None,
        remove: Annotated[bool, typer.Option("--remove", help="There is to be no such group.")] = False,
    ) -> None:
        """Groups of shops that have a list of their own."""
        asked = {"group": name, "shops": shop or [], "remove": remove}
        if name and not shop and not remove:
            raise typer.BadParameter("name its shops with --shop, or --remove it")
        answer(context, "prices_group", asked, _print_groups)

    @prices.command("policy")
    def policy(
        context: typer.Context,
        list_: List,
        differ: Annotated[
            bool, typer.Option("--shop-may-differ/--head-office-decides", help="Whether a shop's own changes stay.")
        ],
    ) -> None:
        """Whether what a shop's manager changes of a list's prices stays."""
        answer(context, "prices_policy", {"list": list_, "differ": differ}, _print_lists)

    @prices.command("history")
    def history(context: typer.Context, sku: Annotated[str, typer.Argument(help="One product's [all]")] = "") -> None:
        """Who changed what, when and why."""
        answer(context, "prices_history", {"sku": sku}, _print_history)


def _field(text: str) -> tuple[str, Any]:
    """A field and its value, from NAME=VALUE."""
    name, given, value = text.partition("=")
    if not given:
        raise typer.BadParameter(f"{text[:40]!r} is not FIELD=VALUE")
    if value == "":
        return name, None
    if name in ("price", "mrp") and value.isascii() and value.isdecimal():
        return name, int(value)
    if name in ("active", "third_schedule"):
        return name, {"yes": True, "true": True, "no": False, "false": False}.get(value, value)
    return name, value.split() if name == "barcodes" else value


def _print_lists(found: Mapping[str, Any]) -> None:
    for each in found["lists"]:
        policy = "shop may differ" if each["differ"] else "head office decides"
        name = each["list"] if each["kind"] != "shop" else f"shop:{visible(each['name'])}"
        print(f"{name:32}  {each['products']:>7} products  {each['drafts']:>6} drafts  {policy}")


def _print_import(found: Mapping[str, Any]) -> None:
    for row in found["bad"][:LISTED]:
        print(f"line {row['line']}: {visible(row['detail'])}")
    if found["dry_run"]:
        _print_changes(found["changes"], found["changed"])
    verb = "would be drafted" if found["dry_run"] else "are drafted: 'prices preview', then 'prices publish'"
    print(f"{found['changed']} changes {verb}; {found['unchanged']} as before, {found['bad_count']} left out")


def _print_changes(changes: list[Mapping[str, Any]], count: int) -> None:
    for each in changes[:LISTED]:
        said = ", ".join(f"{name} {was} -> {now}" for name, (was, now) in each["fields"].items())
        print(f"{each['list']}  {visible(each['sku'])}  {'out of the list' if each['gone'] else visible(said)}")
    if count > LISTED:
        print(f"and {count - min(LISTED, len(changes))} more")
    if not count:
        print("nothing would change")


def _print_status(found: Mapping[str, Any]) -> None:
    for each in found["versions"][:5]:
        print(f"version {each['number']}: {each['products']} products, {each['done']} of {each['shops']} shops have it")
    for shop in found["shops"]:
        _print_tills(shop)


def _print_tills(shop: Mapping[str, Any]) -> None:
    tills = ", ".join(f"{till['label']} {till['version']}" for till in shop["tills"])
    on_its_way = f", {shop['wanted']} is on its way" if shop["wanted"] > shop["version"] else ""
    why = next((task["why"] for task in shop["tasks"] if task["why"]), "")
    print(f"{visible(shop['name'])}: version {shop['version']}{on_its_way}; tills: {tills or 'none'}")
    if why:
        print(f"    waits: {visible(why)}")


def _print_shop(shop: Mapping[str, Any]) -> None:
    _print_tills(shop)
    for each in shop["differences"]:
        kept = "stays" if each["kept"] else "is to be the list's"
        print(f"    {visible(each['sku'])} {each['field']}: {each['shop']} in the shop, {each['office']} here; {kept}")


def _print_groups(found: Mapping[str, Any]) -> None:
    for name, shops in found["groups"].items():
        print(f"{visible(name)}: {', '.join(shops) or 'no shop'}")


def _print_history(found: Mapping[str, Any]) -> None:
    for each in found["history"]:
        why = f" ({visible(each['why'])})" if each["why"] else ""
        print(f"version {each['version']}  {each['list']}  {visible(each['sku'])}  {visible(each['who'])}{why}")
        print(f"    {visible(str(each['was']))} -> {visible(str(each['now']))}")
