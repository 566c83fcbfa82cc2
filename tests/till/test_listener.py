"""Listening: on this machine alone unless there is TLS, and with a plain word where an address cannot be had."""

from __future__ import annotations

import asyncio
import datetime
import ssl
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from posline.till import body as bodies
from posline.till import listener as listening
from posline.till.body import read_object
from posline.till.listener import HEAD_BYTES_MAX, PIPELINED_MAX, AddressRefused, Listener
from posline.till.problems import exception_handlers, json_answer
from posline.trust.certificate import Tls

APP = Starlette(routes=[Route("/", lambda _: PlainTextResponse("here"))])


def certificate(folder: Path) -> Tls:
    """A certificate for this machine that it signed itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    tls = Tls(folder / "cert.pem", folder / "key.pem")
    tls.certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    tls.key.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return tls


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.5", "shop.example", "::"])
def test_without_tls_only_this_machine_may_connect(host: str) -> None:
    with pytest.raises(AddressRefused, match="TLS"):
        Listener(APP, host=host, port=0)


async def test_with_tls_any_address_will_do(tmp_path: Path) -> None:
    tls = certificate(tmp_path)
    listener = Listener(APP, host="0.0.0.0", port=0, tls=tls)
    await listener.start()
    assert listener.url == f"https://0.0.0.0:{listener.port}" and listener.sync_url.startswith("wss://")
    context = ssl.create_default_context(cafile=str(tls.certificate))
    async with httpx.AsyncClient(verify=context, trust_env=False) as client:
        assert (await client.get(f"https://localhost:{listener.port}/")).text == "here"
    await listener.stop()


async def test_an_address_that_is_taken_is_said_so(tmp_path: Path) -> None:
    first = Listener(APP, host="127.0.0.1", port=0)
    await first.start()
    with pytest.raises(AddressRefused, match="name another port"):
        await Listener(APP, host="127.0.0.1", port=first.port).start()
    await first.stop()
    with pytest.raises(AddressRefused):
        await Listener(APP, host="127.0.0.1", port=0, tls=Tls(tmp_path / "none", tmp_path / "none")).start()


async def test_refusing_lets_open_connections_go_on() -> None:
    listener = Listener(APP, host="127.0.0.1", port=0)
    await listener.start()
    async with httpx.AsyncClient(trust_env=False) as client, httpx.AsyncClient(trust_env=False) as late:
        await client.get(listener.url)
        listener.refuse()
        assert (await client.get(listener.url)).text == "here"
        with pytest.raises(httpx.ConnectError):
            await late.get(listener.url)
    await listener.stop()


GET = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n"
MUCH = HEAD_BYTES_MAX * 16  # more than one read takes from a socket


async def answered(listener: Listener, request: bytes) -> bytes:
    """What comes back until the connection is closed from the other side."""
    reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
    writer.write(request)
    found = b""
    try:
        async with asyncio.timeout(5):
            while piece := await reader.read(4096):
                found += piece
    except ConnectionResetError:
        pass
    writer.transport.abort()
    return found


@pytest.mark.parametrize(
    "endless",
    [
        b"GET /" + b"a" * MUCH,
        GET + b"X: " + b"a" * MUCH,
        GET + b"X: a\r\n" * (MUCH // 6),
        GET + b"\r\n" + GET + b"X: " + b"a" * MUCH,
        CHUNKED + b"2\r\n{}\r\n0\r\nX: " + b"a" * MUCH,
        CHUNKED + b"2;" + b"a" * MUCH,
        (GET + b"\r\n") * PIPELINED_MAX * 2,
    ],
    ids=["address", "one header", "headers", "second request", "trailers", "extension", "pipelined"],
)
async def test_a_head_without_end_is_not_kept(endless: bytes) -> None:
    listener = Listener(APP, host="127.0.0.1", port=0)
    await listener.start()
    await answered(listener, endless)  # it is closed, whatever was said before
    async with httpx.AsyncClient(trust_env=False) as client:
        assert (await client.get(listener.url, headers={"x": "a" * 30_000})).text == "here"
    await listener.stop()


async def test_half_a_second_request_is_cut_like_half_a_first_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "REQUEST_S", 0.3)
    listener = Listener(APP, host="127.0.0.1", port=0)
    await listener.start()
    assert (await answered(listener, GET + b"\r\n" + GET)).endswith(b"here")
    await listener.stop()


async def test_half_a_body_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """And the connection with it, however often another byte comes."""
    monkeypatch.setattr(bodies, "BODY_S", 0.05)

    async def take(request: Request) -> Response:
        return json_answer(await read_object(request))

    app = Starlette(routes=[Route("/", take, methods=["POST"])], exception_handlers=exception_handlers())
    listener = Listener(app, host="127.0.0.1", port=0)
    await listener.start()
    head = b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 2\r\n\r\n"
    whole = head.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n") + b"{}"
    assert (await answered(listener, whole)).startswith(b"HTTP/1.1 200 ")
    found = await answered(listener, head + b"{")
    assert found.startswith(b"HTTP/1.1 408 ") and b"send the request again" in found
    await listener.stop()


async def test_one_network_of_long_addresses_takes_no_more_than_one_address(monkeypatch: pytest.MonkeyPatch) -> None:
    """Such a network is what any line to the internet is given: counted by addresses, one machine would take all."""
    monkeypatch.setattr(listening, "ADDRESS_CONNECTIONS_MAX", 3)
    page, made = Listener(APP, host="127.0.0.1", port=0), list[Any]()
    await page.start()
    assert page._server is not None
    create = page._server.config.http

    class Wire(asyncio.Transport):
        """A connection that came from some address."""

        def __init__(self, host: str) -> None:
            super().__init__({"peername": (host, 5), "sockname": ("::1", page.port)})
            self.aborted = False
            made.append(self)
            assert isinstance(create, type) and page._server is not None
            create(page._server.config, page._server.server_state, {}).connection_made(self)

        def abort(self) -> None:
            self.aborted = True

    try:
        for host in (*(f"2a02:1:2:3::{n:x}" for n in range(1, 6)), "2a02:1:2:4::1", "203.0.113.7"):
            Wire(host)
        assert [wire.aborted for wire in made] == [False] * 3 + [True] * 2 + [False] * 2
    finally:
        page._server.server_state.connections.clear()
        await page.stop()
