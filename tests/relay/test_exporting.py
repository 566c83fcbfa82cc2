"""What a head office writes as files: each sale once, typed, of one shop or all, whole or not at all."""

from __future__ import annotations

import asyncio
import csv
import datetime
import io
import itertools
import json
import sys
import uuid
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pyarrow.parquet as parquet
import pytest
from typer.testing import CliRunner

from posline.core.drawer import Takings
from posline.errors import NotFound
from relay import exporting
from relay.cli import app
from relay.commands import COMMANDS
from relay.exporting import EXPORTS, Asked, NoParquet, export, from_text, write_file
from relay.tables import TABLES
from tests.relay.test_relay import Office, office
from tests.till.shop import TEA
from tests.till.test_joining import until

FORMULA = '=HYPERLINK("http://x")'


async def rung(found: Office) -> list[Any]:
    """Both shops trade; returns the sales, once all that was written is at the head office."""
    sales = []
    for till in found.tills:
        tax = {"standard": {"name": "S", "rates": [{"rate": "18"}]}}
        await till.write("setting", {"name": "tax", "value": tax}, document="shop")
        line = {"sku": FORMULA, "name": FORMULA, "quantity": "1.5", "price": 1000, "class": "standard"}
        sales.append(await till.sell([TEA, line], tenders=[{"kind": "cash", "amount": 5000}]))
        sales.append(await till.sell([TEA], tenders=[{"kind": "card", "amount": 500, "reference": "slip 1"}]))
        await till.refund(sales[-2].id, lines=[{"line": 2, "quantity": "0.5"}], reason="torn")
        await till.shifts.cash({"id": str(uuid.uuid4()), "direction": "out", "amount": 300, "reason": "milk"})
        moves = [{"sku": "TEA", "quantity": "-2.5", "reason": "lost"}]
        await till.write("stock", {"moves": moves})
        await till.shifts.close({"id": str(uuid.uuid4()), "counted": {"cash": 1000}})
        await till.shifts.close_day({"id": str(uuid.uuid4())}, till.day)
        branch = found.relay.branch(till.shop_id)
        await until(lambda branch=branch: list(branch.reports.counted(("day closed",), None, None)))
    return sales


def table(data: bytes) -> Any:
    return parquet.read_table(io.BytesIO(data))


async def test_a_table_has_types_and_each_sale_once(tmp_path: Path) -> None:
    async with office(tmp_path, "North", "South") as found:
        sales, reader = await rung(found), await found.token("North")
        north = found.relay.branch("North")
        own = [sale for sale in sales if sale.till == found.tills[0].id]

        async def get(what: str, format: str = "parquet", **query: str) -> bytes:
            answer = await found.http.get(
                f"/api/shops/{north.id}/export/{what}", params={"format": format, **query}, headers=reader
            )
            assert answer.status_code == 200, answer.text
            return answer.content

        held = table(await get("sales"))
        assert [row["id"] for row in held.to_pylist()] == [sale.id for sale in own]
        types = {field.name: str(field.type) for field in held.schema}
        assert (types["total"], types["day"], types["at"]) == ("int64", "date32[day]", "timestamp[ms, tz=Asia/Karachi]")
        first = held.to_pylist()[0]
        assert (first["total"], first["change"], first["currency"]) == (own[0].total, own[0].change, "PKR")
        assert first["day"] == datetime.date.fromisoformat(own[0].day)
        assert first["at"] == datetime.datetime.fromisoformat(own[0].at)
        lines = table(await get("sale_lines"))
        assert str(lines.schema.field("quantity").type) == "decimal128(12, 3)"
        assert [(row["quantity"], row["rate"]) for row in lines.to_pylist()][:2] == [
            (Decimal("2.000"), None), (Decimal("1.500"), Decimal("18.0000")),
        ]  # fmt: skip
        assert sum(lines["total"].to_pylist()) == sum(sale.total for sale in own)
        paid = table(await get("tenders")).to_pylist()
        assert {(row["kind"], row["tender"]) for row in paid} == {
            ("sale", "cash"),
            ("sale", "card"),
            ("refund", "cash"),
        }
        assert [row["reference"] for row in paid if row["tender"] == "card"] == ["slip 1"]
        report = north.reports.day(own[0].day)
        assert sum(row["amount"] for row in paid) == sum(report["tenders"].values())
        refunds = table(await get("refunds")).to_pylist()
        assert [(row["quantity"], row["total"], row["sale"]) for row in refunds] == [
            (Decimal("0.500"), report["refunds"]["total"], own[0].id)
        ]
        assert [row["quantity"] for row in table(await get("stock")).to_pylist()] == [Decimal("-2.500")]
        (shift,) = table(await get("shifts")).to_pylist()
        takings = Takings()
        for entry in north.reports.counted(("sale", "refund", "cash"), None, None):
            takings.add(entry.entry.kind, entry.entry.body)
        assert (shift["net"], shift["cash_expected"], shift["cash_counted"]) == (
            report["net"], takings.expected(0)["cash"], 1000,
        )  # fmt: skip
        assert [row["of_day"].isoformat() for row in table(await get("day_closes")).to_pylist()] == [own[0].day]
        journal = table(await get("accounting")).to_pylist()
        assert sum(row["debit"] - row["credit"] for row in journal) == 0 and all(row["ties"] for row in journal)
        assert table(await get("sales", to="2020-01-01")).num_rows == 0, "a table of nothing has its columns"
        whole_days = json.loads(await get("accounting", "json"))
        answered = (await found.http.get(f"/api/shops/{north.id}/accounting", headers=reader)).json()
        assert whole_days == answered and whole_days["days"][0]["ties"]
        for what in EXPORTS:  # each in each form, and the same number of rows in all of them
            if what in ("sales", "customers", "filings"):
                continue
            rows = table(await get(what)).num_rows
            text = (await get(what, "csv")).decode()
            assert len(list(csv.reader(io.StringIO(text)))) == rows + 1, what
            whole = [json.loads(line) for line in (await get(what, "jsonl")).decode().splitlines()]
            assert len(whole) == rows, what


async def test_text_that_a_spreadsheet_would_run_is_inert(tmp_path: Path) -> None:
    async with office(tmp_path, "North") as found:
        await rung(found)
        for what in ("sale_lines", "sales", "refunds"):
            answer = await found.http.get(f"/api/export/{what}", headers=await found.token(None))
            for row in csv.reader(io.StringIO(answer.text)):
                assert not any(cell.startswith(("=", "@", "+")) for cell in row)
            assert f"'{FORMULA}" in [c for row in csv.reader(io.StringIO(answer.text)) for c in row]


async def test_several_shops_stand_behind_one_another_and_a_token_opens_its_own(tmp_path: Path) -> None:
    async with office(tmp_path, "North", "South") as found:
        sales = await rung(found)
        one, every = await found.token("South"), await found.token(None)
        for headers, query, wanted in (
            (every, {}, ["North", "South"]),
            (every, {"shop": "South"}, ["South"]),
            (every, {"shop": ["South", "North"]}, ["South", "North"]),
            (one, {}, ["South"]),
        ):
            answer = await found.http.get("/api/export/sales", params=query | {"format": "parquet"}, headers=headers)
            names = table(answer.content)["shop_name"].to_pylist()
            assert list(dict.fromkeys(names)) == wanted and len(names) == 2 * len(wanted)
            text = await found.http.get("/api/export/sales", params=query, headers=headers)
            rows = list(csv.DictReader(io.StringIO(text.text)))
            assert {row["id"] for row in rows} <= {sale.id for sale in sales}
            if len(wanted) > 1:
                assert {row["shop"] for row in rows} == {till.shop_id for till in found.tills}
            whole = await found.http.get("/api/export/sales", params=query | {"format": "jsonl"}, headers=headers)
            assert len([json.loads(line) for line in whole.text.splitlines()]) == 2 * len(wanted)
        for path, headers, status in (
            ("/api/export/sales?shop=North", one, 403),
            ("/api/export/sales", {}, 401),
            (f"/api/shops/{found.tills[0].shop_id}/export/sales", one, 403),
            ("/api/export/colours", every, 404),
            ("/api/export/sales?format=xls", every, 422),
            ("/api/export/sales?format=json", every, 422),
            ("/api/export/sales?from=2026-02-02&to=2026-02-01", every, 422),
            ("/api/export/sales?shop=West", every, 404),
        ):
            assert (await found.http.get(path, headers=headers)).status_code == status, path


async def test_one_shops_text_is_what_its_till_writes(tmp_path: Path) -> None:
    async with office(tmp_path, "North") as found:
        await rung(found)
        (till,) = found.tills
        from posline.till.commands import COMMANDS as OF_TILL

        for what in ("sales", "refunds", "stock", "cash"):
            for format in ("csv", "jsonl"):
                lines = await OF_TILL[f"export_{what}"](till, {"format": format})
                own = "".join([line async for line in lines.lines])
                path = f"/api/shops/North/export/{what}"
                answer = await found.http.get(path, params={"format": format}, headers=await found.token("North"))
                if (what, format) == ("sales", "jsonl"):  # where a sale is known to be differs by who is asked
                    assert [json.loads(x)["id"] for x in answer.text.splitlines()] == [
                        json.loads(x)["id"] for x in own.splitlines()
                    ]
                else:
                    assert answer.text == own


async def test_a_command_writes_a_file_that_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with office(tmp_path, "North", "South") as found:
        sales = await rung(found)
    out = tmp_path / "sales.parquet"
    monkeypatch.setattr(exporting, "PIECE_BYTES", 1000)  # as of a large file

    def run(*arguments: str) -> Any:
        return CliRunner().invoke(app, ["--data", str(tmp_path / "office"), "export", *arguments])

    ran = await asyncio.to_thread(run, "sales", "--format", "parquet", "--out", str(out))
    assert ran.exit_code == 0, ran.output
    assert sorted(parquet.read_table(out)["id"].to_pylist()) == sorted(sale.id for sale in sales)
    assert not list(tmp_path.glob("*unfinished*"))  # noqa: ASYNC240
    ran = await asyncio.to_thread(run, "sale-lines", "--shop", "South", "--format", "jsonl")
    assert ran.exit_code == 0 and len(ran.stdout.splitlines()) == 3
    ran = await asyncio.to_thread(run, "sales", "--format", "parquet", "--out", str(tmp_path / "none" / "x"))
    assert ran.exit_code == 1 and "name another file" in str(ran.exception)


def test_a_file_that_cannot_be_made_whole_leaves_the_one_before(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    assert write_file(path, [b"one", b"two"]) == 6

    def breaks() -> Iterator[bytes]:
        yield b"half"
        raise OSError("the disk")

    with pytest.raises(OSError, match="the disk"):
        write_file(path, breaks())
    assert path.read_bytes() == b"onetwo" and [p.name for p in tmp_path.iterdir()] == ["x.csv"]


async def test_without_pyarrow_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    async with office(tmp_path, "North") as found:
        answer = await found.http.get("/api/export/sales?format=parquet", headers=await found.token("North"))
        assert answer.status_code == 501 and "posline[parquet]" in answer.json()["detail"]
        asked = {"what": "sales", "shops": [], "format": "parquet"}
        with pytest.raises(NoParquet):
            await COMMANDS["export"](found.relay, asked)
        with pytest.raises(NotFound):
            await COMMANDS["export"](found.relay, asked | {"what": "x"})


async def test_rows_in_memory_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a shop sold, no more rows are held than a row group has, and the first are written before the last are
    read."""
    monkeypatch.setattr(exporting, "GROUP_ROWS", 4)
    async with office(tmp_path, "North") as found:
        (till,) = found.tills
        for _ in range(30):
            await till.sell([TEA])
        branch = found.relay.branch("North")
        await until(lambda: len(list(branch.reports.counted(("sale",), None, None))) == 30)
        read = [0]
        rows = TABLES["sales"].rows

        def counting(*args: Any) -> Any:
            for row in rows(*args):
                read[0] += 1
                yield row

        monkeypatch.setitem(
            exporting.TABLES,
            "sales",
            TABLES["sales"].__class__("", ("sale",), TABLES["sales"].own, counting),  # type: ignore[index]
        )
        pieces, sizes = [], []
        for piece in export(found.relay.store, [branch], Asked("sales", "parquet"), found.relay.chart):
            pieces.append(piece)
            sizes.append(read[0])
        assert sizes[0] == 4 and sizes[-1] == 30
        assert all(b - a <= 4 for a, b in itertools.pairwise(sizes))
        file = parquet.ParquetFile(io.BytesIO(b"".join(pieces)))
        assert file.num_row_groups == 8 and file.metadata.num_rows == 30


def test_pieces_survive_being_cut_anywhere_on_the_way() -> None:
    pieces = [b"one", b"", b"three" * 1000]
    text = "".join(exporting.as_text(pieces))
    for size in (1, 7, 100_000):
        cut = (text[at : at + size] for at in range(0, len(text), size))
        assert list(from_text(cut)) == pieces
    with pytest.raises(ValueError, match="middle of a line"):
        list(from_text(text[:-1]))


async def test_a_reader_that_goes_away_lets_go_of_the_database(tmp_path: Path) -> None:
    async with office(tmp_path, "North") as found:
        await rung(found)
        url, headers = "/api/export/sales?format=jsonl", await found.token("North")
        for _ in range(8):  # more than there is room for at once
            async with found.http.stream("GET", url, headers=headers) as answer:
                assert answer.status_code == 200
        whole: httpx.Response = await found.http.get(url, headers=headers)
        assert len(whole.text.splitlines()) == 2
