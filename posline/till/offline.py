"""Commands that begin where there may be no till yet: joining a shop, and restoring a backup."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from posline.errors import BadRequest
from posline.storage.folder import Folder
from posline.till.invitation import Invitation
from posline.till.joining import request_membership
from posline.till.keeping import restore
from posline.till.local import ask
from posline.till.till import open_till
from posline.trust.keys import Key

__all__ = ["join_folder", "restore_folder"]


def join_folder(data: Path, invitation: Invitation, label: str) -> dict[str, Any]:
    """Take the folder into the inviting shop, through the till that runs on it if one does: {shop, shop_id, label}."""
    arguments = {"link": str(invitation), "label": label}
    found = ask(data, "join", arguments, command=_join_here, open_here=_folder_alone)
    assert isinstance(found, dict)
    return found


def restore_folder(
    data: Path, source: Path, *, recovery: str | None, invitation: Invitation | None, label: str
) -> dict[str, Any]:
    """Make a new till of a backup in an empty folder; see `posline.till.keeping.restore`."""
    key = None
    if recovery is not None:
        try:
            key = Key.from_code(recovery)
        except ValueError as error:
            raise BadRequest.of(
                "recovery", "is no recovery code: it has 52 letters and digits, in groups of five"
            ) from error
    with Folder(data) as folder:
        answer = restore(folder, source, recovery=key, label=label)
        if invitation is not None and not answer["admitted"]:
            answer["label"] = asyncio.run(
                request_membership(folder, invitation, label=answer["label"], succeeds=answer["succeeds"])
            )
            asyncio.run(_finish(folder))
            answer["admitted"] = True
        return answer


@asynccontextmanager
async def _folder_alone(folder: Folder) -> AsyncIterator[Folder]:
    yield folder


async def _join_here(folder: Folder, arguments: Mapping[str, Any]) -> Any:
    invitation = Invitation.parse(arguments["link"], "join")
    label = await request_membership(folder, invitation, label=arguments["label"])
    shop, shop_id = await _finish(folder)
    return {"shop": shop, "shop_id": shop_id, "label": label}


async def _finish(folder: Folder) -> tuple[str, str]:
    """Open the folder once, which puts it under its new shop."""
    async with open_till(folder, found=False, read_only=True) as till:
        return till.shop, till.shop_id
