"""Static pages of a package, read once at start and served under a strict content security policy."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from importlib.resources import files

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from posline.till.guard import PAGE_HEADERS

__all__ = ["page_routes"]

TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


def page_routes(package: str, folder: str, *, only: Collection[str] = ()) -> list[Route]:
    """`/` is the folder's index.html; its other files lie under `/page/`. With `only`, just the files named there."""
    routes = []
    for found in files(package).joinpath(folder).iterdir():
        kind = TYPES.get("." + found.name.rpartition(".")[2])
        if kind is not None and (not only or found.name in only):
            path = "/" if found.name == "index.html" else f"/page/{found.name}"
            routes.append(Route(path, _serve(found.read_bytes(), kind), methods=["GET"], name=f"page {found.name}"))
    return routes


def _serve(content: bytes, media_type: str) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        return Response(content, headers=PAGE_HEADERS, media_type=media_type)

    return answer
