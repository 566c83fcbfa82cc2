"""Who asks the head office's API, and which shops and rights are theirs."""

from __future__ import annotations

import asyncio

from starlette.requests import Request

from posline.till.problems import Forbidden, Unauthorised
from relay.relay import Branch, Relay
from relay.rights import Right, Viewer
from relay.web.frame import Frame

__all__ = ["Asker"]

NO_TOKEN = "present a token of 'posline-relay token add' or 'user add': Authorization: Bearer TOKEN"


class Asker:
    """Reads it from requests. Each method raises Unauthorised, NotYours or Forbidden where it is not theirs."""

    def __init__(self, relay: Relay, frame: Frame) -> None:
        self._relay, self._frame = relay, frame

    async def viewer(self, request: Request, right: Right = Right.SEE, *, changes: bool = False) -> Viewer:
        """Who asks, with a right. What `changes` something needs a token: a session comes along with any request that
        some page makes."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            viewer = await asyncio.to_thread(self._relay.access, token.strip())
        else:
            viewer = await self._frame.viewer(request) if not scheme and not changes else None
        if viewer is None:
            raise Unauthorised(NO_TOKEN)
        viewer.require(right)
        return viewer

    async def branch(self, request: Request, right: Right = Right.SEE, *, changes: bool = False) -> Branch:
        """The shop that the path names."""
        viewer = await self.viewer(request, right, changes=changes)
        return self._theirs(viewer, request.path_params["shop"])

    async def branches(self, request: Request, right: Right = Right.SEE) -> list[Branch]:
        """The shops that the query names, or else all that are theirs."""
        viewer = await self.viewer(request, right)
        named = [self._theirs(viewer, shop) for shop in request.query_params.getlist("shop")]
        return named or [branch for branch in self._relay.branches() if viewer.covers(branch.id)]

    async def ids(self, request: Request, right: Right = Right.SEE) -> list[str] | None:
        """The ids of `branches`; None where that is every shop, also those that are attached later."""
        viewer = await self.viewer(request, right)
        named = [self._theirs(viewer, shop).id for shop in request.query_params.getlist("shop")]
        return named or (None if viewer.shops is None else sorted(viewer.shops))

    def _theirs(self, viewer: Viewer, shop: str) -> Branch:
        branch = self._relay.branch(shop, viewer)
        if not viewer.covers(branch.id):
            raise Forbidden("this token does not open that shop")
        return branch
