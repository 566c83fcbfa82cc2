"""The baseline of an HTTP sale: the same server (Starlette on uvicorn) that reads the same body and answers as much."""

from __future__ import annotations

import asyncio
import json
import signal

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from posline.till.listener import Listener


async def echo(request: Request) -> Response:
    """Parse the JSON, answer it."""
    return Response(json.dumps(json.loads(await request.body())), media_type="application/json")


async def serve() -> None:
    """Print the address, and run until SIGTERM."""
    listener = Listener(Starlette(routes=[Route("/echo", echo, methods=["POST"])]), host="127.0.0.1", port=0)
    await listener.start()
    print(f"ready page={listener.url}", flush=True)
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    await stopped.wait()
    await listener.stop()


if __name__ == "__main__":
    try:
        import uvloop
    except ImportError:
        asyncio.run(serve())
    else:
        uvloop.run(serve())
