"""The frame of every page: who asks, what is theirs, the words of their language, forms that only our pages may send.

A page is one function that is given a `Visit`, a template that extends base.html, a line in `pages.py`, and where it
has a place in the menu, one in `MENU`. docs/headoffice.md shows one whole.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from typing import Any
from urllib.parse import parse_qsl, quote

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from posline.errors import BadRequest, NotFound, PoslineError
from posline.till.body import read_body
from posline.till.guard import UNUSED
from posline.till.problems import Forbidden, problem_of
from posline.trust.gate import token_hash
from relay.marks import last_mark
from relay.people import DEVICE_MS, SESSION_MS, Browser, SignedIn
from relay.relay import Branch, Relay
from relay.rights import Actor, Right, Viewer
from relay.web.caller import Caller, Network, caller_of, local_path, same_site
from relay.web.words import LANGUAGES, Words, chosen, zone_of

__all__ = ["MENU", "ForeignForm", "Frame", "Item", "NoPage", "Visit", "WebOptions", "off"]

log = logging.getLogger("posline.web")

FORM_BYTES_MAX, FIELDS_MAX = 256 * 1024, 5000  # a form in which each of 2,000 shops is ticked
SESSION, DEVICE, LANGUAGE = "posline", "posline-device", "posline-language"
LANGUAGE_S = 400 * 86400  # as long as browsers keep any
HSTS_S = 180 * 86400
ZONE_S, ZONE_SHOPS = 60.0, 100  # how long the time zone of so many shops is taken for that of most
SIGN_IN = "/sign-in"
HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
        "connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",  # with none at all, browsers would not say where a form comes from
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": ", ".join(f"{feature}=()" for feature in UNUSED),
    "cache-control": "no-store",
    "x-robots-tag": "noindex, nofollow",
}
off = asyncio.to_thread  # what asks a database, away from the event loop


@dataclass(frozen=True, slots=True)
class Item:
    """An entry of the menu: where it leads, its word, and the right that it takes."""

    path: str
    word: str
    right: Right


MENU: tuple[Item, ...] = (
    Item("/", "menu_start", Right.SEE),
    Item("/reports", "menu_reports", Right.SEE),
    Item("/alarms", "menu_alarms", Right.SEE),
    Item("/search", "menu_search", Right.SEE),
    Item("/prices", "menu_prices", Right.PRICES),
    Item("/office/shops", "menu_shops", Right.ADMINISTER),
    Item("/office/people", "menu_people", Right.ADMINISTER),
    Item("/office/tokens", "menu_tokens", Right.ADMINISTER),
    Item("/office/audit", "menu_audit", Right.ADMINISTER),
)


@dataclass(frozen=True, slots=True)
class WebOptions:
    """`trusted` are the proxies whose word about the real connection counts. `access_log`: a line for each request;
    `metrics`: /metrics is served where the pages are."""

    trusted: Sequence[Network] = ()
    access_log: bool = False
    metrics: bool = True


@dataclass(slots=True)
class Visit:
    """One request for a page, by whoever is signed in. `form` are the fields that were sent, the last of each name;
    `ticked` gives all of one."""

    frame: Frame
    request: Request
    caller: Caller
    words: Words
    session: str
    viewer: Viewer
    fields: Sequence[tuple[str, str]] = ()
    form: Mapping[str, str] = field(default_factory=dict)
    mark: int = 0  # the last mark of change before the page was made

    @property
    def relay(self) -> Relay:
        """The head office."""
        return self.frame.relay

    @property
    def signed_in(self) -> bool:
        """Whether anybody is."""
        return bool(self.viewer.person)

    @property
    def actor(self) -> Actor:
        """Whoever asks, for the audit trail."""
        return Actor(self.viewer.name, self.caller.address)

    @property
    def browser(self) -> Browser:
        """The browser that asks, for signing in."""
        device = self.request.cookies.get(_name(DEVICE, self.caller), "")
        return Browser(self.caller.address, self.request.headers.get("user-agent", ""), self.session, device)

    @property
    def csrf(self) -> str:
        """What each form of this session carries."""
        return token_hash(f"form {self.session}") if self.session else ""

    @property
    def address(self) -> str:
        """Where this page is, with its query."""
        return _address(self.request)

    def ticked(self, name: str) -> list[str]:
        """All values of a field."""
        return [value for key, value in self.fields if key == name]

    def branch(self, wanted: str) -> Branch:
        """A shop of the viewer's, by id. Raises NotFound, also for others' shops: nobody is told that they exist."""
        if not self.viewer.covers(wanted) or self.relay.office.shop(wanted) is None:
            raise NoPage("there is no such shop here")
        return self.relay.branch(wanted)

    def show(self, template: str, /, *, error: PoslineError | None = None, **values: Any) -> Response:
        """A page. `error` is shown above it, and is its status."""
        said = self.request.query_params.get("said", "")
        text = self.frame.render(
            template,
            visit=self,
            viewer=self.viewer,
            words=self.words,
            t=self.words.t,
            here=self.request.url.path,
            menu=[item for item in MENU if self.signed_in and self.viewer.may(item.right)],
            languages=LANGUAGES,
            said=self.words.t(f"said_{said}") if self.words.has(f"said_{said}") else "",
            error=error,
            told=None if error is None else self.words.told(error),
            **values,
        )
        return Response(text, 200 if error is None else error.status, self._headers(), "text/html")

    def go(self, path: str, said: str = "") -> Response:
        """Send the browser on after a form; `said` is the word of what was done, shown there once."""
        return RedirectResponse(path + (f"?said={said}" if said else ""), 303, self._headers())

    def seat(self, found: SignedIn, path: str, said: str = "") -> Response:
        """Send the browser on, signed in."""
        answer = self.go(path, said)
        self._set(answer, SESSION, found.session, SESSION_MS // 1000)
        self._set(answer, DEVICE, found.device, DEVICE_MS // 1000)
        return answer

    def unseat(self, path: str, said: str = "") -> Response:
        """Send the browser on, signed out; that it is one of theirs stays known."""
        answer = self.go(path, said)
        answer.delete_cookie(_name(SESSION, self.caller), path="/", secure=self.caller.secure, httponly=True)
        return answer

    def speak(self, language: str, path: str) -> Response:
        """Send the browser on, in another language."""
        answer = self.go(path)
        secure = self.caller.secure
        answer.set_cookie(LANGUAGE, language, LANGUAGE_S, path="/", secure=secure, httponly=True, samesite="lax")
        return answer

    def _set(self, answer: Response, name: str, value: str, age_s: int) -> None:
        answer.set_cookie(
            _name(name, self.caller), value, age_s, path="/", secure=self.caller.secure, httponly=True, samesite="lax"
        )

    def _headers(self) -> dict[str, str]:
        secure = {"strict-transport-security": f"max-age={HSTS_S}"} if self.caller.secure else {}
        return HEADERS | secure


Handler = Callable[[Visit], Awaitable[Response]]


class Frame:
    """Makes routes of pages."""

    def __init__(self, relay: Relay, options: WebOptions) -> None:
        self.relay, self._options = relay, options
        self._zone_now: tuple[float, tzinfo] | None = None
        self._templates = Environment(
            loader=PackageLoader("relay.web"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
            lstrip_blocks=True,
        )  # fmt: skip
        self._templates.filters |= {
            "drawing": Markup, "browser": browser_of, "call_label": lambda author, label: label(author),
        }  # fmt: skip

    def render(self, template: str, /, **values: Any) -> str:
        """A template, filled in; every value is escaped."""
        return self._templates.get_template(template).render(**values)

    def get(self, path: str, handler: Handler, *, right: Right | None = Right.SEE, anybody: bool = False) -> Route:
        """A page at `path`, for whoever has the right; with `anybody` also without signing in."""
        return Route(path, self._endpoint(handler, right, anybody), methods=["GET"], name=f"page {path}")

    def post(self, path: str, handler: Handler, *, right: Right | None = Right.SEE, anybody: bool = False) -> Route:
        """What a form is sent to, as `get`."""
        return Route(path, self._endpoint(handler, right, anybody), methods=["POST"], name=f"form {path}")

    def file(self, path: str, handler: Handler, *, right: Right) -> Route:
        """What the script of a page sends a file to, by PUT and with the session's mark in the header X-CSRF. What goes
        wrong is told to the script."""

        async def endpoint(request: Request) -> Response:
            visit = self._stranger(request)
            try:
                await self._recognise(visit)
                mark = request.headers.get("x-csrf", "")
                ours = visit.signed_in and same_site(request, visit.caller)
                if not ours or not hmac.compare_digest(mark.encode(), visit.csrf.encode()):
                    raise _foreign()
                visit.viewer.require(right)
                return await handler(visit)
            except PoslineError as error:
                return problem_of(error)

        return Route(path, endpoint, methods=["PUT"], name=f"file {path}")

    async def viewer(self, request: Request) -> Viewer | None:
        """Whose session a request has; None for nobody's."""
        session = request.cookies.get(_name(SESSION, caller_of(request, self._options.trusted)), "")
        return await off(self.relay.people.session, session) if session else None

    async def visit(self, request: Request) -> Visit:
        """A request, with whoever asks. Raises Unavailable."""
        visit = self._stranger(request)
        await self._recognise(visit)
        return visit

    def _stranger(self, request: Request) -> Visit:
        """A request by nobody known: what can be shown of whatever goes wrong."""
        caller, nobody = caller_of(request, self._options.trusted), Viewer("", frozenset(), frozenset())
        session = request.cookies.get(_name(SESSION, caller), "")
        return Visit(self, request, caller, self._words(request), session, nobody)

    async def _recognise(self, visit: Visit) -> None:
        """Find out who asks. Raises Unavailable."""
        viewer = await off(self.relay.people.session, visit.session) if visit.session else None
        if viewer is not None:
            visit.viewer = viewer
            visit.words = self._words(visit.request, viewer.language)
            visit.mark = await off(last_mark, self.relay.office.database)

    def _words(self, request: Request, wish: str = "") -> Words:
        accepts = request.headers.get("accept-language", "")[:200]
        return Words(chosen(wish, request.cookies.get(LANGUAGE, ""), accepts=accepts), self._zone())

    def _zone(self) -> tzinfo:
        """The time zone of most shops; before there are any, this machine's. Looked at once a minute."""
        if self._zone_now is not None and self._zone_now[0] > time.monotonic():
            return self._zone_now[1]
        here = datetime.now().astimezone().tzinfo
        assert here is not None
        try:  # of the books: a shop that nobody asks about is not taken up for it
            known = [self.relay.founded(shop.id) for shop in self.relay.office.shops()[:ZONE_SHOPS]]
        except PoslineError:
            return here
        names = Counter(found.zone for found in known if found is not None)
        found = zone_of(names.most_common(1)[0][0]) if names else None
        self._zone_now = time.monotonic() + ZONE_S, found or here
        return self._zone_now[1]

    def _endpoint(
        self, handler: Handler, right: Right | None, anybody: bool
    ) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            visit = self._stranger(request)
            try:
                await self._recognise(visit)
                if not visit.signed_in and not anybody:
                    return visit.go(_sign_in(request))
                if any("\0" in value for value in request.path_params.values()):
                    raise NoPage("an address holds no such character")
                if right is not None and not anybody:
                    visit.viewer.require(right)
                if request.method == "POST":
                    await self._read(visit)
                return await handler(visit)
            except PoslineError as error:
                return self.failed(visit, error)

        return endpoint

    async def _read(self, visit: Visit) -> None:
        """Read a form. Raises ForeignForm where none of our pages sent it."""
        request = visit.request
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/x-www-form-urlencoded" or not same_site(request, visit.caller):
            raise _foreign()
        body = await read_body(request, limit=FORM_BYTES_MAX)
        try:
            fields = parse_qsl(
                body.decode("ascii"), keep_blank_values=True, max_num_fields=FIELDS_MAX, errors="strict"
            )
        except ValueError as error:
            raise BadRequest.of("form", "is not whole: send it again") from error
        if any("\0" in text for field in fields for text in field):
            raise BadRequest.of("form", "holds a character that no name and no password has")
        visit.fields, visit.form = fields, dict(fields)
        if visit.signed_in and not hmac.compare_digest(visit.form.get("csrf", "").encode(), visit.csrf.encode()):
            raise _foreign()

    def failed(self, visit: Visit, error: PoslineError) -> Response:
        """The page of what went wrong."""
        if error.status >= 500:
            log.error("%s %s: %s", visit.request.method, visit.request.url.path, error)
        return visit.show("error.html", error=error, title=visit.words.t(_title(error.status)))

    def not_found(
        self, otherwise: Callable[[Request, Exception], Awaitable[Response]]
    ) -> Callable[[Request, Exception], Awaitable[Response]]:
        """What answers for an address that there is not: a page to browsers, `otherwise` to programs."""

        async def answer(request: Request, error: Exception) -> Response:
            wants = "text/html" in request.headers.get("accept", "")
            # where a form was sent to, is no page to come back to either
            if isinstance(error, HTTPException) and error.status_code in (404, 405) and wants:
                visit = self._stranger(request)
                try:
                    await self._recognise(visit)
                    raise NoPage(f"there is no page {request.url.path} here")
                except PoslineError as reason:
                    return self.failed(visit, reason)
            return await otherwise(request, error)

        return answer


class ForeignForm(Forbidden):
    """A form that none of our pages sent."""

    word = "foreign_form"


class NoPage(NotFound):
    """An address that leads nowhere, or to what is not the viewer's."""

    word = "not_found"


def _foreign() -> ForeignForm:
    return ForeignForm("this form was not sent by a page of this head office, or by one that is too old: open it anew")


def _title(status: int) -> str:
    return {403: "title_not_allowed", 404: "title_not_found"}.get(status, "title_failed")


def _address(request: Request) -> str:
    """Where a page is, as a link of our own names it."""
    path, query = request.url.path, request.url.query
    return f"{path}?{query}" if query and request.method == "GET" else path


def _sign_in(request: Request) -> str:
    """Where to sign in, and to come back from; a form that was sent is not sent again."""
    path = local_path(_address(request)) if request.method == "GET" else "/"
    return SIGN_IN if path == "/" else f"{SIGN_IN}?next={quote(path, safe='/')}"


def browser_of(agent: str) -> str:
    """What a browser calls itself, in two words: its name and its system."""
    names = {"Edg/": "Edge", "OPR/": "Opera", "SamsungBrowser/": "Samsung Internet", "Firefox/": "Firefox",
             "Chrome/": "Chrome", "Safari/": "Safari"}  # fmt: skip
    systems = {"Android": "Android", "iPhone": "iPhone", "iPad": "iPad", "Windows": "Windows", "Mac OS": "Mac",
               "CrOS": "ChromeOS", "Linux": "Linux"}  # fmt: skip
    found = (next((name for mark, name in table.items() if mark in agent), "") for table in (names, systems))
    return ", ".join(filter(None, found))


def _name(cookie: str, caller: Caller) -> str:
    """A cookie that is sent by encrypted lines alone has a name that no other host may set."""
    return f"__Host-{cookie}" if caller.secure else cookie
