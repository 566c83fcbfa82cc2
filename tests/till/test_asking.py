"""Questions to another device: whatever answers, the one who asked is told in words."""

from __future__ import annotations

import pytest
from websockets.asyncio.server import ServerConnection, serve

from posline.till.asking import AskFailed, ask_at


@pytest.mark.parametrize(
    ("answer", "said"),
    [("[" * 100_000, "is no Posline"), (b"\xff", "is no Posline"), ("7", "refused"), ('{"refused": "full"}', "full")],
    ids=["nested without end", "no text", "no object", "a refusal"],
)
async def test_an_answer_that_is_none_is_said_to_be_none(answer: str | bytes, said: str) -> None:
    async def answers(connection: ServerConnection) -> None:
        await connection.recv()
        await connection.send(answer)

    async with serve(answers, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        with pytest.raises(AskFailed, match=said):
            await ask_at(f"ws://127.0.0.1:{port}/join", "", {"token": "x"})
