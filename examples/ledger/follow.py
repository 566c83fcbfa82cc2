"""Follows the feed of a head office into the books.

python -m examples.ledger.follow --url http://127.0.0.1:8800 --token TOKEN --books books.db [--once]
"""

from __future__ import annotations

import argparse
import http.client
import json
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

from examples.ledger.books import Books

WAIT_S = 20  # the head office answers at once when something comes, or after this long
LIMIT = 200
AGAIN_S = 2.0


def ask(url: str, token: str, path: str, query: dict[str, Any]) -> Any:
    """What the head office answers."""
    request = urllib.request.Request(
        f"{url}{path}?{urllib.parse.urlencode(query)}", headers={"authorization": f"Bearer {token}"}
    )
    with urllib.request.urlopen(request, timeout=WAIT_S + 30) as answer:
        return json.load(answer)


def follow(books: Books, url: str, token: str, *, once: bool) -> None:
    """Take page after page; with `once` until there is nothing more."""
    while True:
        after, feed = books.place(url)
        query: dict[str, Any] = {"after": after, "limit": LIMIT} | ({} if once else {"wait": WAIT_S})
        try:
            page = ask(url, token, "/api/feed", query | ({"feed": feed} if feed else {}))
        except urllib.error.HTTPError as error:
            if error.code == 409:  # the head office was put back to an older copy: what is known already is left out
                books.take([], source=url, after="0", feed="")
                continue
            if error.code < 500 or once:
                sys.exit(f"the head office refuses: {error.code} {error.read().decode(errors='replace')}")
            time.sleep(AGAIN_S)
            continue
        except (OSError, http.client.HTTPException, json.JSONDecodeError) as error:  # or it died amid its answer
            if once:
                sys.exit(f"the head office cannot be reached: {error}")
            time.sleep(AGAIN_S)
            continue
        new = books.take(page["entries"], source=url, after=page["next"], feed=page["feed"])
        if page["entries"]:
            print(f"{new} events, up to {page['next']}", flush=True)
        elif once:
            return


def main() -> None:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", required=True)
    parser.add_argument("--token", required=True)
    parser.add_argument("--books", required=True, type=Path)
    parser.add_argument("--once", action="store_true", help="stop where nothing more is there")
    given = parser.parse_args()
    books = Books(given.books)
    try:
        follow(books, given.url.rstrip("/"), given.token, once=given.once)
    except KeyboardInterrupt:
        pass
    finally:
        books.close()


if __name__ == "__main__":
    main()
