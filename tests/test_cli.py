"""The commands of `posline`, as an owner runs them: beside a running till and without one."""

from __future__ import annotations

import csv
import io
import json
import subprocess
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pytest

from posline.till.terminal import value_first
from tests.faults.rig import Process, command, relay, run, sale, till

CATALOGUE = "sku,name,price,brand\nTEA,Tea,250,Best\nSALT,Salt,x,\nRICE,Rice,900,\n"


def failed(*arguments: str, code: int) -> str:
    """Run a command that ends with `code`; what it said on stderr."""
    done = subprocess.run([*command(), *arguments], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == code, (arguments, done.returncode, done.stdout, done.stderr)
    assert "Traceback" not in done.stderr, done.stderr
    return done.stderr


def last_line(text: str) -> str:
    return text.strip().splitlines()[-1]


def test_options_that_may_stand_anywhere_are_found() -> None:
    def moved(*arguments: str) -> list[str]:
        return value_first(arguments, flags={"--json"}, values={"--data"})

    assert moved("report", "day", "--data", "d", "2026-11-23", "--json") == [
        "--data", "d", "--json", "report", "day", "2026-11-23",
    ]  # fmt: skip
    assert moved("verify", "--data=d") == ["--data=d", "verify"]
    assert moved("join", "--", "--data", "x") == ["join", "--", "--data", "x"]
    assert moved("till", "--data") == ["till", "--data"]


def test_a_day_at_one_till(tmp_path: Path) -> None:
    """The commands beside a running till answer what they answer without one."""
    data, file = tmp_path / "a", tmp_path / "products.csv"
    file.write_text(CATALOGUE)
    at = ["--data", str(data)]
    with till(data, "--shop", "Corner shop", "--label", "K") as shop:
        assert set(shop.urls) == {"page", "sync"} and shop.urls["sync"].startswith("wss://")
        imported = failed("catalog", "import", str(file), *at, code=1)
        assert "line 3: price" in imported
        shop.post("/api/sales", {**sale(), "lines": [{"sku": "TEA", "quantity": "2"}]})
        shop.post("/api/sales", sale(price=700))
        status = json.loads(run("status", "--json", *at))
        assert status == shop.get("/api/status") and (status["shop"], status["label"]) == ("Corner shop", "K")
        beside = json.loads(run("--json", "report", "day", status["day"], *at))
        assert beside["sales"] == {"count": 2, "total": 1200, "discount": 0, "tax": 0}
        exported = run("export", "sales", "--format", "csv", *at)
        run("backup", str(tmp_path / "copy.db"), *at)
        assert run("catalog", "export", *at).splitlines() == [
            "sku,name,price,brand",
            "RICE,Rice,900,",
            "TEA,Tea,250,Best",
        ]
        assert shop.stop() == 0
    alone = json.loads(run("report", "day", *at, status["day"], "--json"))
    assert {**alone, "digest": "", "tills": []} == {**beside, "digest": "", "tills": []}
    assert alone["tills"][0]["unvouched"]["count"] == 0, "a clean stop signs what was sold"
    assert run("export", "sales", *at, "--format", "csv") == exported
    rows = list(csv.DictReader(io.StringIO(exported)))
    assert [(r["sku"], r["quantity"], r["total"]) for r in rows] == [("TEA", "2", "500"), ("loose", "1", "700")]
    objects = [json.loads(line) for line in run("export", "sales", "--format", "jsonl", *at).splitlines()]
    assert [o["total"] for o in objects] == [500, 700] and objects[0]["lines"][0]["name"] == "Tea"
    assert run("export", "sales", "--format", "jsonl", "--to", "2025-01-01", *at) == ""
    assert last_line(run("verify", *at)) == "no problems"
    assert "1,2" not in run("report", "day", *at) and "12.00" in run("report", "day", *at, status["day"])
    packed = tmp_path / "out.csv.gz"
    run("catalog", "export", str(packed), *at)
    assert packed.read_bytes()[:2] == b"\x1f\x8b"


@pytest.mark.parametrize("module", ["posline.cli", "relay.cli"])
def test_a_program_says_its_version(module: str) -> None:
    assert run("--version", module=module).split()[1:] == [version("posline")]


def test_wrong_usage_is_2_and_failure_1(tmp_path: Path) -> None:
    at = ["--data", str(tmp_path / "nowhere")]
    for arguments in (
        ["sell"],
        ["till", "--port", "x"],
        ["export", "sales", "--format", "xml"],
        ["join", "x"],
        ["report"],
    ):
        failed(*arguments, *at, code=2)
    failed("report", "day", "23.11.2026", *at, code=2)
    assert "there is no folder" in failed("status", *at, code=1)
    assert not (tmp_path / "nowhere").exists(), "asking makes nothing"
    (tmp_path / "empty").mkdir()
    assert "posline till" in failed("status", "--data", str(tmp_path / "empty"), code=1)


def test_one_process_owns_a_folder_and_one_port(tmp_path: Path) -> None:
    with till(tmp_path / "a") as shop:
        assert "another Posline" in failed("till", "--data", str(tmp_path / "a"), "--port", "0", code=1)
        port = shop.page.rpartition(":")[2]
        taken = failed("till", "--data", str(tmp_path / "b"), "--port", port, "--sync-port", "0", code=1)
        assert "name another port" in taken


def test_a_folder_without_its_key_says_what_to_do(tmp_path: Path) -> None:
    data = tmp_path / "a"
    with till(data) as shop:
        shop.stop()
    (data / "key").unlink()
    said = failed("till", "--data", str(data), "--port", "0", "--sync-port", "0", code=1)
    assert "posline restore" in said


@pytest.mark.parametrize("program", [till, relay])
def test_who_is_ready_can_be_told_to_stop(program: Callable[[Path], Process], tmp_path: Path) -> None:
    for _ in range(3):
        assert program(tmp_path / "data").start().stop() == 0


def test_a_later_label_renames(tmp_path: Path) -> None:
    data = tmp_path / "a"
    with till(data) as shop:
        assert shop.post("/api/sales", sale()).json()["receipt"].startswith("A-1-")
        shop.stop()
    with till(data, "--label", "KASSE2") as shop:
        assert shop.post("/api/sales", sale()).json()["receipt"].startswith("KASSE2-2-")
        assert [t["label"] for t in shop.get(f"/api/reports/day/{shop.get('/api/status')['day']}")["tills"]] == [
            "KASSE2"
        ]
        shop.stop()
    with till(data) as shop:
        assert shop.get("/api/status")["label"] == "KASSE2"
    assert failed("till", "--label", "too long a label", "--data", str(data), code=1)


def test_verify_finds_a_total_that_was_changed_in_the_file(tmp_path: Path) -> None:
    from posline.storage.connection import connect

    data = tmp_path / "a"
    with till(data) as shop:
        shop.post("/api/sales", sale(price=500))
        shop.stop()
    database = connect(str(data / "posline.db"))
    database.execute("UPDATE entry SET amount = 5 WHERE kind = 'sale'")
    database.close()
    done = subprocess.run(
        [*command(), "verify", "--data", str(data)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1 and "recorded otherwise" in done.stdout


def test_a_services_log_is_not_told_the_recovery_code(tmp_path: Path) -> None:
    """It is kept, and read by others, long after the file with the code is gone."""
    for name, service in (("a", False), ("b", True)):
        shop = till(tmp_path / name)
        shop.log.touch()  # what systemd names is what the program's stderr is
        if service:
            of = shop.log.stat()
            shop.environment = {"JOURNAL_STREAM": f"{of.st_dev}:{of.st_ino}"}
        with shop:
            code = next(word for word in (shop.data / "recovery-code").read_text().split() if word.count("-") > 9)
            said = shop.log.read_text()
            assert ("recovery code" in said, str(shop.data / "recovery-code") in said) == (True, True)
            assert (code in said) is not service


def test_what_is_secret_is_its_owners_alone(tmp_path: Path) -> None:
    data = tmp_path / "a"
    data.mkdir(mode=0o755)
    with till(data):
        for name in ("key", "local.json", "settings.json", "recovery-code", "posline.db", "posline.db-wal", "tls-key"):
            assert (data / name).stat().st_mode & 0o077 == 0, name
