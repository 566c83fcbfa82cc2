"""A counter: a till's own program, a real browser before it, and somebody who scans, types and pulls plugs.

The browser is Debian's Chromium, driven by Playwright. Keys go in by the browser's own input events, with the times
that the test says: a scanner's keys come 30 ms apart however busy the machine is.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
from playwright.async_api import Browser, BrowserContext, CDPSession, Page, Playwright, async_playwright

from examples.rig.programs import Program, free_port, run

CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
)
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-features=Translate"]
WITHIN_MS = 8_000
SCANNER_MS = 30  # between two keys of a slow scanner
PERSON_MS = 140  # ... of a quick person
CATALOGUE = """sku,name,name_ur,price,barcode,department,unit,tax,favourite
TEA,Tapal Danedar 450 g,ٹپال دانے دار,65000,8961014000017,Tea,,standard,1
MILK,Olpers Milk 1 l,اولپرز دودھ,38000,8961008210118,Dairy,,exempt,2
RICE,Basmati Rice,باسمتی چاول,36000,8961100200201,Rice,kg,exempt,3
COKE,Coca-Cola 1.5 l,کوکا کولا,21000,5449000000996,Drinks,,third_schedule,4
ONION,Onions,پیاز,12000,12345,Vegetables,kg,exempt,
PIPE,Pipe priced before tax,,10000,8961100999990,Hardware,,trade,
"""
TEA, MILK, RICE, COKE = "8961014000017", "8961008210118", "8961100200201", "5449000000996"
KEYS = {"Enter": ("Enter", 13, "\r"), "Tab": ("Tab", 9, "")}


class Counter:
    """One till and one browser. Made by `counter()`."""

    def __init__(self, playwright: Playwright, folder: Path, *, label: str = "A", join: Counter | None = None) -> None:
        self._playwright, self.folder, self._join, self._label = playwright, folder, join, label
        self.port, self._sync_port = free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        arguments = [
            "till",
            "--data",
            str(folder / "till"),
            "--port",
            str(self.port),
            "--sync-port",
            str(self._sync_port),
        ]
        founding = [] if join else ["--label", label, "--shop", "Karim Store"]
        self.till = Program("till", "posline", [*arguments, *founding, "--no-discovery"], folder / "till")
        self._browser: Browser | None = None
        self.context: BrowserContext
        self.page: Page
        self._keys: CDPSession
        self._at = 0.0
        self.complaints: list[str] = []

    # -- the till ------------------------------------------------------------------------------------------------------

    async def start(self, stocked: Path | None = None) -> None:
        """The till sells: as a new one of a shop, or with the data folder `stocked`."""
        if self._join is not None:
            link = await run("posline", "invite", "--data", str(self._join.till.data))
            await run(
                "posline", "join", link.strip().splitlines()[-1], "--data", str(self.till.data), "--label", self._label
            )
        elif stocked is not None:
            shutil.copytree(stocked, self.till.data)
        await self.till.start()

    async def stock(self) -> None:
        """Put a few products on the shelf."""
        file = self.folder / "products.csv"
        file.write_text(CATALOGUE)
        await self.setting(
            "tax", {**(await self._classes()), "trade": {"mode": "exclusive", "rates": [{"rate": "18"}]}}
        )
        await run("posline", "catalog", "import", str(file), "--data", str(self.till.data))

    async def _classes(self) -> dict[str, Any]:
        return {code: {"name": c["name"], "mode": c["mode"], "rates": [_rate(r) for r in c["rates"]]}
                for code, c in (await self.ask("/api/shop"))["classes"].items()}  # fmt: skip

    async def ask(self, path: str, body: Any = None, method: str | None = None) -> Any:
        """What the till answers to a program."""
        async with httpx.AsyncClient(base_url=self.url, timeout=20) as client:
            answer = await client.request(method or ("GET" if body is None else "POST"), path, json=body)
            assert answer.status_code < 300, f"{path}: {answer.status_code} {answer.text}"
            return answer.json()

    async def setting(self, name: str, value: Any) -> None:
        await self.ask(f"/api/settings/{name}", {"value": value}, "PUT")

    async def cashier(self, name: str, **fields: Any) -> None:
        await self.ask(f"/api/cashiers/{name}", fields, "PUT")

    async def sales(self) -> list[dict[str, Any]]:
        """Every sale that the till has, in its order."""
        found: list[dict[str, Any]] = []
        after = ""
        while True:
            page = await self.ask(f"/api/sales?limit=1000&after={after}")
            found += page["sales"]
            if len(page["sales"]) < 1000:
                return found
            after = page["next"]

    # -- the browser ---------------------------------------------------------------------------------------------------

    async def launch(self, **options: Any) -> None:
        """A browser that keeps its files in the folder, as a till's does."""
        self.context = await self._playwright.chromium.launch_persistent_context(
            str(self.folder / "browser"),
            executable_path=CHROMIUM,
            args=ARGUMENTS,
            **({"viewport": {"width": 1366, "height": 768}} | options),
        )
        await self.turn_to(self.context.pages[0])

    async def open(self, *, settled: bool = True, **options: Any) -> Page:
        """Open the page in a new browser with the files of the one before."""
        await self.launch(**options)
        await self.page.goto(self.url)
        if settled:
            await self.settled()
        return self.page

    async def turn_to(self, page: Page) -> None:
        """Type and scan into this tab from now on."""
        self.page = page
        page.set_default_timeout(WITHIN_MS)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", lambda said: self.complaints.append(said.text) if "Content Security" in said.text else None)
        self._keys = await self.context.new_cdp_session(page)

    async def settled(self) -> None:
        """The page has all that it needs to go on alone: the catalogue, and its own files."""
        await self.page.wait_for_selector("#entry")
        await self.until("Boolean(document.querySelector('.lines.empty')?.innerText.match(/[0-9] product|[0-9] چیز/))")
        await self.page.evaluate("navigator.serviceWorker.ready.then(() => null)")

    async def kill_browser(self) -> None:
        """SIGKILL to the browser and all its processes."""
        assert kill_all(self.folder / "browser")
        with suppress(Exception):  # it is gone
            await self.context.close()
        unlock(self.folder / "browser")

    async def close(self) -> None:
        with suppress(Exception):  # closed already, or never opened
            await self.context.close()
        await self.till.kill()

    # -- hands ---------------------------------------------------------------------------------------------------------

    async def keys(self, text: str, gap_ms: float) -> None:
        """Press these keys so far apart, "\\n" is Enter."""
        for character in text:
            self._at += gap_ms / 1000
            await self._key("Enter" if character == "\n" else character)

    async def scan(self, *codes: str) -> None:
        """Scan codes one straight after the other."""
        await self._begin(sum(len(code) + 1 for code in codes) * SCANNER_MS)
        for code in codes:
            await self.keys(f"{code}\n", SCANNER_MS)

    async def type(self, text: str) -> None:
        """Type as a person does."""
        await self._begin(len(text) * PERSON_MS)
        await self.keys(text, PERSON_MS)

    async def _begin(self, length_ms: float) -> None:
        """The next keys began so long ago that the last of them is pressed now, and a second after those before."""
        now = await self.page.evaluate("Date.now()") / 1000
        self._at = max(self._at + 1, now - length_ms / 1000)

    async def _key(self, key: str) -> None:
        name, code, text = KEYS[key] if key in KEYS else (key, ord(key.upper()) if key.isalnum() else 0, key)
        named = {"key": name, "windowsVirtualKeyCode": code, "timestamp": self._at}
        if key.isalpha() and len(key) == 1 and key.isascii():
            named["code"] = f"Key{key.upper()}"
        down: dict[str, Any] = {"type": "keyDown", "text": text, **named} if text else {"type": "rawKeyDown", **named}
        await self._keys.send("Input.dispatchKeyEvent", down)
        await self._keys.send("Input.dispatchKeyEvent", {"type": "keyUp", **named, "timestamp": self._at + 0.005})

    async def press(self, *keys: str) -> None:
        """Press named keys, one after the other: "F12", "Escape"."""
        for key in keys:
            await self.page.keyboard.press(key)

    # -- eyes ----------------------------------------------------------------------------------------------------------

    async def lines(self) -> list[tuple[str, str, str]]:
        """(name, quantity, total) of each line of the cart, as shown."""
        found = await self.page.eval_on_selector_all(
            ".lines tbody tr",
            "rows => rows.map(row => [row.querySelector('bdi'), row.querySelector('.qty'), row.lastElementChild]"
            ".map(cell => cell.innerText))",
        )
        return [tuple(line) for line in found]

    async def until(self, script: str, arg: Any = None) -> None:
        """Wait until a script answers true. It is asked again and again from here, since the page's own policy lets
        nobody keep a script there."""
        async with asyncio.timeout(WITHIN_MS / 1000):
            while not await self.page.evaluate(script, arg):  # noqa: ASYNC110  # it happens in the browser
                await asyncio.sleep(0.02)

    async def shows(self, selector: str, text: str) -> None:
        """Wait until something on the page says this."""
        await self.until(
            "([selector, text]) => [...document.querySelectorAll(selector)]"
            ".some(e => e.innerText.replaceAll('\\u00a0', ' ').includes(text))",
            [selector, text],
        )

    async def counts(self, lines: int) -> None:
        """Wait until the cart has so many lines."""
        await self.until("n => document.querySelectorAll('.lines tbody tr').length === n", lines)

    async def gone(self, selector: str) -> None:
        await self.page.wait_for_selector(selector, state="detached")

    async def sold(self, amount: str | None = None) -> None:
        """Wait until a sale is confirmed on the screen."""
        await self.page.wait_for_selector(".done")
        if amount is not None:
            await self.shows(".done .change", amount)

    async def sell(self, *codes: str) -> None:
        """A whole sale in exact cash: its scans and two keys."""
        await self.scan(*codes)
        await self.press("+", "Enter")
        await self.sold()

    async def kept(self, store: str = "outbox") -> list[Any]:
        """What the browser has on its disk."""
        found: list[Any] = await self.page.evaluate(
            """store => new Promise((resolve, reject) => {
                 const opening = indexedDB.open("posline");
                 opening.onerror = () => reject(opening.error);
                 opening.onsuccess = () => {
                   const asked = opening.result.transaction(store).objectStore(store).getAll();
                   asked.onsuccess = () => {
                     opening.result.close();
                     resolve(JSON.parse(JSON.stringify(asked.result)));
                   };
                 };
               })""",
            store,
        )
        return found

    async def drained(self) -> None:
        """Wait until nothing is in the browser alone any more."""
        async with asyncio.timeout(WITHIN_MS / 1000 * 3):
            while await self.kept():  # noqa: ASYNC110  # what is waited for happens in another program
                await asyncio.sleep(0.05)


def _rate(rate: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in rate.items() if value}


def kill_all(folder: Path) -> int:
    """SIGKILL to every process that was started with this folder; how many."""
    killed = 0
    for each in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if str(folder) in (each / "cmdline").read_bytes().decode(errors="replace"):
                os.kill(int(each.name), signal.SIGKILL)
                killed += 1
    return killed


def unlock(folder: Path) -> None:
    """What a browser that was killed left behind to keep a second one out."""
    for lock in folder.glob("Singleton*"):
        lock.unlink(missing_ok=True)


async def stocked_folder(folder: Path) -> Path:
    """The data folder of a till with products, from which each test starts with a copy of its own."""
    async with async_playwright() as playwright:
        made = Counter(playwright, folder)
        await made.start()
        await made.stock()
        await made.till.stop()
    return made.till.data


@asynccontextmanager
async def counter(folder: Path, stocked: Path | None = None, *, join: Counter | None = None) -> AsyncIterator[Counter]:
    """A counter that is open for business, and closed afterwards whatever happens. With `join`, it is the second one of
    that one's shop."""
    async with async_playwright() as playwright:
        made = Counter(playwright, folder, label="B" if join else "A", join=join)
        try:
            await asyncio.gather(made.start(stocked), made.launch())
            await made.page.goto(made.url)
            await made.settled()
            yield made
            assert not made.complaints, made.complaints
        finally:
            await made.close()
