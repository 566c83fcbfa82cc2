"""Prints the balances of the books; with a head office's address, beside its own accounting. Exits 1 if they differ.

python -m examples.ledger.balances --books books.db [--url http://127.0.0.1:8800 --token TOKEN]
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from examples.ledger.books import Books
from examples.ledger.follow import ask


def main() -> None:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--books", required=True, type=Path)
    parser.add_argument("--url")
    parser.add_argument("--token")
    given = parser.parse_args()
    books = Books(given.books)
    ours = books.balances()
    books.close()
    theirs = ours
    if given.url:
        found = ask(given.url.rstrip("/"), given.token, "/api/accounting", {})
        theirs = {line["what"]: line["debit"] - line["credit"] for line in found["journal"]}
    for what in sorted({*ours, *theirs}):
        mark = "" if ours.get(what, 0) == theirs.get(what, 0) else f"   the head office says {theirs.get(what, 0)}"
        print(f"{what:40} {ours.get(what, 0):>16}{mark}")
    print(f"{'debits less credits':40} {sum(ours.values()):>16}")
    sys.exit(ours != theirs or sum(ours.values()) != 0)


if __name__ == "__main__":
    main()
