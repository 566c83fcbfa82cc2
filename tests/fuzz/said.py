"""What others say that is neither an entry nor an update: answers of a fiscal service, settings, and small files."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

from posline.core.drawer import read_figures
from posline.core.fiscal import FiscalSetting, filing_of, read_setting
from posline.core.fiscal_answers import NOT_LOOKED_AT, Verdict, probe_of, read_answer, read_inquiry
from posline.core.people import cashier_of, read_limits, read_permissions
from posline.core.tax import classes_of, read_classes
from posline.errors import BadRequest, FieldError, FolderDamaged
from posline.storage.folder import Folder
from posline.till.receipts.settings import settings_of
from posline.till.settings import Settings
from posline.till.shared import SETTINGS
from posline.trust.keys import Key
from tests.fuzz.mutate import spoil, tree
from tests.fuzz.target import Target, items_mutator, json_mutator, scratch
from tests.kit import key_of

__all__ = ["ANSWERS", "FILES", "SHARED", "shared_values"]

ADAPTERS = {
    name: FiscalSetting(name, "a" * 26, pos_id=7, qr_url="https://x.y/?n=")
    for name in ("fbr_ims", "fbr_di", "pra_eims")
}


# -- a fiscal service's answers --------------------------------------------------------------------


def _answer_seeds() -> list[bytes]:
    """[status, the answer]."""
    item = {"itemSNo": "1", "statusCode": "01", "errorCode": "0052", "error": "wrong HS code"}
    ims = [
        {"InvoiceNumber": "123456FB1", "Code": "100", "Response": "Fiscal Invoice Number generated", "Errors": None},
        {"InvoiceNumber": "Not Available", "Code": 104, "Response": "no", "Errors": ["a", {"b": 1}]},
        {"InvoiceNumber": 123456789012345678, "Code": 100},
    ]
    di = [
        {
            "invoiceNumber": "7000007DI1",
            "dated": "2026-11-23",
            "validationResponse": {"statusCode": "00", "status": "Valid", "invoiceStatuses": None},
        },
        {"validationResponse": {"statusCode": "01", "errorCode": "0002", "error": "bad", "invoiceStatuses": [item]}},
    ]
    inquiry: list[Any] = [{"found": True, "InvoiceNumber": "1"}, {"found": False}]
    return [
        json.dumps([status, said]).encode()
        for status in (200, 400, 500)
        for said in (*ims, *di, *inquiry, "text", json.dumps(ims[0]))
    ]


def _mutate_answer(data: bytes, rng: Random) -> bytes:
    if rng.random() < 0.15:
        try:
            said = tree(data)[1]
            return json.dumps(
                [rng.choice((100, 200, 201, 204, 301, 400, 401, 404, 408, 422, 429, 500, 502, 503, 504, 599)), said]
            ).encode()
        except (ValueError, IndexError, TypeError, RecursionError):
            return spoil(data, rng)
    return items_mutator(data, rng)


def _numbers(body: bytes) -> set[str]:
    """What an answer has for numbers, as they are shown."""
    said = json.loads(body.decode("utf-8-sig"), parse_float=str)
    said = json.loads(said, parse_float=str) if isinstance(said, str) else said
    found = (str(value) for name, value in said.items() if name in ("InvoiceNumber", "invoiceNumber"))
    return {"".join(c if c.isprintable() else " " for c in text).strip()[:200] for text in found}


def _check_answer(data: bytes) -> str:
    try:
        status, _ = tree(data)
        status = status if type(status) is int and 200 <= status <= 599 else 200  # as HTTP has them
        start = data.index(b",") + 1
        body = data[start : data.rindex(b"]")]
    except (ValueError, TypeError, RecursionError):
        status, body, _said = 200, data, None
    words = []
    for name, setting in ADAPTERS.items():
        answer = read_answer(setting, status, body)
        words.append(answer.verdict.value)
        if answer.verdict is Verdict.ACCEPTED:
            assert 200 <= status < 300 and answer.number.strip(), "accepted without a number, or by an error"
            assert answer.number in _numbers(body), "a number that it did not give"
        if status in NOT_LOOKED_AT:
            assert answer.verdict is Verdict.NOT_TAKEN
        texts = (answer.number, answer.qr, answer.code, *answer.errors)
        assert len(answer.errors) <= 100 and all(len(text) <= 200 and text.isprintable() for text in texts), name
        json.dumps(texts, ensure_ascii=False).encode()
    found = read_inquiry(status, body)
    if found.verdict is Verdict.ACCEPTED:
        assert status == 200 and found.number
    return f"{sorted(set(words))} {found.verdict.value}"


# -- shared settings -------------------------------------------------------------------------------


def shared_values() -> list[tuple[str, Any]]:
    """(name of a setting, a sound value), and what else is read of what others wrote."""
    seller = {"ntn": "1", "name": "n", "province": "Punjab", "address": "Lahore"}
    values: list[tuple[str, Any]] = [
        (
            "tax",
            {
                "standard": {
                    "name": "S",
                    "mode": "printed",
                    "rates": [{"rate": "17"}, {"from": "2023-02-14", "rate": "18", "by_tender": {"card": "5"}}],
                },
                "food": "5",
            },
        ),
        ("tax_rounding", "receipt"),
        ("rounding", 100),
        ("scales", [{"pattern": "21.....{NNDDD}", "value": "weight"}]),
        ("raast", "000201"),
        ("permissions", {"refund": "manager", "void": "supervisor"}),
        ("limits", {"cashier": {"discount_percent": "10", "lower_price": False, "open_items": True}}),
        (
            "receipt",
            {
                "header": ["Shop", "Road"],
                "footer": "thanks",
                "languages": ["en", "ur"],
                "paper": 80,
                "logo": "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNk+A8AAQUBAScY42YAAAAASUVORK5CYII=",
                "proof": True,
                "urdu_font": "naskh",
            },
        ),
        ("require_customer", True),
        ("low_stock", "5"),
        ("blind_count", False),
        ("cashier", {"name": "Asma", "role": "manager", "pin": "scrypt$AAAA$AAAA", "active": True, "language": "ur"}),
        (
            "fiscal",
            {
                "adapter": "fbr_di",
                "filer": "a" * 26,
                "pos_id": 5,
                "url": "https://x.y/GetInvoiceNumberByModel",
                "seller": seller,
                "payment_modes": {"cash": 1},
                "sale_types": {"standard": "Goods"},
                "from_day": "2026-12-01",
            },
        ),
        ("figures", {"sales": {"count": 1, "total": 5}, "tenders": {"cash": 5}, "taxes": [], "net": 5}),
    ]
    return values


def _shared_seeds() -> list[bytes]:
    return [json.dumps(value).encode() for value in shared_values()]


def _check_shared(data: bytes) -> str:
    try:
        _, value = json.loads(data)
    except (ValueError, TypeError, RecursionError):
        return "none"
    for known, (_, check) in SETTINGS.items():
        faults = check(value)
        assert all(isinstance(fault, FieldError) and fault.field and fault.detail for fault in faults), known
    # what came by sync is read, whatever it is: what is wrong is left out
    classes_of(value, "PKR")
    for tax in read_classes(value)[0].values():
        rate = tax.rate("2026-11-23", ["card"])
        assert rate is None or isinstance(rate, str)
    assert all(isinstance(role, str) for role in read_permissions(value)[0].values())
    assert all(isinstance(limits, dict) for limits in read_limits(value)[0].values())
    settings_of(value)
    person = cashier_of(value)
    assert person is None or (person.name and person.role)
    assert isinstance(read_figures(value), dict)
    try:
        fiscal = read_setting(value)
    except BadRequest:
        fiscal = None
    if fiscal is not None:
        filing_of(fiscal, "2026-11-23")
        probe_of(fiscal, fiscal.url)
        assert isinstance(fiscal.pos_id, int) and fiscal.filer
    sound = [name for name, (_, check) in SETTINGS.items() if not check(value)]
    return f"{sound} {person is not None} {fiscal is not None}"


# -- files -----------------------------------------------------------------------------------------


@cache
def _folder() -> Path:
    return scratch("files")


def _file_seeds() -> list[bytes]:
    settings = {
        "shop": "a" * 26,
        "label": "A",
        "address": "",
        "tokens": {"f" * 64: {"role": "write", "name": "x", "author": "b" * 26}},
        "invitations": {"e" * 64: 5},
        "sync_port": 8701,
        "joining": {"shop": "a" * 26, "name": "n", "from": "b" * 26, "updates": [], "where": {}},
        "printer": {"target": "tcp://10.0.0.5:9100", "paper": 80},
    }
    local = {"address": "http://127.0.0.1:8700", "secret": "s" * 43}
    key = _folder() / "seed"
    key_of("alif").save(key)
    return [
        json.dumps(settings).encode(),
        json.dumps(local).encode(),
        b"{}",
        key.read_bytes(),
        b"posline-key-v1 " + b"00" * 32 + b" " + b"a" * 26 + b"\n",
    ]


class _Held:
    """A folder whose settings are read from a file, without its lock."""

    path = Path("somewhere")

    def __init__(self, folder: Path) -> None:
        self.settings = Folder.read_settings(folder)


def _check_file(data: bytes) -> str:
    folder = _folder()
    for name in ("settings.json", "local.json", "key"):
        (folder / name).write_bytes(data)
    said = []
    try:
        local = Folder.read_local(folder)
        assert local is None or all(isinstance(text, str) for text in local)
        said.append(f"local {local is not None}")
    except FolderDamaged:
        pass
    try:
        settings = Settings.load(_Held(folder))  # type: ignore[arg-type]
        texts = (settings.shop, settings.label, settings.address, *settings.tokens, *settings.invitations)
        assert all(type(text) is str for text in texts) and type(settings.sync_port) is int
        assert all(type(until) is int for until in settings.invitations.values()) and type(settings.printer) is dict
        assert settings.joining is None or type(settings.joining) is dict
        for token in settings.tokens.values():
            assert type(token.role) is str and type(token.grant.author) in (str, type(None))
        said.append(f"settings {bool(settings.shop)}")
    except FolderDamaged:
        pass
    try:
        key = Key.load(folder / "key")
        assert len(key.public) == 32 and len(key.id) == 26
        said.append("key")
    except FolderDamaged:
        pass
    return " ".join(said) or "damaged"


ANSWERS = Target("answers", _answer_seeds, _mutate_answer, _check_answer, 20_000)
SHARED = Target("shared", _shared_seeds, items_mutator, _check_shared, 15_000)
FILES = Target("files", _file_seeds, json_mutator, _check_file, 5_000)
