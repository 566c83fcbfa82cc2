"""Receives the webhooks of a head office into the books.

python -m examples.ledger.receive --port 9000 --secret whsec_... --books books.db
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import hmac
import json
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

from examples.ledger.books import Books

TOLERANCE_S = 300  # an older message may have been recorded by somebody and sent again
BYTES_MAX = 16 << 20
SILENT_S = 30


def genuine(secret: str, id: str, at: str, body: bytes, signed: str) -> bool:
    """Whether one of the signatures is ours, and of now (Standard Webhooks)."""
    if not at.isdecimal() or abs(time.time() - int(at)) > TOLERANCE_S:
        return False
    key = base64.b64decode(secret.removeprefix("whsec_"))
    expected = hmac.digest(key, f"{id}.{at}.".encode() + body, hashlib.sha256)
    wanted = f"v1,{base64.b64encode(expected).decode()}"
    return any(hmac.compare_digest(wanted, each) for each in signed.split(" "))


def handler(books: Books, secret: str) -> type[BaseHTTPRequestHandler]:
    """What answers a request."""

    class Handler(BaseHTTPRequestHandler):
        timeout = SILENT_S  # of a head office that lost its power in the middle of a message: the next one waits

        def do_POST(self) -> None:
            size = self.headers.get("content-length", "")
            if not size.isdecimal() or int(size) > BYTES_MAX:
                self._answer(413)
                return
            body = self.rfile.read(int(size))
            names = ("webhook-id", "webhook-timestamp", "webhook-signature")
            id, at, signed = (self.headers.get(name, "") for name in names)
            if not genuine(secret, id, at, body, signed):
                self._answer(401)
                return
            new = books.take(json.loads(body)["events"])
            self._answer(204)  # only now: it stands in the books
            print(f"{new} events, of {id}", flush=True)

        def _answer(self, status: int) -> None:
            self.send_response(status)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    return Handler


def main() -> None:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=9000)
    parser.add_argument("--secret", required=True)
    parser.add_argument("--books", required=True, type=Path)
    given = parser.parse_args()
    books = Books(given.books)
    with HTTPServer(("127.0.0.1", given.port), handler(books, given.secret)) as server:
        print(f"ready http://127.0.0.1:{server.server_port}/", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            pass
        finally:
            books.close()


if __name__ == "__main__":
    main()
