"""One id is one sale, however often and however it is posted."""

from __future__ import annotations

import asyncio
import uuid
from pathlib import Path

import httpx

from tests.faults.rig import run, sale, till


def test_100_parallel_posts_of_one_id_across_a_restart_are_one_sale(tmp_path: Path) -> None:
    process = till(tmp_path / "till")
    body = sale(price=777)

    async def post_all() -> list[int | None]:
        async with httpx.AsyncClient(timeout=30, trust_env=False, limits=httpx.Limits(max_connections=100)) as http:

            async def post(index: int) -> int | None:
                try:
                    answer = await http.post(process.page + "/api/sales", json=body)
                except httpx.HTTPError:
                    return None
                if index == 20 and process.running:
                    process.kill()  # in the middle of the others
                return answer.status_code

            return list(await asyncio.gather(*(post(index) for index in range(100))))

    with process:
        first = asyncio.run(post_all())
    with process:
        second = asyncio.run(post_all())
    with process:
        answers = [code for code in first + second if code is not None]
        assert set(answers) <= {200, 201, 503}
        assert answers.count(201) <= 1
        assert [s["total"] for s in process.sales()] == [777]
        again = process.post("/api/sales", body)
        assert again.status_code == 200
        other = process.post("/api/sales", body | {"lines": [{"sku": "loose", "quantity": 2, "price": 777}]})
        assert other.status_code == 409
        assert other.headers["content-type"].startswith("application/problem+json")
        assert [s["total"] for s in process.sales()] == [777]
    run("verify", "--data", str(process.data))


def test_a_retry_is_known_however_it_is_written(tmp_path: Path) -> None:
    with till(tmp_path / "till") as process:
        id = str(uuid.uuid4())
        one = {"id": id, "lines": [{"sku": "a", "quantity": "1.50", "price": 10}], "by": "x"}
        two = {"by": "x", "lines": [{"price": 10, "quantity": 1.5, "sku": "a"}], "id": id.upper()}
        assert process.post("/api/sales", one).status_code == 201
        answer = process.post("/api/sales", two)
        assert (answer.status_code, answer.json()["total"]) == (200, 15)
        assert process.stop() == 0
    with process:
        assert process.post("/api/sales", two).status_code == 200
        assert len(process.sales()) == 1


def test_a_list_goes_on_behind_a_cursor_or_a_sale(tmp_path: Path) -> None:
    with till(tmp_path / "till") as process:
        ids = [process.post("/api/sales", sale(price=p)).json()["id"] for p in range(1, 6)]
        page = process.get("/api/sales?limit=2")
        assert [s["id"] for s in page["sales"]] == ids[:2]
        for after in (page["next"], ids[1], page["sales"][1]["receipt"]):
            assert [s["id"] for s in process.get(f"/api/sales?after={after}")["sales"]] == ids[2:]
        answer = httpx.get(process.page + "/api/sales?after=x-y", trust_env=False)
        assert answer.status_code == 422
