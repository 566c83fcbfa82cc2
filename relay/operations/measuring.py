"""What a process counts and measures of itself, for Prometheus. Counters and histograms of few, bounded labels.

Names keep to Prometheus's conventions: base units, `_total` for what only grows, and no label whose values grow with
the number of shops, tills or people.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
from bisect import bisect_left
from collections.abc import Sequence
from pathlib import Path

from posline.core.kinds import KINDS
from posline.storage.records import Commit
from posline.till.metrics import NAME, Metric

__all__ = ["Counter", "Histogram", "Meters", "machine_figures"]

COMMIT_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
ANSWER_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
LAG_S = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
UPDATES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
PULSE_S = 0.5  # between two looks at how late the event loop is


class Counter:
    """What only grows."""

    def __init__(self, name: str, help: str, *labels: str) -> None:
        self.name, self._help, self._labels = name, help, labels
        self._values: dict[tuple[str, ...], float] = {} if labels else {(): 0}
        self._lock = threading.Lock()

    def add(self, *values: str, by: float = 1) -> None:
        """Once more, or `by` so much; one value for each label."""
        with self._lock:
            self._values[values] = self._values.get(values, 0) + by

    def metric(self) -> Metric:
        """As it stands."""
        with self._lock:
            found = sorted(self._values.items())
        samples = [(dict(zip(self._labels, values, strict=True)), number) for values, number in found]
        return self.name, "counter", self._help, samples


class Histogram:
    """How often what was measured was how large."""

    def __init__(self, name: str, help: str, bounds: Sequence[float], *labels: str) -> None:
        self.name, self._help, self._bounds, self._labels = name, help, tuple(bounds), labels
        self._counts: dict[tuple[str, ...], list[int]] = {}
        self._sums: dict[tuple[str, ...], float] = {}
        self._lock = threading.Lock()
        if not labels:
            self._counts[()], self._sums[()] = [0] * (len(bounds) + 1), 0.0

    def observe(self, measured: float, *values: str) -> None:
        """One more; one value for each label."""
        with self._lock:
            counts = self._counts.setdefault(values, [0] * (len(self._bounds) + 1))
            counts[bisect_left(self._bounds, measured)] += 1
            self._sums[values] = self._sums.get(values, 0.0) + measured

    def metric(self) -> Metric:
        """As it stands."""
        with self._lock:
            found = [(values, list(counts), self._sums[values]) for values, counts in sorted(self._counts.items())]
        samples: list[tuple[dict[str, str], float]] = []
        for values, counts, total in found:
            labels, below = dict(zip(self._labels, values, strict=True)), 0
            for bound, count in zip((*self._bounds, "+Inf"), counts, strict=True):
                below += count
                samples.append((labels | {"le": str(bound), NAME: f"{self.name}_bucket"}, below))
            samples += [(labels | {NAME: f"{self.name}_sum"}, total), (labels | {NAME: f"{self.name}_count"}, below)]
        return self.name, "histogram", self._help, samples


class Meters:
    """All that one process of a head office counts."""

    def __init__(self) -> None:
        self.commits = Counter("posline_relay_commits_total", "Commits, by whether they stand", "outcome")
        self.commit_s = Histogram("posline_relay_commit_seconds", "How long a commit took", COMMIT_S)
        self.commit_updates = Histogram("posline_relay_commit_updates", "Updates in one commit", UPDATES)
        self.entries = Counter(
            "posline_relay_entries_total", "Entries that came in, by kind and by what became of them", "kind", "status"
        )
        self.refused = Counter(
            "posline_relay_refused_total", "Who was not let in, or was turned away, by why", "why"
        )
        self.sign_ins = Counter("posline_relay_sign_ins_total", "Tries to sign in on the pages, by outcome", "outcome")
        self.requests = Counter(
            "posline_relay_http_requests_total", "HTTP requests", "route", "method", "status"
        )
        self.request_s = Histogram(
            "posline_relay_http_request_seconds", "How long HTTP requests took until their last byte", ANSWER_S, "route"
        )
        self.loop_lag = Histogram(
            "posline_relay_event_loop_lag_seconds", "How late the event loop came to what was due", LAG_S
        )
        self.webhooks = Counter(
            "posline_relay_webhook_messages_total", "Messages to webhooks, by outcome", "outcome"
        )
        self.webhook_s = Histogram(
            "posline_relay_webhook_seconds", "How long a webhook's receiver took to answer", ANSWER_S
        )

    def metrics(self) -> list[Metric]:
        """All of them."""
        return [
            each.metric()
            for each in (
                self.commits, self.commit_s, self.commit_updates, self.entries, self.refused, self.sign_ins,
                self.requests, self.request_s, self.loop_lag, self.webhooks, self.webhook_s,
            )
        ]  # fmt: skip

    def committed(self, seconds: float, updates: int, stands: bool) -> None:
        """The engine tried to commit."""
        self.commits.add("stands" if stands else "failed")
        if stands:
            self.commit_s.observe(seconds)
            self.commit_updates.observe(updates)

    def came_in(self, commit: Commit) -> None:
        """A commit brought entries, or others count than before."""
        for each in commit.changes:
            change = each.change
            if change.before is None:
                self.entries.add(change.kind if change.kind in KINDS else "other", change.status.value)

    async def pulse(self) -> None:
        """Look for ever how late the event loop is."""
        loop = asyncio.get_running_loop()
        while True:
            due_s = loop.time() + PULSE_S
            await asyncio.sleep(PULSE_S)
            self.loop_lag.observe(max(0.0, loop.time() - due_s))


def machine_figures() -> list[Metric]:
    """What the system says of this process, under the names that every Prometheus client gives it."""
    cpu_s = time.process_time()
    found: list[Metric] = [
        ("process_cpu_seconds_total", "counter", "User and system CPU time", [({}, round(cpu_s, 3))]),
    ]  # fmt: skip
    if not sys.platform.startswith("linux"):
        return found
    page, ticks = os.sysconf("SC_PAGE_SIZE"), os.sysconf("SC_CLK_TCK")
    said = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    booted = next(int(line.split()[1]) for line in Path("/proc/stat").read_text().splitlines() if line[:6] == "btime ")
    gauges = [
        ("process_resident_memory_bytes", "Memory that it has", int(said[21]) * page),
        ("process_virtual_memory_bytes", "Memory that it asked for", int(said[20])),
        ("process_start_time_seconds", "When it started, since 1970", booted + int(said[19]) / ticks),
        ("process_open_fds", "Files and sockets that are open", len(os.listdir("/proc/self/fd"))),  # noqa: PTH208
        ("process_threads", "Threads", int(said[17])),
    ]
    import resource

    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    gauges.append(("process_max_fds", "Files and sockets that it may open", soft))
    return found + [(name, "gauge", help, [({}, value)]) for name, help, value in gauges]
