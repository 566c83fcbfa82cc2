"""Pages about prices: lists, one product, a file and its preview, publishing, progress, what a shop has otherwise.

Thin over `relay.price_desk`, which says who may.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any
from urllib.parse import urlencode

from starlette.responses import Response
from starlette.routing import Route

from posline.core.money import minor_digits
from posline.core.products import ahead_of, barcodes_of
from posline.errors import BadRequest, PoslineError
from posline.till.problems import json_answer
from relay.price_desk import Desk
from relay.price_lists import ALL
from relay.rights import Right
from relay.web.frame import Frame, Visit, off

__all__ = ["prices_routes"]

PATH = "/prices"
PAGE = 50
SHOPS_SHOWN = 200
TEXTS = ("name", "name_ur", "barcode", "department", "unit", "tax", "tax_rate")
AMOUNTS = ("price", "mrp")
DATED = ("price", "mrp", "tax", "tax_rate")


def prices_routes(frame: Frame) -> list[Route]:
    """For whoever may set prices of any shop."""
    right = Right.PRICES
    return [
        frame.get(PATH, prices, right=right),
        frame.get(PATH + "/list", listed, right=right),
        frame.get(PATH + "/item", item, right=right),
        frame.post(PATH + "/item", save, right=right),
        frame.get(PATH + "/import", file, right=right),
        frame.file(PATH + "/import", upload, right=right),
        frame.get(PATH + "/preview", preview, right=right),
        frame.post(PATH + "/publish", publish, right=right),
        frame.post(PATH + "/discard", discard, right=right),
        frame.post(PATH + "/policy", policy, right=right),
        frame.post(PATH + "/group", group, right=right),
        frame.get(PATH + "/shops/{shop}", shop, right=right),
        frame.post(PATH + "/shops/{shop}", again, right=right),
    ]


def _desk(visit: Visit) -> Desk:
    return Desk(visit.relay, visit.viewer, visit.actor)


async def _currency(visit: Visit) -> str:
    """The currency of the shops that are theirs; "" where they have several."""
    relay = visit.relay

    def work() -> set[str]:
        mine = [shop.id for shop in relay.office.shops() if visit.viewer.covers(shop.id)]
        return {getattr(relay.founded(shop), "currency", "") for shop in mine[:SHOPS_SHOWN]}

    found = await off(work)
    return found.pop() if len(found) == 1 else ""


async def prices(visit: Visit, error: PoslineError | None = None) -> Response:
    """The lists, what waits to be published, and how far the shops are."""
    desk = _desk(visit)
    lists, groups = await off(desk.lists), await off(desk.groups)
    status = await off(lambda: desk.status(limit=SHOPS_SHOWN))
    names = await off(lambda: {branch.id: branch.called for branch in desk.branches()})
    return visit.show(
        "prices.html", error=error, lists=lists, status=status, groups=groups, names=names,
        drafts=sum(each["drafts"] for each in lists if each["may_set"]), all_of_them=desk.may_set(ALL),
        busy=any(each["version"] < each["wanted"] for each in status["shops"]), shown=SHOPS_SHOWN,
    )  # fmt: skip


async def listed(visit: Visit) -> Response:
    """?list=&q=&after=: one list's products."""
    desk, query = _desk(visit), visit.request.query_params
    name, q, after = query.get("list", ALL), query.get("q", "")[:200], query.get("after", "")[:200]
    found = await off(lambda: desk.items(name, q=q, after=after, limit=PAGE))
    more = _query(list=name, q=q, after=found[-1]["sku"]) if len(found) == PAGE else ""
    return visit.show(
        "price_list.html", of=await off(desk.one, name), items=found, q=q, more=more, after=after,
        currency=await _currency(visit), ahead_of=ahead_of,
    )  # fmt: skip


def _query(**values: str) -> str:
    return urlencode({name: value for name, value in values.items() if value})


async def item(visit: Visit, error: PoslineError | None = None) -> Response:
    """?list=&sku=: what a list says of one product."""
    desk, query = _desk(visit), visit.request.query_params
    name, sku = visit.form.get("list") or query.get("list", ALL), visit.form.get("sku") or query.get("sku", "")
    of, currency = await off(desk.one, name), await _currency(visit)
    row = await off(desk.item, name, sku)
    now = (row["draft"] if row["drafted"] else row["item"]) if row else None
    shown = _shown(now or {}, currency) if error is None else visit.form
    history = await off(lambda: desk.history(sku=sku, limit=20)) if sku else []
    names = {each["list"]: each for each in await off(desk.lists)}
    return visit.show(
        "price_item.html", error=error, of=of, sku=sku, row=row, form=shown, history=history,
        ahead=ahead_of(now or {}), currency=currency, names=names, dated=DATED, whole=name == ALL,
    )  # fmt: skip


def _shown(said: Mapping[str, Any], currency: str) -> dict[str, str]:
    """The fields of a form."""
    digits = minor_digits(currency) if currency else 0
    found = {name: str(said.get(name) or "") for name in TEXTS} | {"barcode": " ".join(barcodes_of(said))}
    for name in AMOUNTS:
        found[name] = "" if said.get(name) is None else f"{Decimal(said[name]).scaleb(-digits):f}"
    return found | {"retired": "1" if said.get("active") is False else ""}


async def save(visit: Visit) -> Response:
    """{list, sku, from, why, and the fields}, or {withdraw}: a draft. From a day on, only what is filled in changes."""
    desk, form = _desk(visit), visit.form
    name, sku, start = form.get("list", ALL), form.get("sku", "").strip(), form.get("from", "")
    why = form.get("why", "")
    try:
        if form.get("withdraw"):
            await off(lambda: desk.edit(name, sku, None, why=why))
            return visit.go(f"{PATH}/list?{_query(list=name, said='price_drafted')}")
        fields = _fields(form, await _currency(visit), start)
        await off(lambda: desk.edit(name, sku, fields, start=start, why=why))
    except PoslineError as error:
        return await item(visit, error)
    return visit.go(f"{PATH}/item?{_query(list=name, sku=sku, said='price_drafted')}")


def _fields(form: Mapping[str, str], currency: str, start: str) -> dict[str, Any]:
    """What a form says of a product. Raises BadRequest."""
    digits = minor_digits(currency) if currency else 0
    fields: dict[str, Any] = {}
    for name in (*AMOUNTS, *TEXTS):
        text = form.get(name, "").strip()
        if start and (name not in DATED or not text):
            continue
        if name in AMOUNTS and text:
            try:
                amount = Decimal(text.replace(",", "")).scaleb(digits)
                if not amount.is_finite() or amount != amount.to_integral_value():
                    raise InvalidOperation
                fields[name] = int(amount)
            except InvalidOperation as error:
                raise BadRequest.of(name, "is no amount") from error
        else:
            fields[name] = text or None
    if "barcode" in fields:  # all of them, with blanks between
        codes = (fields["barcode"] or "").split()
        fields |= {"barcode": codes[0], "barcodes": codes} if codes else {"barcode": None, "barcodes": None}
    if not start and "retired_shown" in form:
        fields["active"] = False if form.get("retired") else None
    if start and not fields:
        raise BadRequest.of("price", "is not filled in: say what is to be from that day on")
    return fields


async def file(visit: Visit) -> Response:
    """Where a file is chosen; the page's script sends it."""
    lists = [each for each in await off(_desk(visit).lists) if each["may_set"]]
    return visit.show("price_import.html", lists=lists, currency=await _currency(visit))


async def upload(visit: Visit) -> Response:
    """The file itself: ?list=&why=&dry_run=."""
    query = visit.request.query_params
    name, why, dry_run = query.get("list", ALL), query.get("why", ""), query.get("dry_run") == "1"
    desk = _desk(visit)
    found = await visit.relay.uploads.read(
        visit.request, lambda path: desk.import_file(path, name, why=why, dry_run=dry_run)
    )
    return json_answer(found)


async def preview(visit: Visit, error: PoslineError | None = None) -> Response:
    """What publishing would change."""
    desk = _desk(visit)
    found = await off(desk.preview)
    may = any(each["may_set"] for each in found["lists"])
    return visit.show("price_preview.html", error=error, found=found, currency=await _currency(visit), may=may)


async def publish(visit: Visit) -> Response:
    """{why}, and `list` of each that is ticked."""
    try:
        await off(lambda: _desk(visit).publish(visit.ticked("list") or None, why=visit.form.get("why", "")))
    except PoslineError as error:
        return await preview(visit, error)
    return visit.go(PATH, "price_published")


async def discard(visit: Visit) -> Response:
    """`list` of each that is ticked."""
    try:
        await off(lambda: _desk(visit).discard(visit.ticked("list") or None))
    except PoslineError as error:
        return await preview(visit, error)
    return visit.go(PATH, "price_discarded")


async def policy(visit: Visit) -> Response:
    """{list, differ}."""
    try:
        await off(lambda: _desk(visit).set_policy(visit.form.get("list", ""), visit.form.get("differ") == "1"))
    except PoslineError as error:
        return await prices(visit, error)
    return visit.go(PATH, "price_policy")


async def group(visit: Visit) -> Response:
    """{group}, and `shop` of each that is in it; {remove} lets it be none."""
    desk, name = _desk(visit), visit.form.get("group", "")
    try:
        if visit.form.get("remove"):
            await off(desk.remove_group, name)
        else:
            await off(desk.set_group, name, visit.ticked("shop"))
    except PoslineError as error:
        return await prices(visit, error)
    return visit.go(PATH, "price_group")


async def shop(visit: Visit, error: PoslineError | None = None) -> Response:
    """One shop: which version it and its tills have, and what it has otherwise than the lists say."""
    branch, after = visit.branch(visit.request.path_params["shop"]), visit.request.query_params.get("after", "")
    desk = _desk(visit)
    found = await off(lambda: desk.shop(branch.id, after=after[:200], limit=100))
    names = {each["list"]: each for each in await off(desk.lists)}
    return visit.show(
        "price_shop.html", error=error, branch=branch, found=found, names=names,
        currency=str(branch.replica.founding.get("currency", "")), may=desk.may_set(f"shop:{branch.id}"),
        busy=found["version"] < found["wanted"],
    )  # fmt: skip


async def again(visit: Visit) -> Response:
    """Compare all of its products once more."""
    branch = visit.branch(visit.request.path_params["shop"])
    try:
        await off(lambda: _desk(visit).override(branch.id))
    except PoslineError as error:
        return await shop(visit, error)
    return visit.go(f"{PATH}/shops/{branch.id}", "price_again")
