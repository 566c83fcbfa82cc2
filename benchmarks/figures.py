"""What a benchmark answers: figures beside a baseline of the same run, and how they are written down.

Absolute figures depend on the machine; ratios to a baseline measured in the same minute, turn about, hardly do.
"""

from __future__ import annotations

import json
import math
import os
import platform
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent


def scale() -> float:
    """POSLINE_BENCH_SCALE shrinks every amount, to try the scripts out; 1 is the real thing."""
    return float(os.environ.get("POSLINE_BENCH_SCALE", "1"))


def scaled(amount: int, least: int = 1) -> int:
    """`amount` under `scale()`."""
    return max(least, round(amount * scale()))


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of a table. `ratio` is `value` to `baseline`, whichever way round `better` says is better."""

    what: str
    value: float
    unit: str
    baseline: float | None = None
    baseline_what: str = ""
    goal: str = ""

    @property
    def ratio(self) -> float | None:
        return self.value / self.baseline if self.baseline else None


@dataclass
class Answer:
    """What a script found out."""

    question: str
    how: str
    figures: list[Figure] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that `share` of the values do not exceed."""
    ranked = sorted(values)
    return ranked[max(0, math.ceil(len(ranked) * share) - 1)]


def median(values: Sequence[float]) -> float:
    """Of the rounds."""
    return statistics.median(values)


def machine() -> dict[str, Any]:
    """What it ran on."""
    from posline.storage.connection import version

    return {
        "cores": os.cpu_count(),
        "cpu": _cpu(),
        "memory_gib": _memory_gib(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "sqlite": version(),
    }


def _cpu() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _memory_gib() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (ValueError, OSError, AttributeError):
        return None


def show(value: float) -> str:
    """Three significant digits, and no more."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.2f}" if value < 10 else f"{value:.1f}"


def table(answer: Answer) -> str:
    """An answer in Markdown."""
    lines = [f"## {answer.question}", "", answer.how, ""]
    lines += ["| | measured | baseline | ratio | goal |", "|---|---:|---:|---:|---|"]
    for figure in answer.figures:
        baseline = "" if figure.baseline is None else f"{show(figure.baseline)} {figure.unit} {figure.baseline_what}"
        ratio = "" if figure.ratio is None else show(figure.ratio)
        lines.append(f"| {figure.what} | {show(figure.value)} {figure.unit} | {baseline} | {ratio} | {figure.goal} |")
    lines += [""] + [f"- {note}" for note in answer.notes]
    return "\n".join(lines).rstrip() + "\n"


def write(answers: Sequence[Answer], folder: Path = HERE) -> None:
    """results.md for people, results.json for programs."""
    about = machine()
    described = ", ".join(f"{name} {value}" for name, value in about.items())
    head = (
        "# Benchmarks\n\nWritten by `make bench`. Each figure stands beside a baseline measured in the same run, "
        f"turn about with it; figures are medians of the rounds.\n\nMachine: {described}."
        + ("" if scale() == 1 else f"\n\n**Scaled down to {scale():g}: no figure here is to be quoted.**")
        + "\n\n"
    )
    (folder / "results.md").write_text(head + "\n".join(table(answer) for answer in answers))
    found = [asdict(answer) for answer in answers]
    for answer, held in zip(answers, found, strict=True):
        for figure, row in zip(answer.figures, held["figures"], strict=True):
            row["ratio"] = figure.ratio
    (folder / "results.json").write_text(
        json.dumps({"machine": about, "scale": scale(), "answers": found}, indent=1) + "\n"
    )
