"""Figures for Prometheus, in its text format (version 0.0.4). Few, and each one worth an alert or a graph."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ["METRICS_TYPE", "NAME", "Metric", "exposition", "till_metrics"]

METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"

# name, type, help, [(labels, value)]; a sample of another name than its metric's has that as its label __name__
Metric = tuple[str, str, str, list[tuple[dict[str, str], float]]]
NAME = "__name__"


def till_metrics(status: Mapping[str, Any], day: Mapping[str, Any] | None) -> list[Metric]:
    """What a till shows, from its status and its day report; without the day's figures where that is None."""
    peers = status["peers"]
    alarms: dict[str, int] = {}
    for alarm in status["alarms"]:
        alarms[alarm["kind"]] = alarms.get(alarm["kind"], 0) + 1
    figures: list[Metric] = [
        ("posline_entries_waiting", "gauge", "Own entries that no other device holds yet", [({}, status["waiting"])]),
        ("posline_peers_connected", "gauge", "Links that are up", [({}, sum(bool(p["connected"]) for p in peers))]),
        ("posline_peers", "gauge", "Devices that this till has or had a link with", [({}, len(peers))]),
        (
            "posline_alarms",
            "gauge",
            "What a person should look at",
            [({"kind": k}, n) for k, n in sorted(alarms.items())],
        ),
    ]
    if day is not None:
        count, total = day["sales"]["count"], day["sales"]["total"]
        figures += [
            ("posline_day_sales", "gauge", "Counted sales of the business day, all tills", [({}, count)]),
            ("posline_day_total", "gauge", "Their total in minor units", [({}, total)]),
        ]
    return figures


def exposition(metrics: Iterable[Metric]) -> str:
    """The text that a scraper reads."""
    lines: list[str] = []
    for name, kind, help, samples in metrics:
        lines += [f"# HELP {name} {help}", f"# TYPE {name} {kind}"]
        for labels, value in samples:
            marks = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels.items() if key != NAME)
            called = labels.get(NAME, name)
            lines.append(f"{called}{{{marks}}} {value}" if marks else f"{called} {value}")
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
