"""What a head office says of itself: figures, health, its log; and how it is reached, by TLS and through proxies."""

from __future__ import annotations

import json
import logging
import re
import signal
import ssl
import subprocess
import uuid
from contextlib import closing
from functools import partial
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from examples.rig.programs import free_port
from posline.errors import Unavailable
from posline.storage.connection import connect
from posline.storage.folder import Folder
from posline.till import opening
from posline.till.metrics import exposition
from posline.trust.certificate import Tls
from relay.operations import readiness
from relay.operations.figures import figures
from relay.operations.logs import hide, without_secrets
from relay.operations.measuring import Histogram, Meters
from relay.operations.watching import Watched
from relay.postgres.home import DatabaseHome
from relay.relay import Relay
from relay.web.caller import network
from tests.faults import rig
from tests.postgres import Cluster
from tests.relay.test_relay import office
from tests.till.shop import TEA
from tests.till.test_joining import until
from tests.till.test_listener import certificate

ROOT = Path(__file__).parents[2]
OPERATIONS = ROOT / "examples" / "operations"
NAME = re.compile(r"\b((?:posline|process)_[a-z0-9_]+)\b")


# -- figures -----------------------------------------------------------------------------------------------------------


def names_of(text: str) -> set[str]:
    """The names of all samples of an exposition, which must be one."""
    names = set()
    for line in text.splitlines():
        if not line.startswith("#"):
            found = re.fullmatch(r'([a-z_]+)(?:\{([a-z_]+="[^"]*",?)+\})? -?[0-9.e+-]+', line)
            assert found, line
            names.add(found[1])
    return names


async def test_every_figure_that_the_board_and_the_alerts_ask_for_is_there(cluster: Cluster, tmp_path: Path) -> None:
    async with office(tmp_path, "North") as found:
        await found.tills[0].sell([TEA])
        found.relay.webhooks.add("http://127.0.0.1:9/", at=0, life="", private=True)
        found.relay.meters.commits.add("failed")
        found.relay.delivered("failed", 0.1)
        found.relay.people.on_sign_in("failed")
        found.relay.meters.refused.add("proof")
        await found.http.get("/healthz")
        text = (await found.http.get("/metrics")).text
    async with Relay(DatabaseHome(cluster.url("figures"))) as relay:
        there = names_of(text) | names_of(exposition(await figures(relay)))
    asked: set[str] = set()
    for file in ("grafana.json", "alerts.yml"):
        text = re.sub(r"\b(by|without|on) \([^)]*\)", "", (OPERATIONS / file).read_text())
        asked |= set(NAME.findall(re.sub(r"posline_relay_\w+(?=[\"'] *:)", "", text)))
    assert len(asked) > 30 and asked - there == set()
    told = set(NAME.findall((ROOT / "docs" / "operations.md").read_text()))
    ours = {re.sub("_(bucket|sum|count)$", "", name) for name in there if name.startswith("posline_relay")}
    assert ours - told == set(), "docs/operations.md says what each is"


def test_the_alerts_say_what_to_do() -> None:
    rules = (OPERATIONS / "alerts.yml").read_text().split("      - alert: ")[1:]
    assert len(rules) > 15
    for rule in rules:
        for part in ("expr:", "severity:", "summary:", "description:", "action:"):
            assert part in rule, (rule.splitlines()[0], part)
    yaml = pytest.importorskip("yaml", reason="PyYAML is not installed here")
    (group,) = yaml.safe_load((OPERATIONS / "alerts.yml").read_text())["groups"]
    assert len(group["rules"]) == len(rules)


async def test_figures_count_what_comes_in_and_have_no_label_for_each_shop(tmp_path: Path) -> None:
    async with office(tmp_path, "North", "South") as found:
        sales = [await till.sell([TEA]) for till in found.tills]
        for till, sale in zip(found.tills, sales, strict=True):
            await until(lambda till=till, sale=sale: found.relay.branch(till.shop_id).reports.by_id(sale.id))
        await found.http.get("/api/shops/North/sales")
        await found.http.get(f"/nowhere/{uuid.uuid4()}")
        text = (await found.http.get("/metrics")).text
        assert 'posline_relay_entries_total{kind="sale",status="counted"} 2\n' in text
        assert 'posline_relay_links{kind="till"} 2\n' in text and "posline_relay_shops_linked 2\n" in text
        assert 'route="/api/shops/{shop}/sales",method="GET",status="401"} 1\n' in text
        assert 'posline_relay_http_requests_total{route="none",method="GET",status="404"} 1\n' in text
        assert 'posline_relay_commits_total{outcome="stands"}' in text
        assert re.search(r"posline_relay_acknowledged_total [1-9]", text)
        assert f"posline_relay_feed_end {found.relay.feed.end()}\n" in text
        for secret in ("North", "South", *(till.shop_id for till in found.tills), *(till.id for till in found.tills)):
            assert secret not in text
        asked = list[str]()
        execute = found.relay.store.read.execute
        found.relay.store.read.execute = lambda sql, *rest: (asked.append(sql), execute(sql, *rest))[1]
        await found.http.get("/metrics")
        assert [sql for sql in asked if "FROM entry" in sql or "FROM log" in sql] == [], "nothing grows with history"


def test_a_histogram_has_prometheus_shape() -> None:
    histogram = Histogram("posline_x_seconds", "So long", (0.1, 1.0), "route")
    for seconds in (0.1, 0.5, 3.0):
        histogram.observe(seconds, "/a")
    assert exposition([histogram.metric()]).splitlines() == [
        "# HELP posline_x_seconds So long", "# TYPE posline_x_seconds histogram",
        'posline_x_seconds_bucket{route="/a",le="0.1"} 1', 'posline_x_seconds_bucket{route="/a",le="1.0"} 2',
        'posline_x_seconds_bucket{route="/a",le="+Inf"} 3', 'posline_x_seconds_sum{route="/a"} 3.6',
        'posline_x_seconds_count{route="/a"} 3',
    ]  # fmt: skip


# -- health ------------------------------------------------------------------------------------------------------------


async def test_it_is_ready_while_its_database_answers_and_it_does_not_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with office(tmp_path, "North") as found:
        assert (await found.http.get("/readyz")).json() == {"ready": True}
        asked = list[int]()

        def gone(self: object) -> None:
            asked.append(1)
            raise Unavailable("the database at db.example does not answer")

        monkeypatch.setattr(readiness.Readiness, "_look", gone)
        while (answer := await found.http.get("/readyz")).status_code == 200:
            pass  # for a second the answer before is good
        for _ in range(50):
            await found.http.get("/readyz")
        assert "db.example" in answer.json()["reason"] and answer.json()["do"]
        assert len(asked) < 20, "however many ask"
        assert (await found.http.get("/healthz")).status_code == 200
        found.relay.draining.set()
        assert "going down" in (await found.http.get("/readyz")).json()["reason"]
        found.relay.draining.clear()
        found.relay.broken.set()
        try:
            assert (await found.http.get("/healthz")).status_code == 503
        finally:
            found.relay.broken.clear()


async def test_it_is_not_ready_in_a_database_that_a_newer_version_has(cluster: Cluster) -> None:
    async with Relay(DatabaseHome(cluster.url("newer"))) as relay:
        state = await readiness.Readiness(relay).state()
        assert state.ready
        with relay.home.database.connect() as connection:
            connection.execute("INSERT INTO step (name) VALUES ('of next year')")
        state = await readiness.Readiness(relay).state()
        assert "of next year" in state.reason and "upgrading" in state.do
        with relay.home.database.connect() as connection:
            connection.execute("DELETE FROM step WHERE name = 'of next year'")
            connection.execute("INSERT INTO shop (id, rules) VALUES ('s', '999/1')")
        assert "other rules (999)" in (await readiness.Readiness(relay).state()).reason


# -- the log -----------------------------------------------------------------------------------------------------------


def test_secrets_are_struck_out_of_every_line() -> None:
    hide("geheim-123")
    for line, secret in (
        ("Authorization: Bearer abc.DEF-123_4", "abc.DEF-123_4"),
        ("postgresql://posline:pa55word@db/x does not answer", "pa55word"),
        ("host=db password=pa55word dbname=x", "pa55word"),
        ("the secret whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
        ("posline://hq:8800/attach?store=X&pin=Y#t0ken-ken", "t0ken-ken"),
        ('{"token": "abcdefgh"}', "abcdefgh"),
        ("GET /x?token=abcdefgh&y=1", "abcdefgh"),
        ("somewhere geheim-123 stands", "geheim-123"),
    ):
        assert secret not in without_secrets(line) and "***" in without_secrets(line)
    plain = "3 shops at http://127.0.0.1:8800, no link to wss://10.0.0.2:8701/sync"
    assert without_secrets(plain) == plain


@pytest.mark.timeout(240)
def test_the_log_of_a_whole_run_is_one_object_a_line_and_shows_no_secret(tmp_path: Path) -> None:
    options = ("--log-format", "json", "--log-level", "debug", "--trusted-proxy", "127.0.0.1")
    relay = rig.relay(tmp_path / "office", *options)
    till = rig.Process(tmp_path / "till", arguments=["till", "--shop", "North", "--port", "0", "--sync-port", "0"])
    with relay, till:
        run = partial(rig.run, "--data", str(relay.data), module="relay.cli")
        owner = run("user", "add", "Asma").strip()
        hook = json.loads(run("webhook", "add", "http://127.0.0.1:9/hook?key=w3bh00k", "--private", "--json"))
        link = run("invite").strip()
        rig.run("attach", link, "--data", str(till.data))
        till.post("/api/sales", rig.sale())
        password = "a long passphrase of Asma"
        with httpx.Client(base_url=relay.page, trust_env=False, timeout=30) as http:
            bearer = {"authorization": f"Bearer {owner}", "x-request-id": "proxy-4711"}
            rig.wait_for("the shop", lambda: http.get("/api/shops", headers=bearer).json()["shops"])
            http.get(f"/api/feed?token={owner}", headers=bearer)
            http.get("/api/shops", headers={"authorization": "Bearer wr0ngwr0ngwr0ng"})
            form = {"name": "Asma", "password": password, "token": owner}
            mine = {"sec-fetch-site": "same-origin"}
            for path in ("/sign-in", "/welcome", "/first"):
                http.post(path, data=form, headers=mine)
            assert http.get("/api/shops", headers=bearer).headers["x-request-id"] == "proxy-4711"
        run("backup", str(tmp_path / "copy"))
        program = run("token", "add", "--shop", "North", "--role", "read").strip()
        assert relay.stop() == 0
    text = relay.log.read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    for line in lines:
        assert {"time", "level", "event", "message", "logger", "host", "process"} <= set(line), line
    by_event = {line["event"] for line in lines}
    assert {"ready", "request", "draining", "drained", "stopping", "backup"} <= by_event
    (asked, *_) = [line for line in lines if line["event"] == "request" and line.get("request") == "proxy-4711"]
    assert asked["path"] == "/api/shops" and asked["status"] == 200 and asked["address"] == "127.0.0.1"
    local = json.loads((tmp_path / "till" / "settings.json").read_text())
    secrets = [owner, hook["secret"], hook["secret"].removeprefix("whsec_"), link.rpartition("#")[2], password, program]
    secrets += [value for value in local.values() if isinstance(value, str) and len(value) > 30]
    for secret in (*secrets, "w3bh00k", "wr0ngwr0ngwr0ng"):
        assert secret not in text, f"{secret[:6]}... stands in the log"


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_database_that_does_not_answer_is_told_without_its_password(form: str) -> None:
    url = "postgresql://posline:pa55word@127.0.0.1:9/posline"
    command = [*rig.command("relay.cli"), "serve", "--port", "0", "--database", url, "--log-format", form]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1 and "does not answer" in done.stderr and "pa55word" not in done.stderr + done.stdout
    if form == "json":
        assert json.loads(done.stderr.splitlines()[-1])["event"] == "failed"


async def test_only_a_trusted_proxy_names_a_request(caplog: pytest.LogCaptureFixture) -> None:
    async def hello(request: Request) -> PlainTextResponse:
        logging.getLogger("posline.test").info("hello")
        return PlainTextResponse("hello")

    plain = Starlette(routes=[Route("/hello", hello)])
    ids = []
    for trusted, access in (((network("127.0.0.1"),), True), ((), False)):
        app = Watched(plain, meters=Meters(), names={hello: "/hello"}, trusted=trusted, access=access)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://x") as http:
            with caplog.at_level(logging.INFO, "posline.access"):
                caplog.clear()
                answer = await http.get("/hello", headers={"x-request-id": "abc"})
                ids.append(answer.headers["x-request-id"])
                assert any(r.name == "posline.access" for r in caplog.records) is access
            wild = await http.get("/hello", headers={"x-request-id": "a b\tc" * 40})
            assert re.fullmatch("[0-9a-f]{16}", wild.headers["x-request-id"])
    assert ids[0] == "abc" and ids[1] != "abc"


async def test_a_start_says_how_far_it_is_in_judging_by_newer_rules(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with office(tmp_path, "North") as found:
        sale = await found.tills[0].sell([TEA])
        await until(lambda: found.relay.branch("North").reports.by_id(sale.id))
        shop = found.tills[0].shop_id
    with closing(connect(str(tmp_path / "office" / "posline.db"))) as file:
        file.execute("UPDATE meta SET value = '1' WHERE name = 'rules'")
    monkeypatch.setattr(opening, "TOLD_S", 0.0)
    with Folder(tmp_path / "office") as folder:
        async with Relay(folder, serving=False) as relay:
            assert relay.branch(shop).reports.by_id(sale.id)[0].status == "counted"
    said = [record.getMessage() for record in caplog.records if "newer rules" in record.getMessage()]
    (done, of), *_ = (map(int, re.findall(r"(\d+) of (\d+) entries", line)[0]) for line in said[-1:])
    assert done == of > 0 and "Let it end" in said[-1]


# -- how it is reached -------------------------------------------------------------------------------------------------


@pytest.mark.timeout(240)
def test_figures_may_have_a_port_of_their_own(tmp_path: Path) -> None:
    port = free_port()
    with rig.relay(tmp_path / "office", "--metrics-port", str(port)) as relay:
        own = f"http://127.0.0.1:{port}"
        get = partial(httpx.get, trust_env=False)
        assert get(f"{relay.page}/metrics").status_code == 404
        assert get(f"{relay.page}/readyz").json() == {"ready": True}
        assert "posline_relay_build_info{" in get(f"{own}/metrics").text
        assert get(f"{own}/readyz").status_code == get(f"{own}/healthz").status_code == 200
        assert get(f"{own}/api/shops").status_code == 404


@pytest.mark.timeout(240)
def test_a_renewed_certificate_is_shown_without_dropping_links(tmp_path: Path) -> None:
    (tmp_path / "second").mkdir()
    shown, second = certificate(tmp_path), certificate(tmp_path / "second")
    relay = rig.relay(tmp_path / "office", "--tls-cert", str(shown.certificate), "--tls-key", str(shown.key))
    till = rig.Process(tmp_path / "till", arguments=["till", "--shop", "North", "--port", "0", "--sync-port", "0"])
    with relay, till:
        run = partial(rig.run, "--data", str(relay.data), module="relay.cli")
        rig.run("attach", run("invite").strip(), "--data", str(till.data))

        def links() -> int:
            text = httpx.get(f"{relay.page}/metrics", verify=False, trust_env=False).text
            return int(re.search(r'posline_relay_links\{kind="till"\} (\d+)', text)[1])

        rig.wait_for("the link", lambda: links() == 1)
        host, port = relay.page.removeprefix("https://").split(":")
        before = ssl.get_server_certificate((host, int(port)))

        shown.key.write_text("nonsense")
        relay._child.send_signal(signal.SIGHUP)
        rig.wait_for("it to refuse nonsense", lambda: "cannot be renewed" in relay.log.read_text())
        assert ssl.get_server_certificate((host, int(port))) == before

        _put(second, shown)
        relay._child.send_signal(signal.SIGHUP)
        rig.wait_for("the new one", lambda: ssl.get_server_certificate((host, int(port))) != before)
        assert links() == 1 and "a link ended" not in relay.log.read_text(), "who was linked stays"
        till.kill()
        till.start()
        rig.wait_for("the till to link by the new one", lambda: links() == 1)
        assert second.fingerprint in run("invite"), "invitations name the new one"

        old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
        old.maximum_version = ssl.TLSVersion.TLSv1_2
        assert httpx.get(f"{relay.page}/healthz", verify=old, trust_env=False).status_code == 200


def _put(tls: Tls, shown: Tls) -> None:
    shown.key.write_bytes(tls.key.read_bytes())
    shown.certificate.write_bytes(tls.certificate.read_bytes())
