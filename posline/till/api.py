"""The application on the till's page port: its page, its calls, and the way in for commands of this machine's owner.

Every route reads its request, asks the till, and answers; errors become problem documents in `posline.till.problems`.
"""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.middleware import Middleware

from posline.till.addressed import Addressed
from posline.till.calls import api_routes
from posline.till.guard import LoopbackGuard
from posline.till.hosting.api import hosting_routes
from posline.till.local import Local
from posline.till.pages import page_routes
from posline.till.problems import exception_handlers
from posline.till.session import SessionReader
from posline.till.till import Till

__all__ = ["build_app"]


def build_app(till: Till, local: Local | None = None) -> Starlette:
    """The application on the till's page port. With `local`, commands of this machine's owner reach the till there."""
    routes = [*page_routes("posline.till", "page"), *api_routes(till), *hosting_routes(till)]
    if local is not None:
        routes.append(local.route())
    # the guard first: nothing of a request from elsewhere is looked at
    middleware = [Middleware(LoopbackGuard), Middleware(Addressed, till), Middleware(SessionReader, till)]
    return Starlette(routes=routes, middleware=middleware, exception_handlers=exception_handlers(till.suspect))
