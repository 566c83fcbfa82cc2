"""Files that people send, such as price lists. One is read at a time, by a thread of its own: a large one takes
minutes, and several at once would leave nobody else a thread to ask the books by."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from starlette.requests import Request

from posline.till.body import read_body
from relay.passwords import Busy

__all__ = ["FILE_BYTES_MAX", "WAITING_MAX", "Uploads"]

T = TypeVar("T")
FILE_BYTES_MAX = 32 * 1024 * 1024  # half a million rows of prices, and more of them packed
WAITING_MAX = 8  # files, with the one that is being read


class Uploads:
    """Takes files, from when it is made until `close`."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="files")
        self._waiting = 0

    async def read(self, request: Request, work: Callable[[Path], T]) -> T:
        """What `work` makes of the body of a request, which is a file for as long as that takes. Raises TooLarge,
        TooSlow, Busy, and what `work` does."""
        if self._waiting >= WAITING_MAX:
            raise Busy(f"{WAITING_MAX} files are being read or wait for it: send this one again in a few minutes")
        self._waiting += 1
        try:
            with tempfile.NamedTemporaryFile(prefix="posline-file-", suffix=".csv") as file:
                body = await read_body(request, limit=FILE_BYTES_MAX)
                await asyncio.to_thread(file.write, body)
                await asyncio.to_thread(file.flush)
                del body  # it may wait for long
                return await asyncio.get_running_loop().run_in_executor(self._thread, work, Path(file.name))
        finally:
            self._waiting -= 1

    def close(self) -> None:
        """Read nothing more."""
        self._thread.shutdown(wait=False, cancel_futures=True)
