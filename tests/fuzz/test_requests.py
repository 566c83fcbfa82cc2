"""Spoilt requests at every route: never a failure of ours, problem documents, and books that are what was answered."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from posline.till.api import build_app
from posline.till.commands import COMMANDS
from posline.till.local import Local
from posline.till.till import open_till
from relay.api import build_app as build_office
from tests.fuzz.calls import TILL, routes_of
from tests.fuzz.child import start
from tests.fuzz.office_calls import HEAD_OFFICE
from tests.proof import Note, share
from tests.till.test_joining import head_office

REQUESTS = share(300, 30_000)
SEED = os.environ.get("POSLINE_FUZZ_SEED", "1")


async def test_every_route_has_an_example(tmp_path: Path) -> None:
    async with open_till(tmp_path / "till") as till, head_office(tmp_path / "office") as (relay, _):
        for calls, app in (TILL, build_app(till, Local(till, COMMANDS))), (HEAD_OFFICE, build_office(relay, [])):
            routes, named = routes_of(app), {call.route for call in calls}
            assert routes - named == set(), "a route without an example in tests/fuzz"
            assert named - routes == set(), "an example of a route that is gone"
            assert len(calls) == len(named)


@pytest.mark.timeout(3600)
def test_spoilt_requests_get_refusals_and_the_books_are_what_was_answered(tmp_path: Path, note: Note) -> None:
    began = time.monotonic()
    parts = start("tests.fuzz.selling", ["--requests", str(REQUESTS), "--seed", SEED], tmp_path).figures
    till, office, hostile = parts
    assert not any(int(status) >= 500 for part in parts for status in part["statuses"])
    assert till["sales"] > REQUESTS // 40 and till["repeats"] > 0 and till["routes"] == len(TILL)
    note(till=till, office=office, hostile=hostile, wall_s=round(time.monotonic() - began, 1))
