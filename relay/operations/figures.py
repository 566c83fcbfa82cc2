"""What a head office shows a monitor: its process's counters, and what stands now. No question here grows with history.

`docs/operations.md` says what each figure means; the board and the alerts in `examples/operations` ask for them.
"""

from __future__ import annotations

import asyncio
import json
import platform
from collections import Counter
from collections.abc import Callable
from typing import Any

from posline.storage.renewal import RULES
from posline.sync.link import Link
from posline.sync.moods import Mood
from posline.till.machine import installed_version
from posline.till.metrics import Metric
from relay.operations.measuring import machine_figures
from relay.relay import Relay
from relay.webhooks import Progress, Subscription

__all__ = ["BACKUP", "DRILL", "figures", "last_of", "links_by_kind"]

BACKUP, DRILL = "last backup", "last drill"  # notes of the office: {at_ms, ...} in JSON
KINDS = ("till", "head office", "program", "unknown", "other")


async def figures(relay: Relay) -> list[Metric]:
    """All of them, now."""
    found = [*_links(relay), *relay.meters.metrics(), *machine_figures()]
    return found + await asyncio.to_thread(_asked, relay)


def links_by_kind(relay: Relay) -> dict[str, int]:
    """How many links this process has, by who is at the other end."""
    counted = Counter(_kind(link) for link in _all(relay))
    return {kind: counted[kind] for kind in KINDS}


def last_of(relay: Relay, note: str) -> dict[str, Any]:
    """What was noted of the last backup, or drill; {} where there was none."""
    said = relay.office.note(note)
    return dict(json.loads(said)) if said else {}


def _all(relay: Relay) -> list[Link]:
    hub = relay.engine.hub
    return [link for shop in hub.linked_shops() for link in hub.links(shop)]


def _kind(link: Link) -> str:
    if link.mood is Mood.STOCK:
        return "program"
    if not link.greeted:
        return "unknown"
    return link.peer.kind if link.peer.kind in KINDS[:2] else "other"


def _links(relay: Relay) -> list[Metric]:
    """What only the event loop may look at."""
    hub, links = relay.engine.hub, _all(relay)
    staged = sum(len(replica.staged) for replica in hub.staged)
    return [
        (
            "posline_relay_links", "gauge", "Links that are up in this process, by who is at the other end",
            [({"kind": kind}, count) for kind, count in links_by_kind(relay).items()],
        ),
        ("posline_relay_hosted_tills", "gauge", "Hosted tills that are open in this process", [({}, len(relay.tills))]),
        ("posline_relay_shops_linked", "gauge", "Shops with a link here", [({}, len(hub.linked_shops()))]),
        (
            "posline_relay_acknowledged_total", "counter", "Updates that came in and were acknowledged",
            [({}, hub.tally.acknowledged)],
        ),
        (
            "posline_relay_refused_updates_total", "counter", "Updates that came in and were refused",
            [({}, hub.tally.refused)],
        ),
        (
            "posline_relay_waiting_bytes", "gauge", "What waits to be sent on links",
            [({}, sum(link.waiting_bytes for link in links))],
        ),
        ("posline_relay_waiting_updates", "gauge", "Updates that wait to be committed", [({}, staged)]),
        ("posline_relay_ready", "gauge", "Whether it takes traffic", [({}, int(not relay.draining.is_set()))]),
        ("posline_relay_feed_readers", "gauge", "Who waits for the feed's next event", [({}, relay.arrivals.waiting)]),
    ]  # fmt: skip


def _asked(relay: Relay) -> list[Metric]:
    """What the database is asked for."""
    shops = relay.office.database.execute("SELECT count(*) FROM office_shop WHERE removed_ms = 0").fetchone()[0]
    backup, drill = last_of(relay, BACKUP), last_of(relay, DRILL)
    build = {
        "version": installed_version() or "0", "rules": str(RULES), "python": platform.python_version(),
        "database": "postgresql" if relay.home.shared else "sqlite",
    }  # fmt: skip
    return [
        ("posline_relay_build_info", "gauge", "Which version runs here", [(build, 1)]),
        ("posline_relay_shops", "gauge", "Shops that are attached", [({}, shops)]),
        ("posline_relay_feed_end", "gauge", "The number of the feed's last event", [({}, relay.feed.end())]),
        (
            "posline_relay_feed_waiting", "gauge", "Events that wait for their number",
            [({}, relay.home.waiting(relay.store))],
        ),
        (
            "posline_relay_last_backup_timestamp_seconds", "gauge", "When the last backup was made; 0 for never",
            [({}, backup.get("at_ms", 0) / 1000)],
        ),
        (
            "posline_relay_last_drill_timestamp_seconds", "gauge", "When a restore was last tried; 0 for never",
            [({}, drill.get("at_ms", 0) / 1000)],
        ),
        (
            "posline_relay_last_drill_ok", "gauge", "Whether that found nothing wrong",
            [({}, int(bool(drill.get("ok", False))))],
        ),
        *_webhooks(relay),
        *relay.home.figures(relay.store),
    ]  # fmt: skip


def _webhooks(relay: Relay) -> list[Metric]:
    """Who is off, behind, or does not take something. By id: an address may say more than a monitor should know."""
    found, end = [(one, relay.webhooks.progress(one.id)) for one in relay.webhooks.listed()], relay.feed.end()
    dead = relay.webhooks.dead_counts()
    told: tuple[tuple[str, str, Callable[[Subscription, Progress], float]], ...] = (
        ("active", "Whether it is told", lambda one, at: int(one.active)),
        ("behind", "Events of the feed that it has not heard, wanted or not", lambda one, at: max(0, end - at.at)),
        (
            "lag_seconds", "How long ago it had heard all there was; 0 where another process sends",
            lambda one, at: round(relay.lag_s(one.id), 3) if one.active else 0,
        ),
        ("tries", "How often its next message was sent in vain", lambda one, at: at.tries),
        ("given_up", "Events that it did not take", lambda one, at: dead.get(one.id, 0)),
    )  # fmt: skip
    return [
        (f"posline_relay_webhook_{name}", "gauge", help, [({"webhook": one.id}, of(one, at)) for one, at in found])
        for name, help, of in told
        if found
    ]
