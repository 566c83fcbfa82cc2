"""The listener for devices in a program that runs: its TLS, its address, and what starts it."""

from __future__ import annotations

import asyncio
import signal
import ssl
import threading
from functools import partial
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette

from examples.rig.programs import free_port
from posline.errors import BadRequest
from posline.till import terminal
from posline.till.listener import Listener
from posline.trust.certificate import Tls
from relay.cli import app
from relay.hosting.door import origin_of
from relay.operations.certificates import Shown
from relay.serve import RelayOptions, run_relay
from tests.faults import rig
from tests.till.shop import until
from tests.till.test_listener import certificate


@pytest.mark.timeout(120)
def test_devices_come_by_tls_at_the_public_address_and_see_a_renewed_certificate(tmp_path: Path) -> None:
    (tmp_path / "second").mkdir()
    shown, second, port = certificate(tmp_path), certificate(tmp_path / "second"), free_port()
    public = f"https://localhost:{port}"
    tls = ["--tls-cert", str(shown.certificate), "--tls-key", str(shown.key)]
    relay = rig.relay(tmp_path / "office", *tls, "--tills", public + "/", "--tills-port", str(port))
    with relay:
        assert relay.urls["tills"] == public
        get = partial(httpx.get, verify=False, trust_env=False)
        assert get(f"{public}/pair/host").json() == {"fingerprint": None, "head_office": True, "state": ""}
        assert get(f"{public}/").status_code == 200 and get(f"{public}/readyz").json() == {"ready": True}
        assert get(f"https://127.0.0.1:{port}/pair").status_code == 403, "another name"
        assert get(f"https://127.0.0.1:{port}/readyz").status_code == 200, "a balancer asks by any"
        before = ssl.get_server_certificate(("127.0.0.1", port))
        shown.key.write_bytes(second.key.read_bytes())
        shown.certificate.write_bytes(second.certificate.read_bytes())
        relay._child.send_signal(signal.SIGHUP)  # type: ignore[union-attr]
        rig.wait_for("the new one", lambda: ssl.get_server_certificate(("127.0.0.1", port)) != before)


async def test_a_certificate_changes_between_two_handshakes_and_never_within_one(tmp_path: Path) -> None:
    shown, where = Shown(certificate(tmp_path), None), list[int]()

    class Noting(Listener):
        def renew(self, tls: Tls) -> None:
            where.append(threading.get_ident())

    reload = asyncio.Event()
    reload.set()
    following = asyncio.create_task(shown.follow([Noting(Starlette(), host="127.0.0.1", port=0)], reload, lambda: None))
    await until(lambda: where)
    following.cancel()
    assert where == [threading.get_ident()], "the thread that shakes hands"


async def test_an_address_that_no_browser_would_open_is_refused_at_the_start(tmp_path: Path) -> None:
    options = RelayOptions(tmp_path / "office", port=0, tills=origin_of("https://tills.example.pk"), tills_port=0)
    with pytest.raises(BadRequest, match="--trusted-proxy"):
        await run_relay(options)


@pytest.mark.parametrize("url", ["tills.example.pk", "http://tills.example.pk", "https://tills.example.pk/page"])
def test_what_is_no_address_for_devices_is_wrong_usage(url: str, tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as ended:
        terminal.main(app, "posline-relay", ["serve", "--tills", url, "--data", str(tmp_path / "office")])
    assert ended.value.code == 2 and not (tmp_path / "office").exists()
