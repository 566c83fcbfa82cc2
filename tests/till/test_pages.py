"""Pages as they are served: from a folder with subfolders, to be kept by a service worker, under a strict policy."""

from __future__ import annotations

import json
import re
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette

from posline.till.pages import folder_routes
from tests.till.shop import running

FILES = {
    "index.html": "<!doctype html><title>till</title>",
    "owner.html": "<!doctype html><title>owner</title>",
    "manifest.webmanifest": "{}",
    "sw.js": "const VERSION = '__VERSION__', FILES = __FILES__;",
    "page.js": "import './vendor/lib.mjs'",
    "page.css": "p{}",
    "icon.svg": "<svg xmlns='http://www.w3.org/2000/svg'/>",
    "icon.png": "png",
    "vendor/lib.mjs": "export default 1",
    "vendor/LICENSE.txt": "licence",
    "vendor/README.md": "about",
    "texts/ur.json": '{"sell": "فروخت"}',
    "fonts/deep/nastaliq.woff2": "woff2",
    ".hidden.js": "no",
    "__pycache__/x.js": "no",
    "odd": "no",
}
TYPES = {
    "/": "text/html; charset=utf-8",
    "/owner": "text/html; charset=utf-8",
    "/manifest.webmanifest": "application/manifest+json",
    "/page/page.js": "text/javascript; charset=utf-8",
    "/page/page.css": "text/css; charset=utf-8",
    "/page/icon.svg": "image/svg+xml",
    "/page/icon.png": "image/png",
    "/page/vendor/lib.mjs": "text/javascript; charset=utf-8",
    "/page/texts/ur.json": "application/json",
    "/page/fonts/deep/nastaliq.woff2": "font/woff2",
}


def put(folder: Path, files: dict[str, str]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    return folder


def client_of(folder: Path) -> httpx.AsyncClient:
    app = Starlette(routes=folder_routes(folder))
    return httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://127.0.0.1:8700")


async def told(folder: Path) -> tuple[str, list[str]]:
    """(version, files) as the service worker is told."""
    async with client_of(folder) as client:
        text = (await client.get("/sw.js")).text
    match = re.fullmatch(r"const VERSION = '([0-9a-f]{16})', FILES = (\[.*\]);", text)
    assert match, text
    return match[1], json.loads(match[2])


async def test_each_file_at_its_address_and_nothing_else(tmp_path: Path) -> None:
    async with client_of(put(tmp_path, FILES)) as client:
        for path, kind in TYPES.items():
            answer = await client.get(path)
            assert (answer.status_code, answer.headers["content-type"]) == (200, kind), path
            assert (await client.head(path)).status_code == 200
        assert (await client.get("/page/texts/ur.json")).json() == {"sell": "فروخت"}
        for path in (
            "/page/index.html", "/page/owner.html", "/page/sw.js", "/page/manifest.webmanifest", "/page/odd",
            "/page/vendor/LICENSE.txt", "/page/vendor/README.md", "/page/.hidden.js", "/page/__pycache__/x.js",
            "/page/", "/page/vendor", "/page/../index.html", "/page/vendor/%2e%2e/page.js", "/vendor/lib.mjs",
        ):  # fmt: skip
            assert (await client.get(path)).status_code == 404, path


async def test_the_worker_is_told_what_to_keep_and_under_which_name(tmp_path: Path) -> None:
    version, files = await told(put(tmp_path / "a", FILES))
    assert files == sorted(TYPES)
    async with client_of(tmp_path / "a") as client:
        answer = await client.get("/sw.js")
        assert answer.headers["service-worker-allowed"] == "/" and answer.headers["cache-control"] == "no-cache"
        assert answer.headers["content-type"] == "text/javascript; charset=utf-8"
        for path in files:
            assert (await client.get(path)).status_code == 200
    assert (await told(put(tmp_path / "b", FILES)))[0] == version, "the same files have the same name"
    assert (await told(put(tmp_path / "b", {"vendor/LICENSE.txt": "another"})))[0] == version
    for number, change in enumerate(({"texts/ur.json": "{}"}, {"sw.js": FILES["sw.js"] + "\n"}, {"new.js": ""})):
        async with client_of(put(tmp_path / f"changed{number}", FILES | change)) as client:
            assert version not in (await client.get("/sw.js")).text
    (tmp_path / "b" / "page.js").rename(tmp_path / "b" / "page2.js")
    assert (await told(tmp_path / "b"))[0] != version, "a name counts too"


async def test_what_a_browser_has_is_not_sent_again(tmp_path: Path) -> None:
    async with client_of(put(tmp_path, FILES)) as client:
        for path in ("/", "/page/page.js", "/sw.js"):
            first = await client.get(path)
            tag = first.headers["etag"]
            for asked in (tag, f"W/{tag}", f'"other", {tag}', "*"):
                again = await client.get(path, headers={"if-none-match": asked})
                assert again.status_code == 304 and again.content == b"" and again.headers["etag"] == tag
                assert "content-security-policy" in again.headers
            for asked in ('"other"', "", tag.strip('"')):
                assert (await client.get(path, headers={"if-none-match": asked})).status_code == 200
        assert len({(await client.get(path)).headers["etag"] for path in TYPES}) == len(TYPES)


async def test_without_a_worker_or_an_owners_page_there_is_none(tmp_path: Path) -> None:
    async with client_of(put(tmp_path, {"index.html": FILES["index.html"], "page.css": FILES["page.css"]})) as client:
        for path in TYPES.keys() - {"/", "/page/page.css"} | {"/sw.js"}:
            assert (await client.get(path)).status_code == 404, path
        assert (await client.get("/")).status_code == (await client.get("/page/page.css")).status_code == 200


@pytest.mark.parametrize("path", ["/", "/page/page.css"])
async def test_the_policy_of_the_tills_own_page(tmp_path: Path, path: str) -> None:
    async with running(tmp_path) as (_, client):
        headers = (await client.get(path)).headers
        policy = dict(part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";"))
        assert policy.pop("default-src") == "'none'"
        for name in ("base-uri", "form-action", "frame-ancestors"):
            assert policy.pop(name) == "'none'"
        assert policy.keys() == {
            "script-src", "style-src", "img-src", "font-src", "connect-src", "manifest-src", "worker-src"
        }  # fmt: skip
        assert set(policy.values()) == {"'self'"}, "nothing inline, nothing from elsewhere"
        for feature in ("camera", "microphone", "geolocation", "usb", "payment"):
            assert f"{feature}=()" in headers["permissions-policy"]
        assert headers["x-content-type-options"] == "nosniff" and headers["referrer-policy"] == "no-referrer"
