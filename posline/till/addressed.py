"""Which till a request is meant for: the header `Posline-Till`, looked at before any route runs.

A browser may keep sales that wait for their till while another data folder comes to be served at the same address. A
page that names its till is then told that another one answers, and nothing of the request is recorded here. A till that
was restored from another one's backup takes what was meant for that one, too. The answer names the till that was meant:
what has no such header is from some other program at this address, and a page takes nothing as done by it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from posline.core.members import member_key
from posline.core.numbers import author_id
from posline.errors import PoslineError
from posline.till.problems import problem, problem_of

if TYPE_CHECKING:
    from starlette.responses import Response

    from posline.till.till import Till

__all__ = ["HEADER", "Addressed", "succeeded"]

HEADER = "posline-till"
STATUS, TITLE = 421, "Another till"


class Addressed:
    """ASGI: answers 421 to a request whose header `Posline-Till` names another till."""

    def __init__(self, app: ASGIApp, till: Till) -> None:
        self._app, self._till = app, till

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] == "http" and (wanted := Headers(scope=scope).get(HEADER)) is not None:
            try:
                refused = _refused(self._till, wanted)
            except PoslineError as error:  # it is going down
                refused = problem_of(error)
            if refused is not None:
                await refused(scope, receive, send)
                return
            await self._app(scope, receive, _naming(send, wanted))
            return
        await self._app(scope, receive, send)


def _naming(send: Send, meant: str) -> Send:
    async def named(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message)[HEADER] = meant
        await send(message)

    return named


def _refused(till: Till, wanted: str) -> Response | None:
    if wanted == till.id or wanted in succeeded(till):
        return None
    detail = (
        f"till {till.label} of {till.shop} answers here, and not the till {wanted[:40]!r} that this was meant for. "
        "Nothing was recorded: start the other till's data folder at this address again, or send it there"
    )
    here = {"till": till.id, "label": till.label, "shop": till.shop, "shop_id": till.shop_id}
    return problem(STATUS, TITLE, detail, more=here)


def succeeded(till: Till) -> set[str]:
    """The ids of the tills in whose place this one came, and of those in whose place they came, as their memberships
    say that stand."""
    standing = till.store.authority(till.shop_id).acts
    before = {
        author_id(member_key(act.body["key"])): str(act.body["succeeds"])
        for act in till.store.acts(till.shop_id)
        if act.kind == "member" and act.hash in standing and act.body.get("succeeds")
    }
    found: set[str] = set()
    author: str | None = till.id
    while (author := before.get(str(author))) is not None and author not in found:
        found.add(author)
    return found - {till.id}
