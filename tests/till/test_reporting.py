"""Reports as people and programs get them: tables, CSV, pages to print, by the API and by the commands."""

from __future__ import annotations

import csv
import io
import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from posline.cli import app
from posline.core.kinds import KINDS
from posline.core.refunding import refund_body
from posline.storage.reports import Reports
from posline.till.cells import inert
from posline.till.exporting import EXPORTS
from posline.till.local import CommandFailed
from posline.till.report_commands import sheet_of
from posline.till.report_page import page
from posline.till.reporting import BOM, Sheet, csv_text, print_sheet
from tests.kit import DAY, commit, founded
from tests.till.shop import running, sale

TEA = {"sku": "TEA", "name": "Tea", "price": 25000, "department": "Drinks"}
PICKLE = {"sku": "0042", "name": "آم کا اچار", "price": 60000, "department": "کریانہ"}
TRAP = {"sku": "=1+1", "name": '=HYPERLINK("http://x","<b>&")', "price": 150}


@pytest.fixture
def books() -> Reports:
    """A morning: tea, pickle, a product with a spiteful name, a refund."""
    till = founded()
    till.write("products", {"products": [TEA, PICKLE, TRAP]}, document="catalog/1")
    body = {"total": 130150, "lines": [
        {"sku": "TEA", "quantity": "4", "price": 25000, "rate": "18", "class": "GST", "tax": 15254},
        {"sku": "0042", "quantity": "0.5", "price": 60000},
        {"sku": "=1+1", "quantity": "1", "price": 150}]}  # fmt: skip
    sold = till.write("sale", body, by="Amina").entries[0]
    body = {"total": 25000, "lines": [{"sku": "TEA", "quantity": "1", "price": 25000}],
            "tenders": [{"kind": "card", "amount": 25000}]}  # fmt: skip
    till.write("sale", body, by="اسلم")
    asked = {"id": sold.id, "reason": "spoilt", "lines": [{"line": 2, "quantity": "0.25"}]}
    till.write("refund", refund_body(sold.body, sold.hash, {}, asked), by="@SUM")
    commit(till)
    return Reports(till.store, till.shop, here=till.store_id)


def sheet(books: Reports, by: str) -> Sheet:
    return sheet_of(books, by, shop="Corner <shop>", today=DAY)


def test_the_csv_of_a_report(books: Reports) -> None:
    assert csv_text(sheet(books, "product")) == BOM + (
        "sku,name,department,sold,returned,sales,discount,refunds,voids,net,tax\n"
        "TEA,Tea,Drinks,5,0,1250.00,0.00,0.00,0.00,1250.00,152.54\n"
        "0042,آم کا اچار,کریانہ,0.5,0.25,300.00,0.00,150.00,0.00,150.00,0.00\n"
        '\'=1+1,"\'=HYPERLINK(""http://x"",""<b>&"")",,1,0,1.50,0.00,0.00,0.00,1.50,0.00\n'
        "total,,,,,1551.50,0.00,150.00,0.00,1401.50,152.54\n"
    )
    rows = list(csv.reader(io.StringIO(csv_text(sheet(books, "cashier")).removeprefix(BOM))))
    assert [row[0] for row in rows] == ["cashier", "'@SUM", "Amina", "اسلم", "total"]
    assert rows[1][-2] == "-150.00", "an amount below 0 is a number, no formula"


@pytest.mark.parametrize("cell", ["=1", "+1+1", "-1+1", "@A", "\tx", "\r", "  =1", "＝1", "-", "+92300"])
def test_what_a_spreadsheet_would_run_is_marked(cell: str) -> None:
    assert inert(cell) == f"'{cell}"


@pytest.mark.parametrize("cell", ["", "Tea", "-3", "-0.25", "7", "0042", "a=b", "اچار"])
def test_what_it_would_not_run_is_left_alone(cell: str) -> None:
    assert inert(cell) == cell


def test_the_table_of_a_report(books: Reports, capsys: pytest.CaptureFixture[str]) -> None:
    print_sheet(sheet(books, "tax"))
    assert [line.rstrip() for line in capsys.readouterr().out.splitlines()] == [
        "Sales by tax, 2026-11-23, PKR",
        "Tax class  Rate  Tax is        Sold for  Refunded  Voided       Net  Net without tax     Tax",
        "(none)           in the price    551.50    150.00    0.00    401.50           401.50    0.00",
        "GST         18%  in the price  1,000.00      0.00    0.00  1,000.00           847.46  152.54",
        "total                          1,551.50    150.00    0.00  1,401.50         1,248.96  152.54",
    ]
    print_sheet(sheet(books, "product"))
    said = capsys.readouterr().out
    assert "\x1b" not in said and '=HYPERLINK("http://x","<b>&")' in said


class Cells(HTMLParser):
    """The text of each cell by row, and every tag that was met."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_data(self, data: str) -> None:
        if self.rows and self.rows[-1]:
            self.rows[-1][-1] += data


def test_the_page_of_a_report(books: Reports) -> None:
    made = page(sheet(books, "product"))
    read = Cells()
    read.feed(made)
    rows = [[cell.strip() for cell in row] for row in read.rows]
    assert rows[0][:4] == ["SKU", "Product", "Department", "Sold"]
    assert rows[2] == [
        "0042",
        "آم کا اچار",
        "کریانہ",
        "0.5",
        "0.25",
        "300.00",
        "0.00",
        "150.00",
        "0.00",
        "150.00",
        "0.00",
    ]
    assert rows[3][:3] == ["=1+1", '=HYPERLINK("http://x","<b>&")', "(none)"]
    assert rows[4][0] == "total" and rows[4][5] == "1,551.50"
    assert "Corner &lt;shop&gt;" in made and "<b>" not in made
    tags = {tag for tag, _ in read.tags}
    assert not tags & {"script", "img", "link", "iframe", "b"}, "a page needs and runs nothing"
    assert "url(" not in made and "@media print" in made
    assert all(attrs.get("dir") == "auto" for tag, attrs in read.tags if tag == "td" and attrs["class"] == "text"
               and attrs != {"class": "text"})  # fmt: skip


def test_json_says_all_that_the_other_forms_show(books: Reports) -> None:
    for by in ("product", "tender", "tax", "hour", "till", "days", "day", "cashier", "department"):
        made = sheet(books, by)
        assert Sheet.from_dict(json.loads(json.dumps(made.to_dict()))) == made


def test_a_day_report_is_a_sheet_too(books: Reports) -> None:
    rows = dict(row.rsplit(",", 1) for row in csv_text(sheet(books, "day")).splitlines())
    assert rows["net,"] == "1401.50" and rows["refunds,1"] == "150.00" and rows["paid by card,"] == "250.00"


def test_tender_says_what_stands_between_net_and_what_was_paid() -> None:
    till = founded()
    till.write("sale", {"lines": [{"sku": "1", "quantity": "1", "price": 1049}], "total": 1049, "rounding": -49})
    commit(till)
    made = sheet(Reports(till.store, till.shop, here=""), "tender")
    assert made.totals["net"] == 1000
    assert made.notes == ("Net is what was paid: the shop's net of 10.49 and cash rounding of -0.49.",)


def test_a_day_without_sales(books: Reports, capsys: pytest.CaptureFixture[str]) -> None:
    empty = sheet_of(books, "hour", shop="x", today="2026-11-25")
    assert csv_text(empty).count("\n") == 2 and "Nothing was recorded" in page(empty)
    print_sheet(empty)
    assert "nothing was recorded" in capsys.readouterr().out


# -- the API -----------------------------------------------------------------------------------------------------------


async def test_reports_by_the_api(tmp_path: Path) -> None:
    async with running(tmp_path, shop="Corner shop") as (till, client):
        rung = (await client.post("/api/sales", json=sale(by="Amina"))).json()
        found = (await client.get("/api/reports/cashier")).json()
        assert (found["report"], found["from"], found["to"], found["shop"]) == (
            "cashier",
            till.day,
            till.day,
            "Corner shop",
        )
        assert [(row["cashier"], row["net"]) for row in found["rows"]] == [("Amina", 500)] and found["totals"][
            "net"
        ] == 500
        day = (await client.get(f"/api/reports/day/{rung['day']}")).json()
        assert day == till.day_report() and day["net"] == 500
        for path in ("/api/reports/product", f"/api/reports/day/{rung['day']}"):
            answer = await client.get(path, params={"format": "html"})
            assert answer.headers["content-type"] == "text/html; charset=utf-8" and answer.text.startswith(
                "<!doctype html>"
            )
            assert "default-src 'none'" in answer.headers["content-security-policy"]
            answer = await client.get(path, params={"format": "csv"})
            assert answer.headers["content-disposition"].endswith(f'{rung["day"]}.csv"')
            assert answer.content.startswith(b"\xef\xbb\xbf") and b"5.00" in answer.content
        over = (await client.get("/api/reports/days", params={"from": "2020-01-01", "to": "2020-02-01"})).json()
        assert over["rows"] == [] and over["totals"]["net"] == 0


@pytest.mark.parametrize(("path", "params", "status", "field"), [
    ("colour", {}, 404, None),
    ("product", {"from": "2026-13-01"}, 422, "from"),
    ("product", {"to": "tomorrow"}, 422, "to"),
    ("product", {"from": "2026-11-24", "to": "2026-11-23"}, 422, "from"),
    ("day", {"from": "2026-11-22", "to": "2026-11-23"}, 422, "from"),
    ("product", {"format": "pdf"}, 422, "format"),
])  # fmt: skip
async def test_what_is_asked_wrongly_is_a_problem(
    tmp_path: Path, path: str, params: dict[str, str], status: int, field: str | None
) -> None:
    async with running(tmp_path) as (_, client):
        answer = await client.get(f"/api/reports/{path}", params=params)
        assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
        assert field is None or [error["field"] for error in answer.json()["errors"]] == [field]


# -- the commands ------------------------------------------------------------------------------------------------------


def command(folder: Path, *arguments: str, code: int = 0) -> str:
    done = CliRunner().invoke(app, ["--data", str(folder), *arguments])
    assert done.exit_code == code, (arguments, done.output, done.exception)
    return done.stdout_bytes.decode()


async def shop_with_everything(folder: Path) -> dict[str, Any]:
    """A folder with an entry of every kind that is exported; answers the sale."""
    async with running(folder, shop="Corner shop") as (till, client):
        rung = (await client.post("/api/sales", json=sale(by="=Amina"))).json()
        back = {"id": "6d0f5b1e-0d3c-4b7e-9d53-0d4b7f3a1c01", "reason": "torn", "lines": [{"line": 1, "quantity": 1}]}
        assert (await client.post(f"/api/sales/{rung['id']}/refund", json=back)).status_code == 201
        await till.write("cash", {"direction": "out", "amount": 100, "reason": "-2+3"})
        await till.write("stock", {"moves": [{"sku": "TEA", "quantity": "-3", "reason": "broken"},
                                             {"sku": "RICE", "quantity": "5", "reason": "came"}]})  # fmt: skip
        await till.write(
            "customer", {"customer": back["id"], "name": "بی بی زینب", "phone": "0300-1234567", "seen": {}}
        )
        await till.write("payment", {"customer": back["id"], "amount": 70, "tenders": [{"kind": "card", "amount": 70}]})
        return dict(rung)


async def test_the_commands(tmp_path: Path) -> None:
    import asyncio

    folder = tmp_path / "a"
    rung = await shop_with_everything(folder)

    def work() -> None:
        assert "=Amina" in command(folder, "report", "cashier")
        spanned = json.loads(
            command(folder, "--json", "report", "product", "--from", "2026-01-01", "--to", "2099-01-01")
        )
        assert [(row["sku"], row["net"]) for row in spanned["rows"]] == [("TEA", 250)]
        assert command(folder, "report", "hour", "2021-01-01") != ""
        assert command(folder, "report", "tender", "--csv").startswith(f"{BOM}tender,count,sales")
        assert "net,,2.50" in command(folder, "report", "day", "--csv", rung["day"])
        command(folder, "report", "till", rung["day"], "--html", str(tmp_path / "till.html"))
        assert "Corner shop" in (tmp_path / "till.html").read_text(encoding="utf-8")
        for wrong in (["2026-01-01", "--to", "2026-01-02"], ["--from", "2026-01-02", "--to", "2026-01-01"], ["x"],
                      ["--csv", "--html", "x"]):  # fmt: skip
            command(folder, "report", "tax", *wrong, code=2)

        said = CliRunner().invoke(
            app, ["--data", str(folder), "report", "tax", "--html", str(tmp_path / "no" / "x.html")]
        )
        assert isinstance(said.exception, CommandFailed) and "cannot be written" in str(said.exception)

        def exported(what: str) -> list[dict[str, str]]:
            return list(csv.DictReader(io.StringIO(command(folder, "export", what))))

        (refund,) = exported("refunds")
        assert (refund["sku"], refund["quantity"], refund["total"], refund["entry_total"]) == ("TEA", "1", "250", "250")
        assert refund["sale"] == rung["id"] and refund["receipt"].startswith("A-2-") and refund["reason"] == "torn"
        assert [(row["direction"], row["amount"], row["reason"]) for row in exported("cash")] == [
            ("out", "100", "'-2+3")
        ]
        assert [(row["sku"], row["quantity"]) for row in exported("stock")] == [("TEA", "-3"), ("RICE", "5")]
        assert [row["tenders"] for row in exported("payments")] == ["card:70"]
        assert [row["name"] for row in exported("customers")] == ["بی بی زینب"] and exported("filings") == []
        lines = command(folder, "export", "stock", "--format", "jsonl").splitlines()
        assert [len(json.loads(line)["moves"]) for line in lines] == [2], "an object an entry"
        assert command(folder, "export", "cash", "--format", "jsonl", "--to", "2025-01-01") == ""
        assert exported("sales")[0]["by"] == "'=Amina"

    await asyncio.to_thread(work)


def test_whatever_is_exported_is_a_kind_of_entry() -> None:
    assert {kind for export in EXPORTS.values() for kind in export.kinds} <= KINDS.keys()
