"""The index of what can be found of products: equal to a fresh one whatever came in whichever order, and made again."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from posline.core.entry import Entry
from posline.storage.product_index import ProductIndex
from posline.storage.products import Products
from posline.storage.store import Store
from posline.storage.verify import verify
from tests.kit import DAY, Writer, all_entries, shop_of, take

CATALOGUE = "catalog/1"
SHELF: list[dict[str, Any]] = [
    {"sku": "101", "name": "Tapal Danedar Tea 475 g", "name_ur": "دانے دار چائے", "price": 650,
     "department": "Tea & Co", "barcode": "8964000100019", "barcodes": ["8964000100019", "036000291452"],
     "favourite": "2/1"},
    {"sku": "102", "name": "Lipton Tea Bags", "price": 400, "department": "Tea & Co", "favourite": "10"},
    {"sku": "103", "name": "7-Up 1.5 L", "price": 180, "department": "Drinks", "favourite": "9"},
    {"sku": "104", "name": "Nestlé Milk", "name_ur": "دودھ", "price": 120, "department": "Dairy"},
    {"sku": "ab-5", "name": "Tea Whitener", "price": 90, "department": "Dairy", "barcode": "CODE/9"},
    {"sku": "106", "name": "Teapot", "price": 900, "active": False, "barcode": "777", "favourite": "1"},
]  # fmt: skip


def edit(writer: Writer, *products: dict[str, Any], seen: dict[str, str] | None = None, catalogue: str = CATALOGUE) \
        -> Entry:  # fmt: skip
    """An edit by one who has seen the edits that `seen` names, of each author the last."""
    return writer.write("products", {"products": list(products), "seen": seen or {}}, document=catalogue)


@pytest.fixture
def shelf() -> Iterator[tuple[Store, Products]]:
    a = Writer("alif")
    shop = shop_of(a)
    edit(a, *SHELF)
    store = Store.open(":memory:")
    take(store, shop, [all_entries(a)])
    yield store, Products(store, shop)
    store.close()


def named(sku: str, name: str, **more: Any) -> dict[str, Any]:
    return {"sku": sku, "name": name, "price": 100} | more


def skus(found: list[dict[str, Any]]) -> list[str]:
    return [product["sku"] for product in found]


# -- search ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("t", ["101", "ab-5", "102"]),  # names that begin so, by name; then a word of the name
        ("tea", ["ab-5", "102", "101"]),
        ("  TEA  bag ", ["102"]), ("bags lip", ["102"]), ("tea milk", []), ("tapal danedar tea 475 g", ["101"]),
        ("چائ", ["101"]), ("چاى", ["101"]), ("دار", ["101"]), ("دوده", ["104"]), ("دُودھ", ["104"]), ("nestle", ["104"]),
        ("۱۰۳", ["103"]), ("7 up", ["103"]), ("7up", ["103"]), ("7-UP", ["103"]), ("1.5", ["103"]),
        ("103", ["103"]), ("10", ["104", "102", "101", "103"]), ("AB-5", ["ab-5"]), ("ab 5", ["ab-5"]),
        ("036000291452", ["101"]), ("0036000291452", ["101"]), ("89640001", ["101"]), ("code/9", ["ab-5"]),
        ("dairy", ["104", "ab-5"]), ("co", ["ab-5", "102", "101"]), ("apal", ["101"]), ("hitener", ["ab-5"]),
        ("teapot", []), ("777", []), ("106", []), ("-", []), ("", []), ("zzz", []), ('"', []), ("tea OR milk", []),
        ("tea*", ["ab-5", "102", "101"]), ("NEAR(tea)", []), ("\ue000dairy", ["104", "ab-5"]),
    ],
)  # fmt: skip
def test_what_is_typed_is_found(shelf: tuple[Store, Products], typed: str, found: list[str]) -> None:
    _, products = shelf
    answer = skus(products.search(typed))
    if typed in ("10", "co"):  # which of the equals comes first is shown by the others
        answer, found = sorted(answer), sorted(found)
    assert answer == found


@given(st.text(max_size=30))
@example("\ud800".encode("utf-16", "surrogatepass").decode("utf-16", "replace"))
@example("a\u0000b")
@example(" ".join("abcdefghijkl"))
@example("x" * 5000)
@settings(max_examples=100)
def test_whatever_is_typed_is_answered(text: str) -> None:
    assert set(skus(SHARED.search(text))) <= {"101", "102", "103", "104", "ab-5"}


@given(st.sampled_from([p for p in SHELF if p.get("active", True)]), st.data())
@settings(max_examples=100)
def test_each_beginning_of_words_in_any_order_finds_the_product(product: dict[str, Any], data: st.DataObject) -> None:
    words = data.draw(st.permutations(product["name"].split()))[:3]
    typed = " ".join(word[: data.draw(st.integers(1, len(word)))] for word in words)
    assert product["sku"] in skus(SHARED.search(typed))


def test_a_search_within_a_department_finds_nothing_of_another(shelf: tuple[Store, Products]) -> None:
    _, products = shelf
    assert skus(products.search("tea", department="Dairy")) == ["ab-5"]
    assert skus(products.search("tea", department="Tea & Co")) == ["102", "101"]
    assert skus(products.search("7up", department="Drinks")) == ["103"]
    assert skus(products.search("103", department="Dairy")) == []
    assert skus(products.search("8964000100019", department="Drinks")) == []
    assert skus(products.search("tea", department="Tea")) == [], "a department is meant as a whole"


@pytest.mark.parametrize("typed", ["t", "tea", "1", "d"])
def test_pages_of_a_search_are_the_whole(shelf: tuple[Store, Products], typed: str) -> None:
    _, products = shelf
    whole = skus(products.search(typed))
    after, pages = "", []
    while page := skus(products.search(typed, after=after, limit=1)):
        pages += page
        after = page[-1]
    assert pages == whole
    assert products.search(typed, after="no such sku") == []


def test_what_is_typed_is_no_query_language() -> None:
    a = Writer("alif")
    shop = shop_of(a)
    store = Store.open(":memory:")
    edit(a, named("1", 'Tea "OR" * NEAR'), named("2", "100% juice_"))
    take(store, shop, [a.entries])
    products = Products(store, shop)
    for typed in ('"', "*", "tea AND", "NEAR(", "a:b", "%", "_", "\x00", "\ue000", "' OR 1=1 --", "(", "-", "^tea"):
        products.search(typed)
    assert [one["sku"] for one in products.search('tea "or')] == ["1"]
    assert [one["sku"] for one in products.search("%")] == []
    store.close()


# -- lists -------------------------------------------------------------------------------------------------------------


def test_lists_departments_keys_and_barcodes(shelf: tuple[Store, Products]) -> None:
    _, products = shelf
    assert skus(products.listed()) == ["101", "102", "103", "104", "ab-5"]
    assert skus(products.listed(retired=True)) == ["101", "102", "103", "104", "106", "ab-5"]
    assert skus(products.listed(after="102", limit=2)) == ["103", "104"]
    assert skus(products.listed(department="Dairy", after="104")) == ["ab-5"]
    assert products.departments() == [
        {"department": "Dairy", "products": 2}, {"department": "Drinks", "products": 1},
        {"department": "Tea & Co", "products": 2},
    ]  # fmt: skip
    assert skus(products.favourites()) == ["103", "102", "101"], "by page and key, as numbers, and none that is retired"
    for code, found in (("036000291452", ["101"]), ("0036000291452", ["101"]), ("777", []), ("3600029145", [])):
        assert skus(products.with_barcode(code)) == found
    assert products.get("106") == SHELF[5] and products.get("107") is None


def test_two_that_were_given_one_barcode_are_both_found() -> None:
    a = Writer("alif")
    shop = shop_of(a)
    edit(a, *SHELF, {"sku": "200", "name": "Other", "price": 1, "barcode": "0036000291452"})
    store = Store.open(":memory:")
    take(store, shop, [all_entries(a)])
    assert skus(Products(store, shop).with_barcode("036000291452")) == ["101", "200"]
    store.close()


def test_another_catalogue_and_another_shop_do_not_mix() -> None:
    a, z = Writer("alif"), Writer("zed")
    shop, other = shop_of(a), shop_of(z)
    edit(a, *SHELF)
    edit(a, {"sku": "101", "name": "Tea of next year", "price": 1}, catalogue="catalog/2")
    edit(z, {"sku": "Z", "name": "Tea of theirs", "price": 1})
    store = Store.open(":memory:")
    take(store, shop, [all_entries(a)])
    take(store, other, [all_entries(z)])
    products = Products(store, shop)
    assert skus(products.search("tea")) == ["ab-5", "102", "101"]
    a.act("setting", {"name": "catalog", "value": 2})
    take(store, shop, [all_entries(a)[-1:]])
    assert (products.catalogue, skus(products.search("tea")), products.favourites()) == ("catalog/2", ["101"], [])
    assert skus(Products(store, other).search("tea")) == ["Z"]
    assert not list(verify(store, shop)) and not list(verify(store, other))
    store.close()


# -- kept beside the edits ---------------------------------------------------------------------------------------------


def rows(store: Store) -> list[list[tuple[Any, ...]]]:
    """The index without numbers and places that depend on the order of arrival."""
    name = "(SELECT name FROM document d WHERE d.shop = p.shop AND d.key = p.document)"
    columns = "sku, active, p.name, name_ur, department, favourite, words"
    return [
        sorted(store.read.execute(f"SELECT {name}, {columns} FROM product p").fetchall()),
        sorted(store.read.execute(f"SELECT {name}, code, sku FROM barcode p").fetchall()),
        sorted(store.read.execute("SELECT name, hash FROM edit_conflict").fetchall()),
    ]


def found_of_words(store: Store) -> list[tuple[str, str]]:
    """(word, SKU) of all that the index of words finds."""
    words = {word for (text,) in store.read.execute("SELECT words FROM product") for word in text.split()}
    (shop,) = store.read.execute("SELECT key FROM shop").fetchone()
    index = store.dialect.words
    return sorted((w, sku) for w in words for sku in index.found(store.read, shop, (0, 1 << 60), [w], "", 1000))


def edits_of_two(rng: random.Random) -> tuple[str, list[Entry]]:
    """Two managers who edit a few products, now having seen each other's edits and now not, and change roles."""
    a, b = Writer("alif"), Writer("be")
    shop = shop_of(a, b)
    last: dict[str, Entry] = {}
    for n in range(14):
        writer = rng.choice((a, b))
        product: dict[str, Any] = {"sku": rng.choice("XY"), "name": rng.choice(("Tea", "Milk", "Tea Bags")), "price": n}
        if rng.random() < 0.4:
            product |= {"barcode": rng.choice(("1", "2")), "department": rng.choice(("Hot", "Cold")), "favourite": "1"}
        if rng.random() < 0.3:
            product["active"] = False
        heard = rng.random() < 0.5
        seen = {name: entry.hash.hex() for name, entry in last.items() if heard or name == writer.id}
        last[writer.id] = edit(writer, product, seen=seen)
    b.hear(a)
    a.set_role(b, rng.choice(("till", "manager")))
    return shop, all_entries(a, b)


@pytest.mark.many
def test_edits_of_two_managers_in_any_order_give_one_index() -> None:
    contested = 0
    for seed in (*range(12), 119, 125, 134):  # in the last ones, what an edit had seen comes after it
        rng = random.Random(seed)
        shop, entries = edits_of_two(rng)
        wanted: list[list[tuple[Any, ...]]] | None = None
        for _ in range(5):
            order = [*entries, *rng.choices(entries, k=3)]
            rng.shuffle(order)
            size = rng.choice((1, 3, len(order)))
            store = Store.open(":memory:")
            take(store, shop, [order[i : i + size] for i in range(0, len(order), size)])
            found, words = rows(store), found_of_words(store)
            wanted = wanted or found
            assert found == wanted, f"seed {seed}"
            assert list(verify(store, shop)) == [], f"seed {seed}"
            store._db.execute("BEGIN")
            ProductIndex(store._db, store.dialect).make()
            store._db.execute("COMMIT")
            assert (rows(store), found_of_words(store)) == (found, words), f"seed {seed}: a fresh one is another"
            contested += bool(found[2])
            store.close()
    assert contested, "some of it stood beside something else"


def test_an_edit_covers_the_others_of_whom_it_had_seen_even_where_that_comes_last() -> None:
    """It had seen another's edit of one product, and so that one's earlier edit of the other product."""
    a, b = Writer("alif"), Writer("be")
    shop = shop_of(a, b)
    old = edit(b, named("X", "Tea", price=1), seen={})
    between = edit(b, named("Y", "Milk", price=2), seen={b.id: old.hash.hex()})
    new = edit(a, named("X", "Tea", price=3), seen={b.id: between.hash.hex()})
    everything = all_entries(a, b)
    moved = b.write("redate", {"author": b.id, "of": b.run, "first": 1, "last": 9, "to": "2026-11-21", "seen": {}})
    aside = b.write("redate", {"author": b.id, "of": 1, "first": 1, "last": 1, "to": DAY, "seen": {}})
    again = a.write(
        "redate",
        {"author": b.id, "of": b.run, "first": 1, "last": 9, "to": "2026-11-22", "seen": {b.id: aside.hash.hex()}},
    )
    everything += [moved, aside, again]
    for last in (between, aside, new, again):
        store = Store.open(":memory:")
        take(store, shop, [[e for e in everything if e is not last], [last]])
        assert sorted(store.read.execute("SELECT name, hash FROM edit_conflict").fetchall()) == []
        found = Products(store, shop).get("X")
        assert found is not None and found["price"] == 3
        assert list(verify(store, shop)) == []
        days = store.read.execute("SELECT day FROM entry WHERE author = ? AND kind = 'run'", (b.id,)).fetchall()
        assert days == [("2026-11-22",)], last.kind


def test_a_product_that_loses_a_word_is_not_found_by_it_any_more() -> None:
    a = Writer("alif")
    shop = shop_of(a)
    store = Store.open(":memory:")
    last = edit(a, named("1", "Tapal tea", barcode="111", barcodes=["111", "0222222222222"]))
    take(store, shop, [a.entries])
    products = Products(store, shop)

    def found(typed: str) -> list[str]:
        return [one["sku"] for one in products.search(typed)]

    assert (found("tea"), found("ap"), products.owners("222222222222")) == (["1"], ["1"], ["1"])
    assert products.owners("02222222222222") == []
    last = edit(a, named("1", "Tapal coffee", barcode="333"), seen={a.id: last.hash.hex()})
    take(store, shop, [a.entries[-1:]])
    assert (found("tea"), found("coffee"), found("111"), found("333")) == ([], ["1"], [], ["1"])
    edit(a, named("1", "Tapal coffee", active=False), seen={a.id: last.hash.hex()})
    take(store, shop, [a.entries[-1:]])
    assert (found("coffee"), found("1"), found("333"), products.get("1") is not None) == ([], [], [], True)
    store.close()


def test_who_loses_the_role_loses_between_edits_that_stand_beside_each_other() -> None:
    a, b = Writer("alif"), Writer("be")
    shop = shop_of(a, b)
    edit(a, SHELF[3])
    edit(b, SHELF[3] | {"name": "Fresh Milk", "barcode": "9"})
    store = Store.open(":memory:")
    take(store, shop, [all_entries(a, b)])
    products = Products(store, shop)
    (conflict,) = products.conflicts()
    names = {entry["till"]: entry["value"]["name"] for entry in conflict["edits"]}
    assert names == {a.id: "Nestlé Milk", b.id: "Fresh Milk"} and products.conflict_count() == 1
    loser = a if conflict["edits"][0]["till"] == a.id else b
    winner = b if loser is a else a
    winner.hear(loser)
    winner.set_role(loser, "till")  # of whom the greater hash has been in use until now
    take(store, shop, [winner.entries[-1:]])
    current = products.get("104")
    assert current is not None and current["name"] == names[winner.id]
    assert skus(products.search("fresh")) == (["104"] if winner is b else [])
    assert skus(products.with_barcode("9")) == (["104"] if winner is b else [])
    assert list(verify(store, shop)) == []
    store.close()


@pytest.mark.sqlite
def test_an_index_of_older_rules_is_made_again_at_the_next_start(tmp_path: Path) -> None:
    a = Writer("alif")
    shop = shop_of(a)
    edit(a, *SHELF)
    store = Store.open(str(tmp_path / "shop.db"))
    take(store, shop, [all_entries(a)])
    wanted, words = rows(store), found_of_words(store)
    store._db.execute("DELETE FROM barcode")
    store._db.execute("UPDATE product SET words = 'old rules', name = upper(name)")
    store._db.execute("UPDATE meta SET value = '\"0\"' WHERE name = 'product index'")
    store.close()
    store = Store.open(str(tmp_path / "shop.db"))
    assert (rows(store), found_of_words(store)) == (wanted, words)
    assert list(verify(store, shop)) == []
    store.close()


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE product SET name = 'te' WHERE sku = '101'", "UPDATE product SET favourite = '' WHERE sku = '101'",
        "DELETE FROM product WHERE sku = '101'", "DELETE FROM barcode WHERE code = '8964000100019'",
        "UPDATE product SET active = 0 WHERE sku = '101'", "UPDATE barcode SET code = '1' WHERE code = '036000291452'",
    ],
)  # fmt: skip
def test_verify_names_the_product_whose_row_is_damaged(shelf: tuple[Store, Products], damage: str) -> None:
    store, products = shelf
    shop = products._shop
    assert list(verify(store, shop)) == []
    store._db.execute(damage)
    assert list(verify(store, shop)) == [f"{CATALOGUE}: product 101 is not found as its current edit says"]


def _shared() -> Products:
    a = Writer("alif")
    shop = shop_of(a)
    edit(a, *SHELF)
    store = Store.open(":memory:")
    take(store, shop, [all_entries(a)])
    return Products(store, shop)


SHARED = _shared()  # which no test changes
