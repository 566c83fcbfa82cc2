"""Asking to be admitted, both ends: one question and one answer over a websocket whose certificate is the pinned one.

The certificate is looked at before the question is sent, so an invitation's token is never shown to anybody else. Knows
nothing of what is asked.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidHandshake, InvalidURI, WebSocketException

from posline.errors import PoslineError
from posline.till.body import parse_object
from posline.trust.certificate import dialling_context, fingerprint_of_peer

__all__ = ["AskFailed", "answering", "ask_at", "ask_first"]

QUESTION_S = 10.0  # from the connection to the question
ANSWER_S = 30.0
OPEN_S = 5.0
MESSAGE_BYTES_MAX = 1024 * 1024
ASKING_MAX = 16  # at a time


class AskFailed(PoslineError):
    """The other side refused, or could not be reached."""

    title = "The other side did not agree"


class _Unreached(AskFailed):
    """Nobody answered at this address: another one may do."""


async def ask_first(urls: list[str], pin: str, question: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """As `ask_at`, of the first address where anybody answers: (that address, the answer)."""
    for url in urls[:-1]:
        with contextlib.suppress(_Unreached):
            return url, await ask_at(url, pin, question)
    return urls[-1], await ask_at(urls[-1], pin, question)


async def ask_at(url: str, pin: str, question: Mapping[str, Any]) -> dict[str, Any]:
    """Put a question at `url`, where the certificate must have the fingerprint `pin`, and return the answer. Without
    TLS (on this machine) there is none, and `pin` is "". Raises AskFailed."""
    try:
        async with (
            asyncio.timeout(OPEN_S + ANSWER_S),
            connect(
                url, ssl=dialling_context() if url.startswith("wss:") else None, open_timeout=OPEN_S, proxy=None,
                max_size=MESSAGE_BYTES_MAX, compression=None,
            ) as connection,
        ):  # fmt: skip
            if fingerprint_of_peer(connection.transport.get_extra_info("ssl_object")) != pin:
                raise AskFailed(
                    f"what answers at {url} has not the certificate that the invitation names: somebody may stand in "
                    "between, or the invitation is from before a reinstallation. Ask for a new one"
                )
            await connection.send(json.dumps(question))
            answer = json.loads(await connection.recv())
    except (OSError, TimeoutError, InvalidHandshake, InvalidURI) as error:
        raise _Unreached(
            f"nobody answers at {url} ({error or type(error).__name__}): is it running, and on the same network?"
        ) from error
    except (WebSocketException, ValueError, RecursionError) as error:
        raise AskFailed(f"what answers at {url} is no Posline ({error or type(error).__name__})") from error
    if not isinstance(answer, dict) or "refused" in answer:
        reason = answer.get("refused") if isinstance(answer, dict) else None
        raise AskFailed(str(reason or "it refused"))
    return answer


def answering(
    answer: Callable[[Mapping[str, Any]], Awaitable[Mapping[str, Any]]],
) -> Callable[[WebSocket], Awaitable[None]]:
    """A websocket endpoint that reads one question and sends what `answer` gives for it, or why it gives nothing."""
    live = 0

    async def endpoint(socket: WebSocket) -> None:
        nonlocal live
        await socket.accept()
        live += 1
        try:
            if live > ASKING_MAX:
                found: Mapping[str, Any] = {"refused": "too many ask at once: try again in a moment"}
            else:
                found = await _answered(socket, answer)
            await socket.send_text(json.dumps(found))
            await socket.close()
        except (WebSocketDisconnect, RuntimeError, TimeoutError, OSError):
            pass  # whoever asked is gone
        finally:
            live -= 1

    return endpoint


async def _answered(
    socket: WebSocket, answer: Callable[[Mapping[str, Any]], Awaitable[Mapping[str, Any]]]
) -> Mapping[str, Any]:
    try:
        async with asyncio.timeout(QUESTION_S):
            text = await socket.receive_text()
        return await answer(parse_object(text.encode("utf-8", "surrogatepass")))
    except PoslineError as error:
        return {"refused": str(error)}
    except KeyError:  # a binary message
        return {"refused": "the question is no text"}
