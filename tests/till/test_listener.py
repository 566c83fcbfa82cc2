"""Listening: on this machine alone unless there is TLS, and with a plain word where an address cannot be had."""

from __future__ import annotations

import datetime
import ssl
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from posline.till.listener import AddressRefused, Listener
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
