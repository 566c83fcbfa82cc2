"""What a product of the catalogue says, and what is wrong with one. No I/O.

Two checks stand here. `check_products` judges an entry that anybody may have written: it asks for no more than that
each field can be read, since one product that is refused takes its whole entry with it. `product_of` makes a product
that this device is about to write, in one form for equal content, and names whatever is not right in it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any

from posline.core.checks import MAX_TEXT, amount, text
from posline.core.money import MAX_MONEY, is_rate, signed_text
from posline.errors import BadRequest, FieldError

__all__ = [
    "AHEAD_MAX",
    "BARCODES_MAX",
    "DATED",
    "FIELDS",
    "FLAGS",
    "MAX_PRODUCTS",
    "ahead_of",
    "barcodes_of",
    "check_products",
    "edited",
    "favourite_place",
    "is_active",
    "is_business_day",
    "on_day",
    "product_of",
    "scheduled",
    "spellings",
]

MAX_PRODUCTS = 200  # in one entry
BARCODES_MAX = 20  # of one product
LABELS_MAX = 50  # of one product that is written here
BYTES_MAX = 32 * 1024  # of such a product, so that an entry, of at most 48 KiB, has room for it

TEXTS = ("name_ur", "barcode", "department", "unit", "tax", "favourite", "hs_code", "uom", "sro_schedule", "sro_serial")
AMOUNTS = ("price", "mrp")  # whole minor units
FLAGS = {"third_schedule": False, "active": True}  # and what they are where they are left out
# every field, in the order in which files and answers have them
FIELDS = (
    "sku", "name", "price", "name_ur", "barcode", "barcodes", "department", "unit", "tax", "tax_rate", "mrp",
    "third_schedule", "hs_code", "uom", "sro_schedule", "sro_serial", "favourite", "stock", "low_stock", "active",
    "labels",
)  # fmt: skip
# what may change from a business day on: what a thing costs, and how it is taxed. What it is found by changes at once
DATED = ("price", "mrp", "tax", "tax_rate", "third_schedule", "hs_code", "uom", "sro_schedule", "sro_serial")
AHEAD_MAX = 20  # days of one product on which something changes
_DAY = re.compile(r"20[2-9][0-9]-[0-9]{2}-[0-9]{2}")
_STOCK = re.compile(r"(-?)([0-9]{1,9})(?:\.([0-9]{1,3}))?")
_FAVOURITE = re.compile(r"([1-9][0-9]{0,2})(?:/([1-9][0-9]{0,2}))?")
_BLANK = re.compile(r"[\s|]")


# -- an entry of anybody's ---------------------------------------------------------------------------------------------


def check_products(products: object) -> str | None:
    """What is wrong with the `products` of an entry, or None."""
    if type(products) is not list or not 0 < len(products) <= MAX_PRODUCTS:
        return f"it has not 1 to {MAX_PRODUCTS} products"
    for product in products:
        wrong = _unreadable(product)
        if wrong is not None:
            return wrong
    return None


def _unreadable(product: object) -> str | None:
    if type(product) is not dict or not text(product.get("sku")) or not text(product.get("name"), 0):
        return "a product has no sku or name"
    if not amount(product.get("price")):
        return "a product's price is out of range"
    if len(product) == 3:
        return None
    for name in TEXTS:
        if not text(product.get(name, ""), 0):
            return f"a product's {name} is no text"
    if not amount(product.get("mrp", 0)):
        return "a product's mrp is out of range"
    for name, default in FLAGS.items():
        if type(product.get(name, default)) is not bool:
            return f"a product's {name} is neither true nor false"
    barcodes, labels = product.get("barcodes", []), product.get("labels", {})
    if type(barcodes) is not list or len(barcodes) > BARCODES_MAX or not all(text(code) for code in barcodes):
        return f"a product's barcodes are not up to {BARCODES_MAX} texts"
    if "tax_rate" in product and not is_rate(product["tax_rate"]):
        return "a product's tax_rate is no rate in per cent"
    if "low_stock" in product and _decimal(product["low_stock"]) is None:
        return "a product's low_stock is no decimal"
    if type(labels) is not dict or not all(text(v, 0) for v in labels.values()):
        return "a product's labels are no texts"
    return None


def _decimal(value: object) -> str | None:
    """A quantity on hand in its shortest form; None where it is none. It may be below 0, and 0."""
    match = _STOCK.fullmatch(value) if type(value) is str and value.isascii() else None
    if match is None:
        return None
    thousandths = int(match[2]) * 1000 + int((match[3] or "").ljust(3, "0"))
    return signed_text(-thousandths if match[1] else thousandths)


# -- reading one -------------------------------------------------------------------------------------------------------


def barcodes_of(product: Mapping[str, Any]) -> list[str]:
    """All of a product's barcodes, the first one first."""
    first, more = product.get("barcode"), product.get("barcodes")
    codes = [first] if isinstance(first, str) else []
    codes += [code for code in more if isinstance(code, str)] if isinstance(more, list) else []
    return [code for code in dict.fromkeys(codes) if code]


def spellings(code: str) -> tuple[str, ...]:
    """A barcode as scanners may read it, itself first: UPC-A is EAN-13 with a 0 before it."""
    if code.isascii() and code.isdigit():
        if len(code) == 12:
            return code, "0" + code
        if len(code) == 13 and code[0] == "0":
            return code, code[1:]
    return (code,)


def is_active(product: Mapping[str, Any]) -> bool:
    """Whether a product is sold, and not retired."""
    return product.get("active") is not False


def favourite_place(product: Mapping[str, Any]) -> tuple[int, int] | None:
    """(page, slot) of a product's key; a key without a page is on the first one. None for no key."""
    favourite = product.get("favourite")
    match = _FAVOURITE.fullmatch(favourite) if isinstance(favourite, str) else None
    if match is None:
        return None
    return (1, int(match[1])) if match[2] is None else (int(match[1]), int(match[2]))


# -- what changes from a day on ----------------------------------------------------------------------------------------


def is_business_day(day: object) -> bool:
    """Whether it is a day that something may change on, YYYY-MM-DD."""
    if type(day) is not str or _DAY.fullmatch(day) is None:
        return False
    try:
        date.fromisoformat(day)
    except ValueError:
        return False
    return True


def ahead_of(product: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What a product says will change, by day: {from, and the fields that are set from then on; null takes one away}.

    An older version keeps `ahead` unread, and a newer one may put there what is not known here. So nothing in it makes
    an entry invalid: what cannot be read is passed over.
    """
    said = product.get("ahead")
    if type(said) is not list:
        return []
    stages = [stage for stage in said if type(stage) is dict and is_business_day(stage.get("from"))]
    return sorted(stages, key=lambda stage: str(stage["from"]))[:AHEAD_MAX]


def on_day(product: Mapping[str, Any], day: str) -> dict[str, Any]:
    """A product as it is on a business day, with what will change after it."""
    if "ahead" not in product:
        return dict(product)
    known = {name: value for name, value in product.items() if name != "ahead"}
    later = []
    for stage in ahead_of(product):
        if stage["from"] > day:
            later.append(stage)
            continue
        for name in DATED:
            if name in stage and _fits(name, stage[name]):
                known[name] = stage[name]
                if stage[name] is None:
                    del known[name]
    return known | ({"ahead": later} if later else {})


def _fits(name: str, value: object) -> bool:
    """Whether a stage may say so of a field. A price is never taken away."""
    if value is None:
        return name != "price"
    return _unreadable({"sku": "-", "name": "-", "price": 0, "unit": "", name: value}) is None


def scheduled(product: Mapping[str, Any], day: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    """A product with these fields set from a business day on; null takes one away. What is said of later days stays,
    and what is so on that day anyway is not said. Raises BadRequest with every field that is wrong."""
    wrong = [FieldError(str(name)[:60], f"cannot change from a day on, as {', '.join(DATED)} can")
             for name in fields if name not in DATED]  # fmt: skip
    if not is_business_day(day):
        wrong.append(FieldError("from", f"{str(day)[:40]!r} is no business day, YYYY-MM-DD"))
    if wrong:
        raise BadRequest(wrong)
    then = {name: value for name, value in on_day(product, day).items() if name in FIELDS}
    wanted = {name: value for name, value in (then | dict(fields)).items() if value is not None}
    made = product_of(wanted)
    changed = {name: made.get(name, FLAGS.get(name)) for name in fields if made.get(name) != then.get(name)}
    stages = {stage["from"]: dict(stage) for stage in ahead_of(product)}
    stage = stages.get(day, {"from": day}) | changed
    before = on_day({**product, "ahead": [each for each in stages.values() if each["from"] < day]}, day)
    stages[day] = {name: value for name, value in stage.items()
                   if name == "from" or before.get(name, FLAGS.get(name)) != value}  # fmt: skip
    return _with_ahead(product, list(stages.values()))


def _with_ahead(product: Mapping[str, Any], stages: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A product of which this will change."""
    made = {name: value for name, value in product.items() if name != "ahead"}
    kept = sorted((dict(stage) for stage in stages if len(stage) > 1), key=lambda stage: str(stage["from"]))
    if len(kept) > AHEAD_MAX:
        raise BadRequest.of("from", f"a product may change on {AHEAD_MAX} days ahead, and this would be one more")
    return made | ({"ahead": kept} if kept else {})


# -- writing one -------------------------------------------------------------------------------------------------------


def edited(sku: str, now: Mapping[str, Any] | None, fields: Mapping[str, Any]) -> dict[str, Any]:
    """The product `sku`, which is `now` (None: not there yet), with these fields set; null takes a field away.

    A `barcode` without `barcodes` takes the place of the first one. What a newer version said of it stays, and so does
    what will change from some day on, unless the field `ahead` says otherwise. Raises BadRequest with every field that
    is wrong.
    """
    if "ahead" in fields:
        return _rescheduled(edited(sku, now, {n: v for n, v in fields.items() if n != "ahead"}), fields["ahead"])
    if fields.get("sku", sku) != sku:
        raise BadRequest.of("sku", f"is not the {sku[:60]!r} that the address names: a product keeps its sku")
    if sku != sku.strip():  # or what is made of it were another product than the one it was looked up as
        raise BadRequest.of("sku", f"{sku[:60]!r} has blanks around it")
    newer = {name: value for name, value in (now or {}).items() if name not in FIELDS}
    product = {name: value for name, value in (now or {}).items() if name in FIELDS} | dict(fields) | {"sku": sku}
    if "barcode" in fields and "barcodes" not in fields:
        product["barcodes"] = [code for code in (fields["barcode"], *barcodes_of(now or {})[1:]) if code is not None]
    elif "barcodes" in fields and "barcode" not in fields:
        product["barcode"] = None
    return product_of({name: value for name, value in product.items() if value is not None}) | newer


def _rescheduled(product: Mapping[str, Any], ahead: object) -> dict[str, Any]:
    """A product of which this will change, and nothing else."""
    if ahead is None:
        ahead = []
    if not isinstance(ahead, Sequence) or not all(isinstance(stage, Mapping) and "from" in stage for stage in ahead):
        raise BadRequest.of("ahead", "is a list of objects, each with the day `from` which its fields are set")
    made = _with_ahead(product, [])
    for stage in sorted(ahead, key=lambda stage: str(stage["from"])):
        made = scheduled(made, stage["from"], {name: value for name, value in stage.items() if name != "from"})
    return made


def product_of(fields: Mapping[str, Any]) -> dict[str, Any]:
    """A product in one form: texts without blanks around them, what is at its default left out, fields in order.

    Raises BadRequest with every field that is wrong.
    """
    faults: list[FieldError] = []

    def wrong(name: str, detail: str) -> None:
        faults.append(FieldError(name[:60], detail))

    made: dict[str, Any] = {}
    for name in fields:
        if name not in FIELDS:
            wrong(name, "is not a field of a product: what a shop adds of its own goes into labels")
    for name in ("sku", "name", *TEXTS):
        if name in fields:
            made[name] = _clean(name, fields[name], wrong)
    for name in ("sku", "name"):
        if not made.get(name) and not any(fault.field == name for fault in faults):
            wrong(name, "is empty")
    if "price" not in fields:
        wrong("price", "is needed")
    for name in AMOUNTS:
        if name in fields:
            made[name] = fields[name]
            if not amount(fields[name]):
                wrong(name, f"must be a whole number of minor units from 0 to {MAX_MONEY}")
    for name in ("stock", "low_stock"):
        if name in fields and fields[name] != "":
            made[name] = _number(name, fields[name], wrong)
    if fields.get("tax_rate", "") != "":
        made["tax_rate"] = _rate(fields["tax_rate"], wrong)
    for name, default in FLAGS.items():
        value = fields.get(name, default)
        if type(value) is not bool:
            wrong(name, "is true or false")
        elif value is not default:
            made[name] = value
    if made.get("favourite") and favourite_place(made) is None:
        wrong("favourite", "is the number of a key, from 1 to 999, or page/key such as 2/14")
    _barcodes(made, fields.get("barcodes", []), wrong)
    _labels(made, fields.get("labels", {}), wrong)
    if faults:
        raise BadRequest(faults)
    product = {name: made[name] for name in FIELDS if name in made and made[name] not in ("", [], {})}
    if "labels" in product and (size := len(json.dumps(product, ensure_ascii=False).encode())) > BYTES_MAX:
        raise BadRequest.of("labels", f"are too long: the product comes to {size} bytes, of {BYTES_MAX}")
    return product


def _clean(name: str, value: object, wrong: Any) -> str:
    """A text without blanks around it."""
    clean = value.strip() if isinstance(value, str) else ""
    if not isinstance(value, str) or len(clean) > MAX_TEXT:
        wrong(name, f"must be a text of up to {MAX_TEXT} characters")
    elif not clean.isascii() and any(0xD800 <= ord(c) <= 0xDFFF for c in clean):
        wrong(name, "holds half a character (a lone surrogate)")
    return clean


def _number(name: str, value: object, wrong: Any) -> str:
    """A decimal in its shortest form; a level to be warned at is not below 0."""
    given = format(value, "f") if isinstance(value, Decimal) else str(value) if type(value) is int else value
    found = _decimal(given.strip() if isinstance(given, str) else given)
    if found is None or (name == "low_stock" and found.startswith("-")):
        wrong(name, f"{str(value)[:40]!r} is no number with at most 3 digits behind the point")
    return found or ""


def _rate(value: object, wrong: Any) -> str:
    """A rate as written; 18 may be a number."""
    given = format(value, "f") if isinstance(value, Decimal) else str(value) if type(value) is int else value
    rate = given.strip() if isinstance(given, str) else ""
    if not is_rate(rate):
        wrong("tax_rate", f"{str(value)[:40]!r} is no rate in per cent, such as 18")
    return rate


def _barcodes(made: dict[str, Any], more: object, wrong: Any) -> None:
    """The first barcode as `barcode`; where there are several, all of them as `barcodes`."""
    if not isinstance(more, Sequence) or isinstance(more, str):
        wrong("barcodes", "must be a list of texts")
        return
    codes = [made.get("barcode", "")] + [_clean(f"barcodes.{index}", code, wrong) for index, code in enumerate(more)]
    codes = [code for code in dict.fromkeys(codes) if code]
    if len(codes) > BARCODES_MAX:
        wrong("barcodes", f"are {len(codes)}: at most {BARCODES_MAX}")
    if len(codes) > 1:
        for code in codes:
            if _BLANK.search(code):
                wrong("barcodes", f"{code[:40]!r} holds a blank or a bar: several barcodes are told apart by those")
    made["barcode"], made["barcodes"] = codes[0] if codes else "", codes if len(codes) > 1 else []


def _labels(made: dict[str, Any], labels: object, wrong: Any) -> None:
    """What a shop adds of its own, by name."""
    if not isinstance(labels, Mapping) or len(labels) > LABELS_MAX:
        wrong("labels", f"must be an object of up to {LABELS_MAX} texts")
        return
    clean: dict[str, str] = {}
    for name, value in labels.items():
        where = f"labels.{str(name)[:40]}"
        key = _clean(where, name, wrong)
        if not key or key in FIELDS:
            wrong(where, "cannot be a label's name: a field has it, or it is empty")
        clean[key] = _clean(where, value, wrong)
    made["labels"] = {name: clean[name] for name in sorted(clean) if clean[name]}
