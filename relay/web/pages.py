"""Every page of the head office, in one list."""

from __future__ import annotations

from importlib.resources import files

from starlette.routing import BaseRoute

from posline.till.pages import folder_routes, page_routes
from relay.web.account import account_routes
from relay.web.alarming import alarming_routes
from relay.web.chain import chain_routes
from relay.web.days import days_routes
from relay.web.finding import finding_routes
from relay.web.frame import Frame
from relay.web.hosting import hosting_routes
from relay.web.live import live_routes
from relay.web.people import people_routes
from relay.web.prices import prices_routes
from relay.web.shops import shops_routes
from relay.web.signing import signing_routes
from relay.web.summing import summing_routes
from relay.web.tokens import tokens_routes
from relay.web.trail import trail_routes

__all__ = ["web_routes"]


def web_routes(frame: Frame) -> list[BaseRoute]:
    """The pages, and the files that they load; the fonts are those of the till's page."""
    return [
        *page_routes("relay.web", "static"),
        *folder_routes(files("posline.till").joinpath("page", "fonts")),
        *signing_routes(frame),
        *account_routes(frame),
        *chain_routes(frame),
        *days_routes(frame),
        *finding_routes(frame),
        *summing_routes(frame),
        *alarming_routes(frame),
        *live_routes(frame),
        *prices_routes(frame),
        *shops_routes(frame),
        *hosting_routes(frame),
        *people_routes(frame),
        *tokens_routes(frame),
        *trail_routes(frame),
    ]
