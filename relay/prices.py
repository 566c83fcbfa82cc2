"""The chain's prices: lists with their products, drafts of them, groups of shops, what was published and how far it is.

What is edited or imported is a draft until it is published. Publishing takes drafts over into their lists in one
transaction, with a task for each shop that they concern; `relay.publishing` carries those out. Everything lies in the
books' database, so that it stands still through crashes and is the same for every process.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from posline.core.products import DATED
from posline.errors import BadRequest, NotFound, NotPossible
from posline.storage.pieces import in_pieces
from relay.database import Database, Transaction, transact
from relay.office import CONSOLE, NAME_MAX, named
from relay.price_lists import ALL, Item, group_list, item_by, kind_of, shop_list
from relay.rights import Actor
from relay.webhooks import no_trail

__all__ = ["STEPS", "Change", "Prices", "Task", "Version"]

STEPS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("prices", (
        "CREATE TABLE price_group (name TEXT PRIMARY KEY)",
        "CREATE TABLE price_member (shop TEXT PRIMARY KEY, name TEXT NOT NULL)",  # a shop is in one group at the most
        "CREATE TABLE price_policy (list TEXT PRIMARY KEY, differ INTEGER NOT NULL)",
        "CREATE TABLE price_item (list TEXT NOT NULL, sku TEXT NOT NULL, item TEXT NOT NULL, PRIMARY KEY (list, sku))",
        "CREATE INDEX price_item_sku ON price_item (sku, list)",
        # an `item` that is empty takes the product out of its list
        "CREATE TABLE price_draft (list TEXT NOT NULL, sku TEXT NOT NULL, item TEXT NOT NULL, who TEXT NOT NULL,"
        " why TEXT NOT NULL, at_ms INTEGER NOT NULL, PRIMARY KEY (list, sku))",
        "CREATE TABLE publication (number INTEGER PRIMARY KEY, made_ms INTEGER NOT NULL, who TEXT NOT NULL,"
        " why TEXT NOT NULL, whole INTEGER NOT NULL, products INTEGER NOT NULL)",
        "CREATE TABLE publication_sku (publication INTEGER NOT NULL, sku TEXT NOT NULL,"
        " PRIMARY KEY (publication, sku))",
        "CREATE TABLE price_history (list TEXT NOT NULL, sku TEXT NOT NULL, publication INTEGER NOT NULL,"
        " was TEXT NOT NULL, item TEXT NOT NULL, who TEXT NOT NULL, why TEXT NOT NULL, at_ms INTEGER NOT NULL,"
        " PRIMARY KEY (sku, list, publication))",
        # a task: how far it has looked (`after`), what it wrote, and the last entry that the shop was sent for it
        "CREATE TABLE publication_shop (publication INTEGER NOT NULL, shop TEXT NOT NULL, state TEXT NOT NULL,"
        " after TEXT NOT NULL, looked INTEGER NOT NULL, written INTEGER NOT NULL, kept INTEGER NOT NULL,"
        " run INTEGER NOT NULL, seq INTEGER NOT NULL, changed_ms INTEGER NOT NULL, why TEXT NOT NULL,"
        " PRIMARY KEY (publication, shop))",
        "CREATE INDEX publication_shop_shop ON publication_shop (shop, publication)",
        "CREATE INDEX publication_shop_state ON publication_shop (state, publication, shop)",
    )),
)  # fmt: skip
WAITING, DONE = "waiting", "done"
WHY_MAX, SKU_MAX = 300, 200
DRAFTS_AT_ONCE = 500  # in one transaction of an import
PAGE = 100
HISTORY_MAX = 200


@dataclass(frozen=True, slots=True)
class Change:
    """What is to be said of a product: these fields, at once or from the day `start` on, where None is what is not said
    any more. No fields at all: nothing is said of it."""

    sku: str
    fields: Mapping[str, Any] | None
    start: str = ""


@dataclass(frozen=True, slots=True)
class Task:
    """A publication in one shop, and how far it is there."""

    publication: int
    shop: str
    state: str
    after: str
    looked: int
    written: int
    kept: int
    run: int
    seq: int
    changed_ms: int
    why: str
    whole: bool
    products: int


@dataclass(frozen=True, slots=True)
class Version:
    """A publication: the version that prices have behind it."""

    number: int
    made_ms: int
    who: str
    why: str
    whole: bool
    products: int


_TASK = (
    "t.publication, t.shop, t.state, t.after, t.looked, t.written, t.kept, t.run, t.seq, t.changed_ms, t.why,"
    " p.whole, p.products FROM publication_shop t JOIN publication p ON p.number = t.publication"
)


@dataclass(frozen=True, slots=True)
class Prices:
    """All of it. Every method may be called from any thread."""

    database: Database
    clock: Callable[[], int]  # milliseconds since 1970
    audit: Callable[..., None] = no_trail  # `Office.audit`: a line of the trail, within the transaction

    # -- groups and policies -------------------------------------------------------------------------------------------

    def groups(self) -> dict[str, list[str]]:
        """{group: its shops}, by name."""
        found: dict[str, list[str]] = {
            name: [] for (name,) in self.database.execute("SELECT name FROM price_group ORDER BY name")
        }
        for name, shop in self.database.execute("SELECT name, shop FROM price_member ORDER BY name, shop"):
            found.setdefault(name, []).append(shop)
        return found

    def set_group(self, name: str, shops: Sequence[str], *, by: Actor = CONSOLE) -> list[str]:
        """Let these shops be the group `name`; each leaves the one that it was in. Answers the shops whose prices are
        others for it. Raises BadRequest."""
        before = self.groups()
        if name not in before:
            name = named("group", name)
        moved = sorted(set(before.get(name, ())) ^ set(shops))

        def work(tx: Transaction) -> None:
            tx.execute("INSERT INTO price_group (name) VALUES (?) ON CONFLICT (name) DO NOTHING", (name,))
            tx.execute("DELETE FROM price_member WHERE name = ?", (name,))
            for shop in sorted(set(shops)):
                tx.execute("DELETE FROM price_member WHERE shop = ?", (shop,))
                tx.execute("INSERT INTO price_member (shop, name) VALUES (?, ?)", (shop, name))
            self.audit(tx, by, "price_group", name, f"{len(set(shops))} shops")

        transact(self.database, work)
        return moved

    def remove_group(self, name: str, *, by: Actor = CONSOLE) -> list[str]:
        """Let there be no such group; answers its shops. Raises NotFound, NotPossible while its list says anything."""
        shops = self.groups().get(name)
        if shops is None:
            raise NotFound(f"there is no group {name[:60]!r}")
        of = group_list(name)
        for table in ("price_item", "price_draft"):
            if self.database.execute(f"SELECT 1 FROM {table} WHERE list = ? LIMIT 1", (of,)).fetchone():
                raise NotPossible(f"the list of {name[:60]!r} has products: take them out, publish, then remove it")

        def work(tx: Transaction) -> None:
            tx.execute("DELETE FROM price_member WHERE name = ?", (name,))
            tx.execute("DELETE FROM price_group WHERE name = ?", (name,))
            tx.execute("DELETE FROM price_policy WHERE list = ?", (of,))
            self.audit(tx, by, "price_group_removed", name)

        transact(self.database, work)
        return shops

    def lists_of(self, shop: str) -> list[str]:
        """The lists that speak for a shop, the least specific first."""
        row = self.database.execute("SELECT name FROM price_member WHERE shop = ?", (shop,)).fetchone()
        return [ALL, *([group_list(row[0])] if row else []), shop_list(shop)]

    def shops_of(self, name: str, shops: Iterable[str]) -> list[str]:
        """Those of these shops that a list speaks for."""
        kind, which = kind_of(name)
        if kind == "all":
            return list(shops)
        inside = {which} if kind == "shop" else set(self.groups().get(which, ()))
        return [shop for shop in shops if shop in inside]

    def keeps(self) -> dict[str, bool]:
        """{list: whether shops may differ from it}, where that was said."""
        rows = self.database.execute("SELECT list, differ FROM price_policy")
        return {name: bool(differ) for name, differ in rows}

    def set_policy(self, name: str, differ: bool, *, by: Actor = CONSOLE) -> None:
        """Whether what a shop changes of this list's prices stays. Raises BadRequest."""
        kind_of(name)

        def work(tx: Transaction) -> None:
            tx.execute(
                "INSERT INTO price_policy (list, differ) VALUES (?, ?)"
                " ON CONFLICT (list) DO UPDATE SET differ = excluded.differ",
                (name, int(differ)),
            )
            self.audit(tx, by, "price_policy", name, "shop may differ" if differ else "head office decides")

        transact(self.database, work)

    # -- lists ---------------------------------------------------------------------------------------------------------

    def counts(self) -> dict[str, tuple[int, int]]:
        """{list: (its products, its drafts)}."""
        found: dict[str, tuple[int, int]] = {ALL: (0, 0)} | {group_list(name): (0, 0) for name in self.groups()}
        for place, table in enumerate(("price_item", "price_draft")):
            for name, count in self.database.execute(f"SELECT list, count(*) FROM {table} GROUP BY list"):
                both = found.get(name, (0, 0))
                found[name] = (count, both[1]) if place == 0 else (both[0], count)
        return found

    def listed(
        self, name: str, *, sku: str = "", q: str = "", after: str = "", limit: int = PAGE, drafts: bool = False
    ) -> list[Item]:
        """Products of a list by SKU, as they are or, where there is one, as their draft says: {sku, item, draft}. With
        `sku` that one alone, with `q` those that have it anywhere."""
        asked = ["d.item IS NOT NULL"] if drafts else []
        params: list[Any] = [name, name, name, name, after]
        if sku:
            asked.append("s.sku = ?")
            params.append(sku)
        if q:
            like = "%" + q.lower().replace("!", "!!").replace("%", "!%").replace("_", "!_") + "%"
            asked.append("(lower(s.sku) LIKE ? ESCAPE '!' OR lower(coalesce(d.item, i.item)) LIKE ? ESCAPE '!')")
            params += [like, like]
        where = "".join(f" AND {each}" for each in asked)
        rows = self.database.execute(
            "SELECT s.sku, i.item, d.item, d.who, d.why FROM (SELECT sku FROM price_item WHERE list = ? UNION"
            " SELECT sku FROM price_draft WHERE list = ?) s LEFT JOIN price_item i ON i.list = ? AND i.sku = s.sku"
            f" LEFT JOIN price_draft d ON d.list = ? AND d.sku = s.sku WHERE s.sku > ?{where} ORDER BY s.sku LIMIT ?",
            (*params, limit),
        )
        return [
            {"sku": sku, "item": _loads(item), "draft": _loads(draft), "drafted": draft is not None, "who": who or "",
             "why": why or ""}
            for sku, item, draft, who, why in rows
        ]  # fmt: skip

    def items(self, lists: Sequence[str], skus: Sequence[str]) -> dict[str, list[tuple[str, Item]]]:
        """{SKU: [(list, what it says)...]} of published lists, in the order of `lists`."""
        if not skus:
            return {}
        marks = ",".join("?" * len(skus))
        of = ",".join("?" * len(lists))
        rows = self.database.execute(
            f"SELECT list, sku, item FROM price_item WHERE list IN ({of}) AND sku IN ({marks})", (*lists, *skus)
        ).fetchall()
        found: dict[str, list[tuple[str, Item]]] = {}
        for name, sku, item in sorted(rows, key=lambda row: lists.index(row[0])):
            found.setdefault(sku, []).append((name, json.loads(item)))
        return found

    def skus(self, lists: Sequence[str], after: str, limit: int) -> list[str]:
        """The SKUs that any of these lists has, behind `after`."""
        of = ",".join("?" * len(lists))
        rows = self.database.execute(
            f"SELECT DISTINCT sku FROM price_item WHERE list IN ({of}) AND sku > ? ORDER BY sku LIMIT ?",
            (*lists, after, limit),
        )
        return [sku for (sku,) in rows]

    # -- drafts --------------------------------------------------------------------------------------------------------

    def draft(
        self, name: str, changes: Sequence[Change], *, by: Actor = CONSOLE, why: str = "", dry_run: bool = False,
        told: bool = False,
    ) -> list[tuple[Change, Item | None, Item | None, str]]:  # fmt: skip
        """Change what a list says of products, as drafts; None of `fields` takes the product out of the list. Answers
        (change, what was said, what is said now, what is wrong) of each that differs or is wrong; with `dry_run`
        nothing is written. `told`: the caller sees to the trail (`tell`). Raises BadRequest where the list is none."""
        kind, which = kind_of(name)
        if kind == "group" and which not in self.groups():
            raise BadRequest.of("list", f"there is no group {which[:60]!r}: make it first")
        why = why.strip()[:WHY_MAX]
        found: list[tuple[Change, Item | None, Item | None, str]] = []
        for start in range(0, len(changes), DRAFTS_AT_ONCE):
            found += self._draft(name, changes[start : start + DRAFTS_AT_ONCE], by, why, dry_run, told)
        return found

    def tell(self, name: str, count: int, *, by: Actor = CONSOLE, why: str = "") -> None:
        """Write into the trail that so many products of a list were drafted."""
        detail = f"{count} products: {why[:WHY_MAX]}" if why else f"{count} products"
        transact(self.database, lambda tx: self.audit(tx, by, "price_draft", name, detail))

    def _draft(
        self, name: str, changes: Sequence[Change], by: Actor, why: str, dry_run: bool, told: bool
    ) -> list[tuple[Change, Item | None, Item | None, str]]:
        at_ms = self.clock()

        def work(tx: Transaction) -> list[tuple[Change, Item | None, Item | None, str]]:
            skus = sorted({change.sku for change in changes})
            marks = ",".join("?" * len(skus))
            asked = f"SELECT sku, item FROM {{}} WHERE list = ? AND sku IN ({marks})"
            published = {s: _loads(i) for s, i in tx.execute(asked.format("price_item"), (name, *skus)).fetchall()}
            drafts = {s: _loads(i) for s, i in tx.execute(asked.format("price_draft"), (name, *skus)).fetchall()}
            now: dict[str, Item | None] = {sku: drafts.get(sku, published.get(sku)) for sku in skus}
            before, found = dict(now), []
            for change in changes:
                was = now[change.sku]
                try:
                    now[change.sku] = _changed(name, change, was)
                except BadRequest as error:
                    found.append((change, was, was, str(error)))
                    continue
                if now[change.sku] != was:
                    found.append((change, was, now[change.sku], ""))
            moved = [sku for sku in skus if now[sku] != before[sku]]
            if dry_run or not moved:
                return found
            tx.executemany("DELETE FROM price_draft WHERE list = ? AND sku = ?", [(name, sku) for sku in moved])
            rows = [
                (name, sku, "" if now[sku] is None else _dumps(now[sku]), by.name, why, at_ms)
                for sku in moved
                if now[sku] != published.get(sku)
            ]
            tx.executemany("INSERT INTO price_draft (list, sku, item, who, why, at_ms) VALUES (?, ?, ?, ?, ?, ?)", rows)
            about = moved[0] if len(moved) == 1 else f"{len(moved)} products"
            if not told:
                self.audit(tx, by, "price_draft", name, f"{about}: {why}" if why else about)
            return found

        return transact(self.database, work)

    def discard(self, lists: Sequence[str], *, by: Actor = CONSOLE) -> int:
        """Forget the drafts of these lists; how many they were."""

        def work(tx: Transaction) -> int:
            of = ",".join("?" * len(lists))
            count = int(tx.execute(f"DELETE FROM price_draft WHERE list IN ({of})", tuple(lists)).rowcount)
            if count:
                self.audit(tx, by, "price_discard", ", ".join(lists)[:NAME_MAX], f"{count} drafts")
            return count

        return transact(self.database, work) if lists else 0

    # -- publishing ----------------------------------------------------------------------------------------------------

    def publish(self, lists: Sequence[str], shops: Sequence[str], *, by: Actor = CONSOLE, why: str = "") -> int:
        """Take the drafts of these lists over, and begin to bring them to those of `shops` that they are for. Answers
        the publication's number. Raises NotPossible where there is no draft."""
        of, why = ",".join("?" * len(lists)) or "NULL", why.strip()[:WHY_MAX]
        for_whom = {name: self.shops_of(name, shops) for name in lists}

        def work(tx: Transaction) -> int:
            drafted = [n for (n,) in tx.execute(
                f"SELECT DISTINCT list FROM price_draft WHERE list IN ({of})", tuple(lists)
            ).fetchall()]  # fmt: skip
            if not drafted:
                raise NotPossible("there is nothing to publish: no list has a draft")
            number = self._begin(tx, by, why, whole=False)
            tx.execute(
                "INSERT INTO price_history (list, sku, publication, was, item, who, why, at_ms) SELECT d.list, d.sku,"
                " CAST(? AS INTEGER), coalesce(i.item, ''), d.item, d.who, d.why, d.at_ms FROM price_draft d LEFT JOIN"
                f" price_item i ON i.list = d.list AND i.sku = d.sku WHERE d.list IN ({of})",
                (number, *lists),
            )
            tx.execute(
                "INSERT INTO publication_sku (publication, sku) SELECT DISTINCT CAST(? AS INTEGER), sku"
                f" FROM price_draft WHERE list IN ({of})",
                (number, *lists),
            )
            tx.execute(
                f"DELETE FROM price_item WHERE list IN ({of}) AND EXISTS (SELECT 1 FROM price_draft d WHERE"
                " d.list = price_item.list AND d.sku = price_item.sku)",
                tuple(lists),
            )
            tx.execute(
                "INSERT INTO price_item (list, sku, item) SELECT list, sku, item FROM price_draft"
                f" WHERE list IN ({of}) AND item <> ''",
                tuple(lists),
            )
            tx.execute(f"DELETE FROM price_draft WHERE list IN ({of})", tuple(lists))
            tx.execute(
                "UPDATE publication SET products = (SELECT count(*) FROM publication_sku WHERE publication = ?)"
                " WHERE number = ?",
                (number, number),
            )
            self._tasks(tx, number, sorted({shop for name in drafted for shop in for_whom[name]}))
            self.audit(tx, by, "price_publish", str(number), why)
            return number

        return transact(self.database, work)

    def publish_again(self, shops: Sequence[str], *, by: Actor = CONSOLE, why: str = "") -> int:
        """Compare all that the lists say with what these shops have, and bring them what differs."""

        def work(tx: Transaction) -> int:
            number = self._begin(tx, by, why.strip()[:WHY_MAX], whole=True)
            (count,) = tx.execute("SELECT count(DISTINCT sku) FROM price_item").fetchone()
            tx.execute("UPDATE publication SET products = ? WHERE number = ?", (count, number))
            self._tasks(tx, number, shops)
            self.audit(tx, by, "price_publish", str(number), why)
            return number

        return transact(self.database, work)

    def _begin(self, tx: Transaction, by: Actor, why: str, *, whole: bool) -> int:
        (last,) = tx.execute("SELECT coalesce(max(number), 0) FROM publication").fetchone()
        tx.execute(
            "INSERT INTO publication (number, made_ms, who, why, whole, products) VALUES (?, ?, ?, ?, ?, 0)",
            (last + 1, self.clock(), by.name, why, int(whole)),
        )
        return int(last) + 1

    def _tasks(self, tx: Transaction, number: int, shops: Sequence[str]) -> None:
        tx.executemany(
            "INSERT INTO publication_shop (publication, shop, state, after, looked, written, kept, run, seq,"
            " changed_ms, why) VALUES (?, ?, ?, '', 0, 0, 0, 0, 0, ?, '')",
            [(number, shop, WAITING, self.clock()) for shop in shops],
        )

    def newcomers(self, shops: Sequence[str]) -> list[str]:
        """Those of these shops to which nothing was published yet, though the lists have something for them."""
        fresh = self._unmet(shops)
        if not fresh or self.database.execute("SELECT 1 FROM price_item LIMIT 1").fetchone() is None:
            return []
        said = {name for (name,) in self.database.execute("SELECT DISTINCT list FROM price_item")}
        if ALL in said:
            return fresh
        groups = dict(self.database.execute("SELECT shop, name FROM price_member").fetchall())
        return [
            shop for shop in fresh
            if shop_list(shop) in said or (shop in groups and group_list(groups[shop]) in said)
        ]  # fmt: skip

    def _unmet(self, shops: Sequence[str]) -> list[str]:
        """Those of these shops to which nothing was published: a look into the index for each, for this is asked every
        second, and all that was ever published only grows."""
        found: set[str] = set()
        for _, piece in in_pieces(shops):
            rows = self.database.execute(
                f"SELECT v.column1 FROM (VALUES {','.join(['(?)'] * len(piece))}) v WHERE NOT EXISTS"
                " (SELECT 1 FROM publication_shop t WHERE t.shop = v.column1)",
                tuple(piece),
            )
            found |= {shop for (shop,) in rows}
        return [shop for shop in shops if shop in found]

    # -- tasks ---------------------------------------------------------------------------------------------------------

    def waiting(
        self, *, shops: Iterable[str] | None = None, but: Iterable[str] = (), limit: int = PAGE
    ) -> list[Task]:
        """What is still to be done, the oldest publication first; of each shop one, only of `shops` where they are
        named, and none of the shops `but`."""
        apart, of = set(but), None if shops is None else set(shops)
        rows = self.database.execute(
            f"SELECT {_TASK} WHERE t.state = ? ORDER BY t.publication, t.shop", (WAITING,)
        )
        found: dict[str, Task] = {}
        for row in rows:
            task = _task(row)
            if task.shop not in apart and (of is None or task.shop in of):
                found.setdefault(task.shop, task)
            if len(found) >= limit:
                break
        return list(found.values())

    def next_skus(self, task: Task, limit: int) -> list[str]:
        """What a task is to look at next."""
        if task.whole:
            return self.skus(self.lists_of(task.shop), task.after, limit)
        rows = self.database.execute(
            "SELECT sku FROM publication_sku WHERE publication = ? AND sku > ? ORDER BY sku LIMIT ?",
            (task.publication, task.after, limit),
        )
        return [sku for (sku,) in rows]

    def keep(self, task: Task) -> None:
        """Note how far a task is."""

        def work(tx: Transaction) -> None:
            tx.execute(
                "UPDATE publication_shop SET state = ?, after = ?, looked = ?, written = ?, kept = ?, run = ?, seq = ?,"
                " changed_ms = ?, why = ? WHERE publication = ? AND shop = ?",
                (task.state, task.after, task.looked, task.written, task.kept, task.run, task.seq, self.clock(),
                 task.why, task.publication, task.shop),
            )  # fmt: skip

        transact(self.database, work)

    def tasks(self, *, shop: str | None = None, publication: int | None = None, limit: int = PAGE) -> list[Task]:
        """Tasks, the newest publication first."""
        both = ("t.shop", shop), ("t.publication", publication)
        asked = [(name, value) for name, value in both if value is not None]
        where = " AND ".join(f"{name} = ?" for name, _ in asked) or "1 = 1"
        rows = self.database.execute(
            f"SELECT {_TASK} WHERE {where} ORDER BY t.publication DESC, t.shop LIMIT ?",
            (*(value for _, value in asked), limit),
        )
        return [_task(row) for row in rows]

    def versions(self, shops: Sequence[str] | None = None, *, limit: int = 20) -> list[dict[str, Any]]:
        """Publications, the newest first, with how many shops each is for and how many have it; with `shops` those that
        are for one of these, as if there were no others."""
        theirs = "" if shops is None else f" AND t.shop IN ({','.join('?' * len(shops)) or 'NULL'})"
        some = theirs and f"WHERE EXISTS (SELECT 1 FROM publication_shop t WHERE t.publication = number{theirs})"
        rows = self.database.execute(
            "SELECT p.number, p.made_ms, p.who, p.why, p.whole, p.products, count(t.shop),"
            " sum(CASE WHEN t.state = 'done' THEN 1 ELSE 0 END), sum(t.written) FROM"
            f" (SELECT * FROM publication {some} ORDER BY number DESC LIMIT ?) p"
            f" LEFT JOIN publication_shop t ON t.publication = p.number{theirs}"
            " GROUP BY p.number, p.made_ms, p.who, p.why, p.whole, p.products ORDER BY p.number DESC",
            (*(shops or ()), limit, *(shops or ())),
        )
        return [
            {"number": number, "made_ms": made_ms, "who": who, "why": why, "whole": bool(whole), "products": products,
             "shops": int(shops), "done": int(done or 0), "written": int(written or 0)}
            for number, made_ms, who, why, whole, products, shops, done, written in rows
        ]  # fmt: skip

    def history(self, *, sku: str = "", lists: Sequence[str] | None = None, limit: int = PAGE) -> list[dict[str, Any]]:
        """Who changed what, when and why, the newest first; of some lists only, where they are named."""
        asked, params = ["1 = 1"], list[Any]()
        if sku:
            asked.append("h.sku = ?")
            params.append(sku)
        if lists is not None:
            asked.append(f"h.list IN ({','.join('?' * len(lists)) or 'NULL'})")
            params += lists
        rows = self.database.execute(
            "SELECT h.list, h.sku, h.publication, h.was, h.item, h.who, h.why, h.at_ms, p.made_ms, p.who FROM"
            " price_history h JOIN publication p ON p.number = h.publication WHERE " + " AND ".join(asked)
            + " ORDER BY h.publication DESC, h.list, h.sku LIMIT ?",
            (*params, min(limit, HISTORY_MAX)),
        )
        return [
            {"list": name, "sku": sku, "version": number, "was": _loads(was), "now": _loads(item), "who": who,
             "why": why, "at_ms": at_ms, "published_ms": made_ms, "published_by": by}
            for name, sku, number, was, item, who, why, at_ms, made_ms, by in rows
        ]  # fmt: skip


def _changed(name: str, change: Change, was: Item | None) -> Item | None:
    if change.fields is None:
        return None
    if not 0 < len(change.sku) <= SKU_MAX or change.sku != change.sku.strip():
        raise BadRequest.of("sku", f"is a text of up to {SKU_MAX} characters without blanks around it")
    fields = change.fields
    if change.start:  # a row of a file says again what it does not change
        held = was or {}
        fields = {n: v for n, v in fields.items() if n in DATED or (v is not None and held.get(n) != v)}
    item = item_by(change.sku, was, fields, change.start, least=name == ALL)
    if name == ALL and ("name" not in item or "price" not in item):
        raise BadRequest.of("name", "and price are needed of a product that is for all shops")
    return item if len(item) > 1 else None


def _task(row: Any) -> Task:
    values = [*row]
    values[11] = bool(values[11])
    return Task(*values)


def _dumps(item: Any) -> str:
    return json.dumps(item, ensure_ascii=False, separators=(",", ":"))


def _loads(item: str | None) -> Item | None:
    return json.loads(item) if item else None
