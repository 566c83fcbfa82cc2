"""Looking at a state in a process of its own, forked from one in which the program is loaded."""

from __future__ import annotations

import gc
import json
import os
import signal
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.power.promises import Expected, broken_promises

__all__ = ["in_child", "warm"]

HANGS_S = 60  # a start that takes longer is a broken promise
ANSWER_BYTES = 60_000  # less than a pipe holds


def warm() -> None:
    """Found a shop once in this process, so that no child need load a module."""
    with tempfile.TemporaryDirectory(prefix="posline-power-") as folder:
        broken_promises(Path(folder), Expected([], []))


def in_child(look: Callable[[], list[str]]) -> list[str]:
    """What `look` answers, or how its process ended."""
    out, into = os.pipe()
    child = os.fork()
    if child == 0:
        gc.disable()
        signal.alarm(HANGS_S)
        try:
            os.close(out)
            problems = look()
        except BaseException as error:
            problems = [f"{type(error).__name__}: {error}"]
        os.write(into, json.dumps([line[:1000] for line in problems[:20]]).encode()[:ANSWER_BYTES])
        os._exit(0)
    os.close(into)
    with os.fdopen(out, "rb") as answer:
        said = answer.read()
    _, status = os.waitpid(child, 0)
    if status:
        return [f"the program ended with {os.waitstatus_to_exitcode(status)}"]
    return list(json.loads(said))
