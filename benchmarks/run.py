"""`make bench`: every question, one after the other; writes results.md and results.json beside this file.

python -m benchmarks.run [ring] [backlog] [history] [report] [search] [page] [prices]
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable

from benchmarks import backlog, history, page, prices, report, ring, search
from benchmarks.figures import Answer, table, write

QUESTIONS: dict[str, Callable[[], Awaitable[Answer]]] = {
    "ring": ring.answer,
    "backlog": backlog.answer,
    "history": history.answer,
    "report": report.answer,
    "search": search.answer,
    "page": page.answer,
    "prices": prices.answer,
}


async def ask(names: list[str]) -> list[Answer]:
    """Run the scripts named, showing each answer as it comes."""
    answers = []
    for name in names:
        print(f"... {name}", file=sys.stderr, flush=True)
        answers.append(await QUESTIONS[name]())
        print(table(answers[-1]), flush=True)
    return answers


def main(names: list[str]) -> int:
    """The command."""
    if unknown := set(names) - set(QUESTIONS):
        print(f"no such benchmark: {', '.join(sorted(unknown))}; there are {', '.join(QUESTIONS)}", file=sys.stderr)
        return 2
    answers = asyncio.run(ask(names or list(QUESTIONS)))
    if not names:
        write(answers)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
