"""The certificate that a head office is known by, and what happens when it is renewed.

Tills compare the certificate of their line with what the head office signs in the handshake. So this process must know
which one they see: its own, one that it was given, or that of a proxy before it, which reads the same file.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable, Sequence
from pathlib import Path

from posline.errors import BadRequest
from posline.till.listener import Listener
from posline.trust.certificate import Tls

__all__ = ["Shown"]

log = logging.getLogger("posline.relay")

LOOK_S = 5.0  # until a certificate that a proxy renewed is known here


class Shown:
    """`pin` is the fingerprint that tills see by now, "" where there is no TLS."""

    def __init__(self, tls: Tls | None, proxy: Path | None) -> None:
        """`tls` is what this process serves with, `proxy` the certificate file of a proxy before it. Raises
        BadRequest."""
        self._tls, self._proxy = tls, proxy
        self.pin = self._read()

    def _read(self) -> str:
        try:
            if self._proxy is not None:
                return Tls(self._proxy, self._proxy).fingerprint
            return "" if self._tls is None else self._tls.fingerprint
        except (OSError, ValueError) as error:
            path = self._proxy or (self._tls and self._tls.certificate)
            raise BadRequest.of("certificate", f"{path} cannot be read ({error}): name a PEM file") from error

    def renew(self, *listeners: Listener) -> bool:
        """Read the files again; whether tills see another certificate from now on. Those that are linked stay. Files
        that do not fit each other change nothing."""
        try:
            if self._tls is not None:
                ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(self._tls.certificate, self._tls.key)
            pin = self._read()
        except (OSError, ssl.SSLError, BadRequest) as error:
            log.error(
                "the certificate cannot be renewed (%s): the one before stays; mend the files and send SIGHUP again",
                error, extra={"event": "certificate_refused"},
            )  # fmt: skip
            return False
        if self._tls is not None:
            for listener in listeners:
                listener.renew(self._tls)
        before, self.pin = self.pin, pin
        log.info("the certificate was read again", extra={"event": "certificate", "new_key": pin != before})
        return pin != before

    async def follow(self, listeners: Sequence[Listener], reload: asyncio.Event, changed: Callable[[], None]) -> None:
        """Renew for ever: when `reload` is set, and when the proxy's file changes."""
        seen = self._stamp()
        while True:
            try:
                async with asyncio.timeout(LOOK_S if self._proxy is not None else None):
                    await reload.wait()
            except TimeoutError:
                if self._stamp() == seen:
                    continue
            reload.clear()
            seen = self._stamp()
            # here and not in a thread: a handshake in between would have the one's certificate and the other's key
            if self.renew(*listeners):
                await asyncio.to_thread(changed)

    def _stamp(self) -> tuple[float, int] | None:
        try:
            found = None if self._proxy is None else self._proxy.stat()
        except OSError:  # it is just being replaced
            return None
        return None if found is None else (found.st_mtime, found.st_ino)
