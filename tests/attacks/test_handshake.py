"""Attacks on a till's sync port that must fail: who is no member learns nothing and changes nothing."""

from __future__ import annotations

import asyncio
import base64
import secrets
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from posline.core.base64url import base64url
from posline.core.entry import sign
from posline.errors import BadRequest
from posline.storage.folder import Folder
from posline.sync.accept import LISTENER, NONCE
from posline.sync.discovery import local_addresses
from posline.sync.frames import AuthToken, Update, encode
from posline.sync.places import Source
from posline.till import asking, listener
from posline.till.asking import AskFailed, ask_at
from posline.till.commands import COMMANDS
from posline.till.invitation import TRIES_MAX, Invitation
from posline.till.joining import request_membership
from posline.till.linking import sync_url
from posline.till.till import Till, open_till
from posline.trust.certificate import dialling_context, own_certificate
from tests.attacks.intruder import Intruder, intruding, stranger
from tests.sync.wire import until
from tests.till.shop import TEA


@pytest.fixture
async def till(tmp_path: Path) -> AsyncIterator[Till]:
    async with open_till(tmp_path / "a", shop="Corner shop") as found:
        await found.listen()
        yield found


def url_of(till: Till) -> str:
    return f"wss://{till.links.addresses()[0]}/sync"


async def invitation(till: Till, expires_s: float = 60) -> Invitation:
    found = await COMMANDS["invite"](till, {"expires_s": expires_s})
    return Invitation.parse(found["link"], "join")


async def member_of(till: Till, path: Path) -> Any:
    """The folder of a new member of the till's shop: its key."""
    with Folder(path) as folder:
        await request_membership(folder, await invitation(till), label="")
    async with open_till(path) as joined:
        return joined.key


def nothing_was_told(intruder: Intruder) -> bool:
    """Whether no document and no message between replicas came."""
    return all(type(frame).__name__ in ("AuthRefused", "Ping") for frame in intruder.heard)


async def test_without_membership(till: Till) -> None:
    async with intruding(url_of(till)) as intruder:
        reason = await intruder.auth(intruder.token(stranger()))
        assert reason is not None and "no member of this shop" in reason and "posline invite" in reason
        assert nothing_was_told(intruder)
    assert till.status()["peers"] == []


async def test_a_stranger_that_admitted_itself(till: Till) -> None:
    """It brings a `member` entry for its own key, signed by itself and named after the founder."""
    thief = stranger()
    fields = {
        "v": 1, "id": "6f1f3e52-6d4f-4d43-9a3c-0d3f7b4a1f10", "kind": "member", "till": till.id, "run": 1, "seq": 9,
        "prev": "", "at": "2026-11-23T12:00:00.000+05:00", "day": "2026-11-23", "by": "", "seen": {},
        "key": base64url(thief.public), "label": "X", "role": "manager",
    }  # fmt: skip
    for author in (till.id, thief.id):
        raw = sign(fields | {"till": author}, thief.sign).encode()
        async with intruding(url_of(till)) as intruder:
            introduction = (base64.urlsafe_b64encode(raw).decode(),)
            reason = await intruder.auth(intruder.token(thief, introduction=introduction))
            assert reason is not None and "no member of this shop" in reason


async def test_a_member_of_another_shop(till: Till, tmp_path: Path) -> None:
    async with open_till(tmp_path / "other", shop="Other") as other:
        async with intruding(url_of(till)) as intruder:
            assert "no member" in str(await intruder.auth(intruder.token(other.key)))
        async with intruding(url_of(till)) as intruder:
            assert "another shop" in str(await intruder.auth(intruder.token(other.key, shop=other.shop_id)))
        await other.listen()
        await other.connect(url_of(till))  # and its own program, told to link with us, finds a stranger
        await until(lambda: any("another shop" in dialler.why for dialler in other.engine.dialled(other.shop_id)))
        assert till.engine.hub.links(till.shop_id) == [] and till.status()["peers"] == []


async def test_a_token_that_was_used_on_another_connection(till: Till, tmp_path: Path) -> None:
    member = await member_of(till, tmp_path / "b")
    async with intruding(url_of(till)) as honest:
        token = honest.token(member)
        assert await honest.auth(token) is None
        async with intruding(url_of(till)) as intruder:
            assert "another connection" in str(await intruder.auth(token))
            assert nothing_was_told(intruder)


async def test_a_token_for_another_listener(till: Till, tmp_path: Path) -> None:
    """A listener to which a member once connected passes its token on."""
    member = await member_of(till, tmp_path / "b")
    async with intruding(url_of(till)) as intruder:
        assert "another shop or device" in str(await intruder.auth(intruder.token(member, to=stranger().id)))
    async with intruding(url_of(till)) as intruder:
        assert "stands between" in str(await intruder.auth(intruder.token(member, tls="x" * 43)))


async def test_a_statement_with_another_key(till: Till, tmp_path: Path) -> None:
    member, thief = await member_of(till, tmp_path / "b"), stranger()
    async with intruding(url_of(till)) as intruder:
        assert "its key is not the one" in str(await intruder.auth(intruder.token(thief, author=member.id)))
    async with intruding(url_of(till)) as intruder:
        head, body, _ = intruder.token(member).split(".")
        none = base64.urlsafe_b64encode(b'{"alg":"none","typ":"posline-dialler+jwt"}').decode().rstrip("=")
        for forged in (f"{none}.{body}.", f"{head}.{body}.", f"{head}.{body}.{'A' * 86}"):
            assert await intruder.auth(forged) is not None


async def test_somebody_in_between_with_a_certificate_of_his_own(till: Till, tmp_path: Path) -> None:
    """It takes the member's connection, makes one to the till, and passes every message on, the proof included."""
    async with open_till(tmp_path / "b") as waiting:
        pass  # a folder of its own shop, which gives way
    member = await member_of(till, tmp_path / "b")
    own = own_certificate(tmp_path, "a" * 26, [])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(own.tls.certificate, own.tls.key)
    overheard: list[bytes] = []
    seen = asyncio.Event()

    async def between(victim: ServerConnection) -> None:
        seen.set()
        try:
            while True:
                message = await victim.recv()
                overheard.append(message if isinstance(message, bytes) else message.encode())
        except ConnectionClosed:
            pass

    async def process_request(connection: ServerConnection, request: Any) -> None:
        connection.forward = request.headers.get(NONCE, "")  # type: ignore[attr-defined]

    async def process_response(connection: ServerConnection, request: Any, response: Any) -> Any:
        async with connect(
            url_of(till), ssl=dialling_context(), proxy=None, additional_headers={NONCE: request.headers.get(NONCE, "")}
        ) as real:
            assert real.response is not None
            response.headers[LISTENER] = real.response.headers[LISTENER]
        return response

    async with serve(between, "127.0.0.1", 0, ssl=context, process_response=process_response) as server:
        port = server.sockets[0].getsockname()[1]
        async with open_till(tmp_path / "b") as victim:
            assert victim.id == member.id != waiting
            for author in victim.engine.hub.places(victim.shop_id).authors():
                victim.engine.undial(author, shop=victim.shop_id)
            await victim.connect(f"wss://127.0.0.1:{port}")
            await asyncio.wait_for(seen.wait(), 10)
            await until(lambda: any("stands between" in d.why for d in victim.engine.dialled(victim.shop_id)))
    assert overheard == [], "the victim said nothing to it, least of all its token"


async def test_a_member_that_says_it_is_another(till: Till, tmp_path: Path) -> None:
    member = await member_of(till, tmp_path / "b")
    async with intruding(url_of(till)) as intruder:
        assert await intruder.auth(intruder.token(member)) is None
        await intruder.hello(stranger().id)
        assert "another device than the one whose key it has" in await intruder.ended()
    async with intruding(url_of(till)) as intruder:
        assert await intruder.auth(intruder.token(member)) is None
        await intruder.hello(till.id)
        assert "another device" in await intruder.ended()


async def test_documents_before_a_token_is_shown(till: Till) -> None:
    sold = await till.sell([TEA])
    async with intruding(url_of(till)) as intruder:
        await intruder.connection.send(encode(Update(f"journal/{sold.day}", b"\0\0")))
        await intruder.hello(stranger().id)
        for _ in range(5):
            await intruder.connection.send(encode(Update("shop", b"\0\0")))
        await intruder.ended()
        assert not any(type(frame).__name__ in ("Update", "SyncStep2", "Stateless") for frame in intruder.heard)


# -- invitations -------------------------------------------------------------------------------------------------------


async def test_an_expired_and_a_replayed_invitation(till: Till, tmp_path: Path) -> None:
    gone = await invitation(till, expires_s=0.001)
    with Folder(tmp_path / "b") as folder, pytest.raises(AskFailed, match="has expired"):
        await asyncio.sleep(0.01)  # its time, on the monotonic clock
        await request_membership(folder, gone, label="")
    used = await invitation(till)
    with Folder(tmp_path / "b") as folder:
        await request_membership(folder, used, label="")
    with Folder(tmp_path / "c") as folder, pytest.raises(AskFailed, match="used already"):
        await request_membership(folder, used, label="")
    assert len(till.store.members(till.shop_id)) == 2


async def test_guessing_invitations_ends_them(till: Till, tmp_path: Path) -> None:
    honest = await invitation(till)
    for _ in range(TRIES_MAX):
        question = {"token": secrets.token_urlsafe(16), "key": base64url(stranger().public)}
        with pytest.raises(AskFailed, match="not from here"):
            await ask_at(honest.urls[0], honest.pin, question)
    with Folder(tmp_path / "b") as folder, pytest.raises(AskFailed):
        await request_membership(folder, honest, label="")
    assert len(till.store.members(till.shop_id)) == 1


async def test_an_invitation_is_not_shown_to_who_stands_in_its_place(till: Till, tmp_path: Path) -> None:
    honest = await invitation(till)
    own = own_certificate(tmp_path, "a" * 26, [])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(own.tls.certificate, own.tls.key)
    overheard: list[str | bytes] = []

    async def listen(connection: ServerConnection) -> None:
        overheard.extend([message async for message in connection])

    async with serve(listen, "127.0.0.1", 0, ssl=context) as server:
        address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        with pytest.raises(AskFailed, match="has not the certificate"), Folder(tmp_path / "b") as folder:
            await request_membership(
                folder, Invitation("join", (address,), honest.of, honest.token, honest.pin), label=""
            )
    assert overheard == []


# -- downgrade, size, pace, number -------------------------------------------------------------------------------------


async def test_without_tls_and_with_an_old_one(till: Till) -> None:
    host, port = till.links.bound()[0]
    with pytest.raises((OSError, InvalidHandshake, EOFError)):
        async with connect(f"ws://{host}:{port}/sync", proxy=None, open_timeout=5):
            pass
    old = dialling_context()
    old.minimum_version = ssl.TLSVersion.TLSv1_2
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises((ssl.SSLError, OSError)):
        async with connect(url_of(till), ssl=old, proxy=None, open_timeout=5):
            pass
    for text in ("ws://192.168.1.20:8701", "http://shop.example:8701", "ws://[fd00::1]:8701"):
        with pytest.raises(BadRequest, match="without TLS"):
            sync_url(text)
    assert sync_url("192.168.1.20:8701") == "wss://192.168.1.20:8701/sync"
    with pytest.raises(BadRequest, match="no certificate"):
        Invitation.parse("posline://192.168.1.20:8701/join?shop=a#t", "join")
    hub = till.engine.hub
    hub.places(till.shop_id).heard(stranger().id, ["10.0.0.1:1"], source=Source.SELF)
    assert all(url.startswith("wss://") for url in till.links._urls(stranger().id))


async def test_oversized_handshakes(till: Till) -> None:
    with pytest.raises((InvalidHandshake, ConnectionClosed, OSError)):
        async with connect(
            url_of(till), ssl=dialling_context(), proxy=None, additional_headers={NONCE: "n" * 300_000}
        ):
            pass
    for token in ("x" * 60_000, f"{'a' * 20_000}.{'b' * 20_000}.{'c' * 5_000}"):
        async with intruding(url_of(till)) as intruder:
            await intruder.connection.send(encode(AuthToken("shop", token, "posline/1")))
            await intruder.ended()
            assert nothing_was_told(intruder)
    async with intruding(url_of(till)) as intruder:
        await intruder.connection.send(encode(AuthToken("shop", "x" * (2 * 1024 * 1024), "posline/1")))
        await intruder.ended()
        assert nothing_was_told(intruder)


async def test_slow_handshakes_are_cut(till: Till, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that begins TLS and stops, one that asks half a question, one that links and says nothing."""
    monkeypatch.setattr(listener, "HANDSHAKE_S", 0.3)
    monkeypatch.setattr(listener, "REQUEST_S", 0.3)
    monkeypatch.setattr(asking, "QUESTION_S", 0.3)
    host, _ = till.links.bound()[0]
    await till.listen(host)  # another port, which has the short times
    port = till.links.bound()[1][1]
    for greeting, tls in ((b"", False), (b"\x16\x03\x01", False), (b"", True), (b"GET /sync HTT", True)):
        reader, writer = await asyncio.open_connection(host, port, ssl=dialling_context() if tls else None)
        writer.write(greeting)
        async with asyncio.timeout(10):
            try:
                while await reader.read(1024):
                    pass
            except OSError:
                pass
        writer.transport.abort()
    async with connect(f"wss://{host}:{port}/join", ssl=dialling_context(), proxy=None) as connection:
        async with asyncio.timeout(10):
            await connection.wait_closed()
    sold = await till.sell([TEA])
    assert sold.status == "counted"


async def test_a_flood_of_connections_from_one_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are cut off at a number for an address; the till sells on, and lets in who comes from another one."""
    host = local_addresses()[0]
    if host.startswith("127."):
        pytest.skip("this machine has no address but loopback, which is not counted")
    monkeypatch.setattr(listener, "ADDRESS_CONNECTIONS_MAX", 20)
    async with open_till(tmp_path / "a") as till:
        await till.listen("")
        port = till.links.bound()[0][1]
        flood = [await asyncio.open_connection(host, port, ssl=dialling_context()) for _ in range(60)]

        async def dropped(reader: asyncio.StreamReader) -> bool:
            try:
                async with asyncio.timeout(0.5):
                    return await reader.read(1) == b""
            except TimeoutError:
                return False
            except OSError:
                return True

        gone = await asyncio.gather(*(dropped(reader) for reader, _ in flood))
        assert 35 <= sum(gone) <= 45
        assert (await till.sell([TEA])).status == "counted"
        async with intruding(f"wss://127.0.0.1:{port}/sync") as other:
            assert other.listener.author == till.id
        for _, writer in flood:
            writer.transport.abort()
