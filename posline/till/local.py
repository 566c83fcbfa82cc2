"""How a command reaches the till that runs on its data folder: over the till's own port, with a secret from the folder.

Whoever can read the folder's `local.json` (mode 0600) may run commands; nobody else on the machine can. Both ends are
here: the route that a till or a relay serves, and the call that a command makes. What the commands do is elsewhere.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import secrets
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, closing
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import httpx
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from posline.errors import FolderLocked, NotFound, PoslineError
from posline.storage.folder import Folder
from posline.till.body import read_object
from posline.till.problems import Unauthorised, json_answer

__all__ = ["Command", "CommandFailed", "Lines", "Local", "aside", "ask", "run_here"]

SECRET_BYTES = 32
STARTING_S = 10.0  # how long a command waits for a till that owns the folder but does not answer yet
LINES_AT_ONCE = 500
_POLL_S = 0.05


class CommandFailed(PoslineError):
    """The running till refused a command, or ended in the middle of it."""

    title = "The command failed"


@dataclass(frozen=True, slots=True)
class Lines:
    """An answer of many lines, each with its newline, made while it is read."""

    lines: AsyncIterator[str]


Command = Callable[[Any, Mapping[str, Any]], Awaitable[Any]]  # what runs (a till, a relay), arguments -> JSON or Lines


class Local:
    """The serving end."""

    def __init__(self, serves: Any, commands: Mapping[str, Command]) -> None:
        """`serves` is handed to each command as its first argument."""
        self.secret = secrets.token_urlsafe(SECRET_BYTES)
        self._serves, self._commands = serves, commands

    def route(self) -> Route:
        """POST /api/local/{command}."""
        return Route("/api/local/{command}", self._run, methods=["POST"])

    async def _run(self, request: Request) -> Response:
        presented = request.headers.get("authorization", "").removeprefix("Bearer ").encode("utf-8", "surrogatepass")
        if not hmac.compare_digest(presented, self.secret.encode()):
            raise Unauthorised("only commands of this machine's owner may ask this")
        command = self._commands.get(request.path_params["command"])
        if command is None:
            raise NotFound("this version of the till does not know the command: restart it after an update")
        answer = await command(self._serves, await read_object(request))
        if isinstance(answer, Lines):
            return StreamingResponse((line.encode() async for line in answer.lines), media_type="text/plain")
        return json_answer(answer)


def ask(
    data: Path,
    name: str,
    arguments: Mapping[str, Any],
    *,
    command: Command,
    open_here: Callable[[Folder], AbstractAsyncContextManager[Any]],
) -> Any:
    """Run a command on the folder `data`: in the process that owns it, or, where none does, here and now.

    Answers JSON, or an iterator of lines. Raises PoslineError.
    """
    deadline = time.monotonic() + STARTING_S
    while True:
        try:
            folder = Folder(data)
        except FolderLocked:
            running = Folder.read_local(data)
            if running is not None:
                try:
                    return _call(*running, name, arguments)
                except (httpx.ConnectError, httpx.UnsupportedProtocol, httpx.InvalidURL):
                    pass  # it is starting, or has just gone; or what it left there is no address
            if time.monotonic() >= deadline:
                raise
            time.sleep(_POLL_S)
            continue
        return run_here(partial(open_here, folder), arguments, command, folder.close)


def _call(address: str, secret: str, name: str, arguments: Mapping[str, Any]) -> Any:
    # plain HTTP on this machine: to read the authorities of the internet would take longer than most commands do
    nobody = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client = httpx.Client(timeout=httpx.Timeout(None, connect=5.0), trust_env=False, verify=nobody)
    request = client.build_request(
        "POST",
        f"{address}/api/local/{name}",
        content=json.dumps(arguments).encode(),
        headers={"authorization": f"Bearer {secret}", "content-type": "application/json"},
    )
    answer = client.send(request, stream=True)
    if answer.status_code >= 300:
        answer.read()
        client.close()
        raise CommandFailed(_detail(answer))
    if answer.headers["content-type"].startswith("text/plain"):
        return _lines(client, answer)
    with closing(client):
        answer.read()
        return answer.json()


def _lines(client: httpx.Client, answer: httpx.Response) -> Iterator[str]:
    try:
        with closing(client):
            yield from answer.iter_text()
    except httpx.HTTPError as error:
        raise CommandFailed(
            f"the till went away before the answer was whole ({error}): run the command again"
        ) from error


def _detail(answer: httpx.Response) -> str:
    try:
        found = answer.json()
        return str(found.get("detail") or found.get("title"))
    except ValueError:
        return f"the till answered {answer.status_code}"


def run_here(
    open_here: Callable[[], AbstractAsyncContextManager[Any]],
    arguments: Mapping[str, Any],
    command: Command,
    let_go: Callable[[], None] = lambda: None,
) -> Any:
    """Open what the command works on, run it, close it. Lines are read while it is open, on demand."""
    runner = asyncio.Runner()
    try:
        opened = open_here()
        serves = runner.run(_awaited(opened.__aenter__()))
    except BaseException:
        let_go()
        runner.close()
        raise

    def close() -> None:
        try:
            runner.run(_awaited(opened.__aexit__(None, None, None)))
        finally:
            let_go()
            runner.close()

    def lines(source: AsyncIterator[str]) -> Iterator[str]:
        try:
            while (line := runner.run(_next(source))) is not None:
                yield line
        finally:
            close()

    try:
        answer = runner.run(_awaited(command(serves, arguments)))
    except BaseException:
        close()
        raise
    if isinstance(answer, Lines):
        return lines(answer.lines)
    close()
    return answer


async def aside(lines: Iterable[str]) -> AsyncIterator[str]:
    """Lines that read the disk, made in another thread some at a time, so that nobody waits to sell meanwhile."""
    source = iter(lines)

    def some() -> str:
        return "".join(islice(source, LINES_AT_ONCE))

    while text := await asyncio.to_thread(some):
        yield text


async def _awaited(waiting: Awaitable[Any]) -> Any:
    return await waiting


async def _next(source: AsyncIterator[str]) -> str | None:
    return await anext(source, None)
