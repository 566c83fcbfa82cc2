"""What somebody may do about prices, and does: the one place where it is asked whether they may.

Pages, the API and the commands all go through a `Desk`. A manager sets the prices of their own shops, an owner all of
them; whoever sees a shop sees what it is to sell for. Every method may be called from any thread.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from posline.core.products import DATED, FIELDS, barcodes_of
from posline.errors import BadRequest, NotFound
from posline.till.catalogue import BadRow, Row, read_catalogue, write_catalogue
from relay.price_lists import ALL, LISTED, group_list, kind_of, shop_list
from relay.prices import Change, Prices
from relay.publishing import compare, held_versions
from relay.relay import Branch, Relay
from relay.rights import Actor, NotYours, Right, Viewer

__all__ = ["OPERATOR", "Desk"]

OPERATOR = Viewer("command line", frozenset(Right))  # whoever runs commands on the machine
WHOSE = ("shop", "group")  # columns of a file that say for whom a row is
LISTED_MAX = 500  # rows and changes named in an answer
ROWS_MAX = 1_000_000  # of a file
SLICE = 500
SCANNED_MAX = 2000  # products compared for one answer about what differs
PAGE_MAX = 1000


@dataclass(frozen=True, slots=True)
class Desk:
    """Prices as one viewer may see and set them; `by` stands in the trail."""

    relay: Relay
    viewer: Viewer
    by: Actor

    @property
    def _prices(self) -> Prices:
        return self.relay.prices

    # -- who may -------------------------------------------------------------------------------------------------------

    def _inside(self, name: str) -> list[str] | None:
        """The shops that a list is for; None for all there are."""
        kind, which = kind_of(name)
        if kind == "all":
            return None
        return [which] if kind == "shop" else self._prices.groups().get(which, [])

    def may_set(self, name: str) -> bool:
        """Whether they may change what a list says: whoever may for each of its shops."""
        if not self.viewer.may(Right.PRICES):
            return False
        inside = self._inside(name)
        return self.viewer.shops is None or (bool(inside) and all(map(self.viewer.covers, inside or ())))

    def sees(self, name: str) -> bool:
        """Whether a list is for any shop of theirs."""
        inside = self._inside(name)
        return self.viewer.may(Right.SEE) and (
            inside is None or self.viewer.shops is None or any(map(self.viewer.covers, inside))
        )

    def _set(self, names: Sequence[str]) -> None:
        for name in names:
            if not self.may_set(name):
                whom = "every shop" if name == ALL else name
                raise NotYours(f"the prices for {whom} are not {self.viewer.name or 'this token'}'s to set")

    def _see(self, name: str) -> None:
        if not self.sees(name):
            raise _no_list(name)

    def _whole(self) -> None:
        """What concerns how the chain is divided is for whoever may set the prices of all of it."""
        self._set([ALL])

    # -- names ---------------------------------------------------------------------------------------------------------

    def named(self, wanted: str) -> str:
        """A list as people write it: 'all', 'group:NAME', 'shop:' with the shop's id or name. Raises NotFound."""
        kind, which = kind_of(wanted)
        if kind == "shop":
            return shop_list(self._branch(which).id)
        if kind == "group" and which not in self._prices.groups():
            raise NotFound(f"there is no group {which[:60]!r}")
        return wanted

    def _branch(self, wanted: str) -> Branch:
        """A shop of theirs. Raises NotFound, also for others': nobody is told that they exist."""
        branch = self.relay.branch(wanted, self.viewer)
        if not self.viewer.covers(branch.id):
            raise NotFound(f"there is no shop {wanted[:60]!r} here")
        return branch

    def branches(self) -> list[Branch]:
        """The shops that are theirs."""
        return [branch for branch in self.relay.branches() if self.viewer.covers(branch.id)]

    def _shop_ids(self) -> list[str]:
        return [shop.id for shop in self.relay.office.shops()]

    # -- lists ---------------------------------------------------------------------------------------------------------

    def lists(self) -> list[dict[str, Any]]:
        """{list, kind, name, products, drafts, differ, may_set} of each that is theirs to see."""
        counts, keeps, names = self._prices.counts(), self._prices.keeps(), {b.id: b.name for b in self.branches()}
        counts |= {name: (0, 0) for id in names if (name := shop_list(id)) not in counts}
        found = []
        for name, (products, drafts) in counts.items():
            kind, which = kind_of(name)
            if (kind == "shop" and which not in names) or not self.sees(name):
                continue
            found.append({
                "list": name, "kind": kind, "name": names.get(which, which), "products": products, "drafts": drafts,
                "differ": keeps.get(name, False), "may_set": self.may_set(name),
            })  # fmt: skip
        order = {"all": 0, "group": 1, "shop": 2}
        return sorted(found, key=lambda each: (order[each["kind"]], each["name"]))

    def one(self, wanted: str) -> dict[str, Any]:
        """One of `lists`. Raises NotFound, also where it is that of a shop that is not served any more."""
        name = self.named(wanted)
        found = next((each for each in self.lists() if each["list"] == name), None)
        if found is None:
            raise _no_list(name)
        return found

    def items(
        self, wanted: str, *, q: str = "", after: str = "", limit: int = 100, drafts: bool = False
    ) -> list[dict[str, Any]]:
        """What a list says, by SKU: {sku, item, draft, drafted, who, why}."""
        name = self.named(wanted)
        self._see(name)
        return self._prices.listed(name, q=q.strip(), after=after, limit=max(1, min(limit, PAGE_MAX)), drafts=drafts)

    def item(self, wanted: str, sku: str) -> dict[str, Any] | None:
        """What a list says of one product, as `items` do; None where it says nothing."""
        name = self.named(wanted)
        self._see(name)
        return next(iter(self._prices.listed(name, sku=sku)), None) if sku else None

    def edit(
        self, wanted: str, sku: str, fields: Mapping[str, Any] | None, *, start: str = "", why: str = ""
    ) -> dict[str, Any]:
        """Draft what a list says of one product; no fields take it out of the list. Raises BadRequest, NotYours."""
        name = self.named(wanted)
        self._set([name])
        for _, _, _, wrong in self._prices.draft(name, [Change(sku, fields, start)], by=self.by, why=why):
            if wrong:
                raise BadRequest.of(*_split(wrong))
        return self.item(name, sku) or {"sku": sku, "item": None, "draft": None, "drafted": False}

    def preview(self, names: Sequence[str] | None = None) -> dict[str, Any]:
        """What publishing would change: {lists, count, changes: [{list, sku, name, fields, who, why}]}, where a field
        says [what it is, what it will be]. The first ones are named."""
        lists = [each for each in self.lists() if each["drafts"] and (names is None or each["list"] in names)]
        changes = []
        for each in lists:
            for row in self._prices.listed(each["list"], limit=LISTED_MAX, drafts=True):
                changes.append({"list": each["list"], "of": each["name"], "who": row["who"], "why": row["why"],
                                **_change(row["sku"], row["item"], row["draft"])})  # fmt: skip
        return {"lists": lists, "count": sum(each["drafts"] for each in lists), "changes": changes[:LISTED_MAX]}

    def _mine(self, names: Sequence[str] | None) -> list[str]:
        """The lists that are named, or those with drafts that they may publish."""
        if names is not None:
            lists = [self.named(name) for name in names]
        else:
            lists = [each["list"] for each in self.lists() if each["drafts"] and each["may_set"]]
        self._set(lists)
        return lists

    def publish(self, names: Sequence[str] | None = None, *, why: str = "") -> int:
        """Publish the drafts of these lists; the version's number. Raises NotYours, NotPossible."""
        self.viewer.require(Right.PRICES)
        return self._prices.publish(self._mine(names), self._shop_ids(), by=self.by, why=why)

    def discard(self, names: Sequence[str] | None = None) -> int:
        """Forget drafts; how many they were."""
        self.viewer.require(Right.PRICES)
        return self._prices.discard(self._mine(names), by=self.by)

    # -- groups and policies -------------------------------------------------------------------------------------------

    def groups(self) -> dict[str, list[str]]:
        """{group: those of its shops that are theirs}."""
        return {
            name: [shop for shop in shops if self.viewer.covers(shop)]
            for name, shops in self._prices.groups().items()
            if self.sees(group_list(name))
        }

    def set_group(self, name: str, shops: Sequence[str]) -> None:
        """Let these shops be a group; what that changes of their prices is published at once."""
        self._whole()
        moved = self._prices.set_group(name, [self.relay.branch(shop).id for shop in shops], by=self.by)
        self._again(moved, f"group {name}")

    def remove_group(self, name: str) -> None:
        """Let there be no such group."""
        self._whole()
        self._again(self._prices.remove_group(name, by=self.by), f"group {name}")

    def _again(self, shops: Sequence[str], why: str) -> None:
        serves = [shop for shop in self._shop_ids() if shop in set(shops)]
        if serves:
            self._prices.publish_again(serves, by=self.by, why=why)

    def set_policy(self, wanted: str, differ: bool) -> None:
        """Whether shops may differ from a list."""
        name = self.named(wanted)
        self._set([name])
        self._prices.set_policy(name, differ, by=self.by)

    def override(self, shop: str, *, why: str = "") -> int:
        """Compare all of a shop's products with what the lists say, and bring what differs."""
        branch = self._branch(shop)
        self._set([shop_list(branch.id)])
        return self._prices.publish_again([branch.id], by=self.by, why=why)

    # -- how far it is -------------------------------------------------------------------------------------------------

    def status(self, *, limit: int = PAGE_MAX) -> dict[str, Any]:
        """{versions, shops: [{shop, name, version, wanted, tills...}], more}: which version each shop and till has, of
        so many shops; `more` is how many there are beside them. Of `versions` those that are for one of theirs."""
        branches = self.branches()
        theirs = None if self.viewer.shops is None else sorted(self.viewer.shops)
        shops = [{"shop": b.id, "name": b.name} | held_versions(self.relay, b) for b in branches[:limit]]
        return {"versions": self._prices.versions(theirs), "shops": shops, "more": max(0, len(branches) - limit)}

    def shop(self, wanted: str, *, after: str = "", limit: int = 100) -> dict[str, Any]:
        """One shop: its versions, and what it has otherwise than the lists say: {..., differences, next}."""
        branch = self._branch(wanted)
        lists, differences, more = self._prices.lists_of(branch.id), list[dict[str, Any]](), None
        seen = 0
        while len(differences) < limit:
            skus = self._prices.skus(lists, after, 200)
            if not skus:
                more = None
                break
            found = compare(self._prices, branch, lists, skus, self.relay.key.id)
            names = {p["sku"]: p["name"] for p in branch.reports.catalog.several(skus)}
            differences += [
                {"sku": sku, "name": names.get(sku, ""), "field": each.field, "office": each.office, "shop": each.shop,
                 "kept": each.kept}
                for sku, each in found.differences
            ]  # fmt: skip
            after = more = skus[-1]
            seen += len(skus)
            if seen >= SCANNED_MAX:
                break
        head = {"shop": branch.id, "name": branch.name, "lists": lists, "catalogue": branch.reports.catalogue}
        return head | held_versions(self.relay, branch) | {"differences": differences, "next": more}

    def history(self, *, sku: str = "", limit: int = 100) -> list[dict[str, Any]]:
        """Who changed what, when and why."""
        lists = None if self.viewer.shops is None else [each["list"] for each in self.lists()]
        return self._prices.history(sku=sku, lists=lists, limit=limit)

    # -- files ---------------------------------------------------------------------------------------------------------

    def import_file(self, path: Path, wanted: str = ALL, *, why: str = "", dry_run: bool = False) -> dict[str, Any]:
        """Draft what a CSV file says: columns as a till's import, and `shop` or `group` for whom a row is, `from` since
        when. Rows that are wrong are listed, the rest is taken; with `dry_run` nothing is written. Answers {rows,
        changed, unchanged, bad, bad_count, changes}. Raises BadRequest, NotYours."""
        self.viewer.require(Right.PRICES)
        taking = _Taking(self, self.named(wanted), why, dry_run)
        rows = iter(read_catalogue(path, whose=WHOSE, parts=True))
        waiting: list[Row | BadRow] = []
        while piece := list(islice(rows, SLICE)):
            waiting += piece
            cut = len(waiting)
            while cut > 1 and _sku(waiting[cut - 1]) == _sku(waiting[cut - 2]):  # rows of one product stay together
                cut -= 1
            taking.take(waiting[: cut - 1])
            waiting = waiting[cut - 1 :]
            if taking.rows > ROWS_MAX:
                raise BadRequest.of(path.name, f"has more than {ROWS_MAX} rows: split it")
        taking.take(waiting)
        taking.end()
        return taking.answer()

    def export(self, wanted: str = ALL) -> Iterator[str]:
        """A list as lines of a CSV file that `import_file` reads back."""
        name = self.named(wanted)
        self._see(name)
        kind, which = kind_of(name)
        whose = {} if kind == "all" else {kind: which}

        def items() -> Iterator[dict[str, Any]]:
            after = ""
            while rows := self._prices.listed(name, after=after, limit=PAGE_MAX):
                yield from (row["item"] for row in rows if row["item"])
                after = rows[-1]["sku"]

        return write_catalogue(items(), whose)


class _Taking:
    """One file on its way into drafts."""

    def __init__(self, desk: Desk, default: str, why: str, dry_run: bool) -> None:
        self._desk, self._default, self._why, self._dry_run = desk, default, why, dry_run
        self.rows = self.changed = self.bad_count = 0
        self._bad: list[dict[str, Any]] = []
        self._changes: list[dict[str, Any]] = []
        self._counts: dict[str, int] = {}  # of changes, by list
        self._lists: dict[tuple[str, ...], str] = {}  # what the columns for whom a row is came to; "" for nothing

    def take(self, rows: Sequence[Row | BadRow]) -> None:
        """Draft these."""
        by_list: dict[str, list[tuple[Row, Change]]] = {}
        for row in rows:
            self.rows += 1
            if isinstance(row, BadRow):
                self._leave(row.line, row.detail)
                continue
            name = self._list(row)
            if name:
                by_list.setdefault(name, []).append((row, Change(row.product["sku"], _fields(row), row.start)))
        for name, both in by_list.items():
            lines = {id(change): row.line for row, change in both}
            changes = [change for _, change in both]
            found = self._desk.relay.prices.draft(
                name, changes, by=self._desk.by, why=self._why, dry_run=self._dry_run, told=True
            )
            for change, was, now, wrong in found:
                if wrong:
                    self._leave(lines[id(change)], wrong)
                    continue
                self.changed += 1
                self._counts[name] = self._counts.get(name, 0) + 1
                if len(self._changes) < LISTED_MAX:
                    self._changes.append({"list": name, **_change(change.sku, was, now)})

    def _list(self, row: Row) -> str:
        if row.names not in self._lists:
            self._lists[row.names] = ""
            try:
                shop, group = (*row.names, "", "")[:2]
                if shop and group:
                    raise BadRequest.of("shop", "and group are both named: a row is for one of the two")
                name = self._desk.named(shop_list(shop) if shop else group_list(group) if group else self._default)
                self._desk._set([name])
                self._lists[row.names] = name
            except (BadRequest, NotFound, NotYours) as error:
                self._leave(row.line, f"{error} (and so of every row for the same)")
                return ""
        if not self._lists[row.names]:
            self._leave(row.line, "")
        return self._lists[row.names]

    def _leave(self, line: int, why: str) -> None:
        self.bad_count += 1
        if why and len(self._bad) < LISTED_MAX:
            self._bad.append({"line": line, "detail": why})

    def end(self) -> None:
        """A file is one act, in the trail one line for each list."""
        for name, count in () if self._dry_run else sorted(self._counts.items()):
            self._desk.relay.prices.tell(name, count, by=self._desk.by, why=self._why)

    def answer(self) -> dict[str, Any]:
        """What it came to."""
        return {
            "rows": self.rows, "changed": self.changed, "unchanged": self.rows - self.changed - self.bad_count,
            "bad": self._bad, "bad_count": self.bad_count, "changes": self._changes, "dry_run": self._dry_run,
        }  # fmt: skip


def _no_list(name: str) -> NotFound:
    return NotFound(f"there is no list {name[:60]!r} here")


def _sku(row: Row | BadRow) -> object:
    return row.product["sku"] if isinstance(row, Row) else row


def _fields(row: Row) -> dict[str, Any]:
    """What a row says: each field that the file has a column for, None where its cell is empty."""
    fields = {name: row.product.get(name) for name in LISTED if name in row.columns and name != "labels"}
    if "barcodes" in row.columns:
        fields["barcode"] = row.product.get("barcode")
        fields["barcodes"] = row.product.get("barcodes") or barcodes_of(row.product) or None
    if row.columns.difference(FIELDS, ("",)):
        fields["labels"] = row.product.get("labels")
    return {name: value for name, value in fields.items() if not row.start or name in DATED or value is not None}


def _change(sku: str, was: Mapping[str, Any] | None, now: Mapping[str, Any] | None) -> dict[str, Any]:
    """What differs between two states of what a list says: {sku, name, fields: {field: [was, will be]}}."""
    before, after = was or {}, now or {}
    names = [*FIELDS, "ahead"]
    fields = {n: [before.get(n), after.get(n)] for n in names if n != "sku" and before.get(n) != after.get(n)}
    return {"sku": sku, "name": after.get("name") or before.get("name") or "", "fields": fields, "gone": now is None}


def _split(wrong: str) -> tuple[str, str]:
    """A field and what is wrong with it, from a sentence that says both."""
    name, _, detail = wrong.partition(": ")
    return (name, detail) if detail else ("fields", wrong)
