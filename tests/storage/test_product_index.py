"""The index of products follows the current edits in whatever order they come, and is made again where it is not so."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from posline.core.entry import Entry
from posline.storage.product_index import VERSION_NOTE, differences
from posline.storage.products import Products
from posline.storage.store import Store
from tests.kit import Writer, all_entries, shop_of, take

CATALOGUE = "catalog/1"
NAMES = ("Tapal Danedar", "Lipton Yellow", "Basmati rice", "چائے", "7-Up")


def put(writer: Writer, *products: dict[str, Any], seen: dict[str, str]) -> Entry:
    entry = writer.write("products", {"products": list(products), "seen": dict(seen)}, document=CATALOGUE)
    seen[writer.id] = entry.hash.hex()
    return entry


def product(sku: str, name: str, **more: Any) -> dict[str, Any]:
    return {"sku": sku, "name": name, "price": 100} | more


def edits_of_two() -> tuple[str, list[Entry]]:
    """(shop, entries): two tills that edit the same products, now knowing each other's edits and now not."""
    a, b = Writer("alif"), Writer("be")
    shop = shop_of(a, b)
    rng = random.Random("edits")
    seen: dict[str, dict[str, str]] = {a.id: {}, b.id: {}}
    for n in range(40):
        writer = rng.choice((a, b))
        if rng.random() < 0.4:
            for one in seen.values():
                one.update(seen[a.id] | seen[b.id])
        more: dict[str, Any] = {"barcode": str(rng.randrange(6)), "department": rng.choice(("Tea", "Food", ""))}
        if rng.random() < 0.2:
            more["active"] = False
        put(writer, product(str(rng.randrange(5)), f"{rng.choice(NAMES)} {n}", **more), seen=seen[writer.id])
    return shop, all_entries(a, b)


def rows(store: Store) -> list[list[Any]]:
    """What the index holds, without the numbers that depend on the order of arrival."""
    return [
        sorted(store.read.execute(query).fetchall())
        for query in (
            "SELECT sku, active, name, name_ur, department, favourite, words FROM product",
            "SELECT code, sku FROM barcode",
            "SELECT sku FROM product WHERE n IN (SELECT rowid FROM product_words WHERE product_words MATCH '\"t\"*')",
        )
    ]


def test_whatever_the_order_of_arrival_the_index_is_that_of_the_current_edits() -> None:
    shop, entries = edits_of_two()
    wanted: list[list[Any]] | None = None
    for seed in range(15):
        order = list(entries)
        random.Random(seed).shuffle(order)
        size = 1 + seed % 7
        store = Store.open(":memory:")
        take(store, shop, [order[i : i + size] for i in range(0, len(order), size)])
        assert not list(differences(store.read, store.shop_key(shop) or 0, store.document_key(shop, CATALOGUE) or 0))
        wanted = wanted or rows(store)
        assert rows(store) == wanted, f"seed {seed}"
        store.close()
    assert wanted is not None and all(wanted)


def test_an_index_of_other_rules_is_made_again_when_the_file_is_opened(tmp_path: Path) -> None:
    shop, entries = edits_of_two()
    store = Store.open(str(tmp_path / "shop.db"))
    take(store, shop, [entries])
    wanted = rows(store)
    store._db.execute("UPDATE product SET name = 'of another version'")
    store._db.execute("DELETE FROM barcode")
    store._db.execute("INSERT INTO product_words (product_words) VALUES ('delete-all')")
    store._db.execute("UPDATE meta SET value = '\"0.0\"' WHERE name = ?", (VERSION_NOTE,))
    store.close()
    store = Store.open(str(tmp_path / "shop.db"))
    assert rows(store) == wanted
    store.close()


@pytest.mark.parametrize("damage", ["UPDATE product SET words = 'x'", "DELETE FROM product", "DELETE FROM barcode"])
def test_a_row_that_is_not_what_the_edits_say_is_found(damage: str) -> None:
    shop, entries = edits_of_two()
    store = Store.open(":memory:")
    take(store, shop, [entries])
    place = store.shop_key(shop) or 0, store.document_key(shop, CATALOGUE) or 0
    assert list(differences(store.read, *place)) == []
    store._db.execute(damage)
    assert list(differences(store.read, *place))
    store.close()


def test_a_product_that_loses_a_word_is_not_found_by_it_any_more() -> None:
    a = Writer("alif")
    shop = shop_of(a)
    seen: dict[str, str] = {}
    store = Store.open(":memory:")
    put(a, product("1", "Tapal tea", barcode="111", barcodes=["111", "0222222222222"]), seen=seen)
    take(store, shop, [a.entries])
    products = Products(store, shop)

    def found(typed: str) -> list[str]:
        return [one["sku"] for one in products.search(typed)]

    assert (found("tea"), found("ap"), products.owners("222222222222")) == (["1"], ["1"], ["1"])
    assert products.owners("02222222222222") == []
    put(a, product("1", "Tapal coffee", barcode="333"), seen=seen)
    take(store, shop, [a.entries[-1:]])
    assert (found("tea"), found("coffee"), found("111"), found("333")) == ([], ["1"], [], ["1"])
    put(a, product("1", "Tapal coffee", active=False), seen=seen)
    take(store, shop, [a.entries[-1:]])
    assert (found("coffee"), found("1"), found("333"), products.get("1") is not None) == ([], [], [], True)
    store.close()


def test_what_is_typed_is_no_query_language() -> None:
    a = Writer("alif")
    shop = shop_of(a)
    store = Store.open(":memory:")
    put(a, product("1", 'Tea "OR" * NEAR'), product("2", "100% juice_"), seen={})
    take(store, shop, [a.entries])
    products = Products(store, shop)
    for typed in ('"', "*", "tea AND", "NEAR(", "a:b", "%", "_", "\x00", "\ue000", "' OR 1=1 --", "(", "-", "^tea"):
        products.search(typed)
    assert [one["sku"] for one in products.search('tea "or')] == ["1"]
    assert [one["sku"] for one in products.search("%")] == []
    store.close()
