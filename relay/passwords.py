"""Passwords: hashed with Argon2id, a few at a time, away from the event loop.

A hash takes some 64 MiB and a fifth of a second on purpose. Knows nothing of whose they are.
"""

from __future__ import annotations

import asyncio
import secrets
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

from posline.errors import BadRequest, PoslineError

__all__ = ["PASSWORD_MAX", "PASSWORD_MIN", "Busy", "Passwords", "checked_password"]

T = TypeVar("T")
PASSWORD_MIN, PASSWORD_MAX = 10, 200  # characters
DISTINCT_MIN = 5  # characters that differ: "aaaaaaaaaa" is none
AT_ONCE, WAITING_MAX = 2, 32  # hashes being made; those that wait for it, beyond which nobody more is let in
COMMON = frozenset({  # of ten characters and more, from lists of what leaked most
    "1234567890", "0123456789", "12345678910", "123456789a", "987654321a", "0987654321", "qwertyuiop", "1q2w3e4r5t",
    "1qaz2wsx3edc", "q1w2e3r4t5", "password12", "password123", "password1234", "passw0rd123", "iloveyou123",
    "pakistan123", "pakistan1947", "pakistan786", "karachi123", "lahore1234", "bismillah786", "administrator",
    "headoffice", "headoffice1", "headoffice123", "posline123", "posline1234", "qwerty12345", "abcdefghij",
})  # fmt: skip


class Busy(PoslineError):
    """More people ask at once, to sign in or with a file, than can be looked at."""

    status = 503
    title = "Too busy"
    word = "busy"


class Passwords:
    """Makes and compares hashes."""

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        """`hasher` with other costs than the usual ones (RFC 9106, low memory)."""
        self._hasher = hasher or PasswordHasher()
        self._threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="passwords")
        self._waiting = 0

    async def hash(self, password: str) -> str:
        """What is kept of a password. Raises Busy."""
        return await self._run(self._hasher.hash, _normal(password))

    async def matches(self, password: str, kept: str) -> bool:
        """Whether this is the password; where none is kept (""), it takes as long to say no. Raises Busy."""
        found = await self._run(self._verify, _normal(password)[:PASSWORD_MAX], kept)
        return found and kept != ""

    def outdated(self, kept: str) -> bool:
        """Whether a hash was made with lesser costs than today's."""
        return self._hasher.check_needs_rehash(kept)

    @cached_property
    def _nobodys(self) -> str:
        return self._hasher.hash(secrets.token_urlsafe())

    def _verify(self, password: str, kept: str) -> bool:
        nobodys = self._nobodys  # made at the first try of all, whoever's it is
        try:
            return self._hasher.verify(kept or nobodys, password)
        except (Argon2Error, InvalidHashError):
            return False

    async def _run(self, work: Callable[..., T], *arguments: str) -> T:
        if self._waiting >= WAITING_MAX:
            raise Busy("too many people are signing in at this moment: try again in a few seconds")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work, *arguments)
        finally:
            self._waiting -= 1

    def close(self) -> None:
        """Let its threads go."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def checked_password(password: str, name: str) -> str:
    """A password that a person may choose. Raises BadRequest."""
    plain = _normal(password)
    folded, same = plain.casefold(), name.casefold()
    if not PASSWORD_MIN <= len(plain) <= PASSWORD_MAX:
        raise BadRequest.of("password", f"must have {PASSWORD_MIN} to {PASSWORD_MAX} characters")
    if folded in COMMON or len(set(folded)) < DISTINCT_MIN or folded.replace(" ", "") == same.replace(" ", ""):
        raise BadRequest.of("password", "is one of those that are guessed first: three or four words are a good one")
    return password


def _normal(password: str) -> str:
    """The same characters however a keyboard composes them."""
    return unicodedata.normalize("NFKC", password)
