"""Behind a real nginx, with the configuration that is given as an example: pages, tills, and a process that drains."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import httpx
import pytest

from examples.rig.programs import free_port
from posline.trust.certificate import Tls
from tests.faults import rig
from tests.postgres import Cluster
from tests.relay.processes import Serving
from tests.till.test_listener import certificate

OPERATIONS = Path(__file__).parents[2] / "examples" / "operations"
# what the processes behind each are started with
EXAMPLES: dict[str, list[str]] = {"nginx.conf": [], "compose/nginx.conf": ["--own-certificate"]}


@contextmanager
def nginx(folder: Path, example: str, tls: Tls, ports: list[int]) -> Iterator[int]:
    """The example, with other names and ports."""
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if program is None:
        pytest.skip("nginx is not installed here (Debian: nginx-light)")
    port = free_port()
    site = (OPERATIONS / example).read_text()
    (server,) = re.findall(r"^    server \S+:8800.*$", site, re.M)
    servers = [re.sub(r"server \S+:8800", f"server 127.0.0.1:{each}", server) for each in ports]
    site = site.replace(server, "\n".join(servers))
    site = site.replace("listen 443 ssl", f"listen 127.0.0.1:{port} ssl").replace("hq.example;", "localhost;")
    site = re.sub(r"\S+/fullchain\.pem;", f"{tls.certificate};", site)
    site = re.sub(r"\S+/privkey\.pem;", f"{tls.key};", site)
    temporary = "".join(
        f"{what}_temp_path {folder}/{what};\n" for what in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(
        f"daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log;\n"
        f"events {{}}\nhttp {{ access_log off;\n{temporary}{site}\n}}\n"
    )
    command = [program, "-p", str(folder), "-e", f"{folder}/error.log", "-c", str(folder / "nginx.conf")]
    running = subprocess.Popen(command)
    try:

        def answers() -> bool:
            assert running.poll() is None, (folder / "error.log").read_text()
            try:
                httpx.get(f"https://127.0.0.1:{port}/healthz", verify=False, trust_env=False, timeout=10)
            except httpx.HTTPError:
                return False
            return True

        rig.wait_for("nginx", answers)
        yield port
    finally:
        running.terminate()
        running.wait(20)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("example", EXAMPLES)
def test_tills_and_pages_through_nginx_and_a_process_behind_it_that_drains(
    cluster: Cluster, tmp_path: Path, example: str
) -> None:
    tls, ports = certificate(tmp_path), [free_port(), free_port()]
    url = cluster.url(f"proxied{len(EXAMPLES[example])}")
    (tmp_path / "nginx").mkdir()
    with nginx(tmp_path / "nginx", example, tls, ports) as port:
        options = ["--trusted-proxy", "127.0.0.1", "--proxy-cert", str(tls.certificate), *EXAMPLES[example]]
        options += ["--address", f"localhost:{port}", "--log-format", "json"]
        relays = [
            Serving(tmp_path / f"r{n}", "relay.cli", ["serve", "--port", str(each), *options, "--database", url])
            for n, each in enumerate(ports)
        ]
        till = rig.Process(tmp_path / "till", arguments=["till", "--shop", "North", "--port", "0", "--sync-port", "0"])
        run = partial(rig.run, "--database", url, module="relay.cli")
        try:
            for each in relays:
                each.start()
            with till, httpx.Client(
                base_url=f"https://localhost:{port}", verify=False, trust_env=False, timeout=30
            ) as http:
                link = run("invite").strip()
                assert f"localhost:{port}" in link and tls.fingerprint in link, "what tills see is the proxy"
                rig.run("attach", link, "--data", str(till.data))
                rig.wait_for("the link", lambda: linked(till))
                assert http.get("/metrics").status_code == 404
                answer = http.get("/readyz")
                assert answer.json() == {"ready": True} and len(answer.headers["x-request-id"]) == 32
                assert http.get("/sign-in").headers["strict-transport-security"], "the pages know that it is TLS"

                (mine,) = [each for each in relays if links(each) == 1]
                other = relays[1 - relays.index(mine)]
                assert mine._child is not None
                mine._child.send_signal(signal.SIGTERM)
                rig.wait_for("the till to be at the other one", lambda: links(other) == 1)
                assert mine.wait() == 0
                sale = till.post("/api/sales", rig.sale()).json()

                def held() -> bool:
                    return bool(till.get(f"/api/sales/{sale['id']}")["durable"]["head_office"])

                rig.wait_for("the other one to hold its sale", held)
                assert http.get("/readyz").status_code == 200, "the one that is gone is not asked"
        finally:
            for each in relays:
                if each.running:
                    each.kill()
        asked = [json.loads(line) for each in relays for line in each.log.read_text().splitlines()]
        assert {line["address"] for line in asked if line["event"] == "request"} == {"127.0.0.1"}


def linked(till: rig.Process) -> bool:
    return any(peer["connected"] and peer["kind"] == "head office" for peer in till.get("/api/status")["peers"])


def links(relay: rig.Process) -> int:
    text = httpx.get(f"{relay.page}/metrics", trust_env=False, verify=False, timeout=30).text
    found = re.search(r'posline_relay_links\{kind="till"\} (\d+)', text)
    assert found
    return int(found[1])
