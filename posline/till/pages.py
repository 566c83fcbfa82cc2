"""Static pages of a package, read once at start and served under a strict content security policy.

A page that has a service worker goes on with nothing running behind it. The worker is told here what to keep and under
which name: both follow from the files alone, so that another version of them is another name.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Awaitable, Callable, Iterator, Mapping
from importlib.resources import files
from importlib.resources.abc import Traversable

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from posline.till.guard import PAGE_HEADERS

__all__ = ["folder_routes", "page_routes"]

TYPES = {  # what is served; texts beside it, such as licences, are not
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".mjs": "text/javascript",
    ".json": "application/json",
    ".webmanifest": "application/manifest+json",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".woff2": "font/woff2",
}
ROOTS = {"index.html": "/", "owner.html": "/owner", "manifest.webmanifest": "/manifest.webmanifest"}
WORKER = "sw.js"
# at the root, for a worker is only asked about what lies below its own address
WORKER_PATH, WORKER_HEADERS = "/sw.js", {"service-worker-allowed": "/"}
VERSION_MARK, VERSION_DIGITS, FILES_MARK = b"__VERSION__", 16, b"__FILES__"


def page_routes(package: str, folder: str, but: Callable[[str], bool] = lambda name: False) -> list[Route]:
    """As `folder_routes`, for a folder of a package."""
    return folder_routes(files(package).joinpath(folder), but)


def folder_routes(folder: Traversable, but: Callable[[str], bool] = lambda name: False) -> list[Route]:
    """`/` is the folder's index.html, `/owner` its owner.html, `/manifest.webmanifest` and `/sw.js` lie at the root
    too; all other files, with those of its subfolders, under `/page/`. Files for which `but` holds are not served.

    In sw.js `__VERSION__` stands for a digest of all files, and `__FILES__` for a list of all their addresses but its
    own, as JSON."""
    found = dict(sorted(item for item in _read(folder) if not but(item[0])))
    paths = {name: ROOTS.get(name, f"/page/{name}") for name in found if name != WORKER}
    routes = [_route(path, found[name], TYPES[_suffix(name)]) for name, path in paths.items()]
    if WORKER in found:
        told = json.dumps(sorted(paths.values())).encode()
        worker = found[WORKER].replace(VERSION_MARK, _version(found).encode()).replace(FILES_MARK, told)
        routes.append(_route(WORKER_PATH, worker, TYPES[_suffix(WORKER)], WORKER_HEADERS))
    return routes


def _read(folder: Traversable, prefix: str = "") -> Iterator[tuple[str, bytes]]:
    """(name below the folder, content) of each file that is served."""
    for each in folder.iterdir():
        if each.name.startswith((".", "__")):
            continue
        if each.is_dir():
            yield from _read(each, f"{prefix}{each.name}/")
        elif _suffix(each.name) in TYPES:
            yield prefix + each.name, each.read_bytes()


def _suffix(name: str) -> str:
    return "." + name.rpartition(".")[2]


def _version(found: Mapping[str, bytes]) -> str:
    digest = hashlib.sha256()
    for name, content in sorted(found.items()):
        for part in (name.encode(), content):
            digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()[:VERSION_DIGITS]


def _route(path: str, content: bytes, media_type: str, more: Mapping[str, str] | None = None) -> Route:
    tag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    headers = {**PAGE_HEADERS, "etag": tag, **(more or {})}
    return Route(path, _serve(content, media_type, tag, headers), methods=["GET"], name=f"page {path}")


def _serve(
    content: bytes, media_type: str, tag: str, headers: Mapping[str, str]
) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        if _has(request.headers.get("if-none-match", ""), tag):
            return Response(status_code=304, headers=headers)
        return Response(content, headers=headers, media_type=media_type)

    return answer


def _has(asked: str, tag: str) -> bool:
    """Whether whoever asks has this very content (RFC 9110, If-None-Match)."""
    return asked.strip() == "*" or tag in (each.strip().removeprefix("W/") for each in asked.split(","))
