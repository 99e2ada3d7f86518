"""What is there to know of a queue: what the store holds of it, beside what jobs.yaml says."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec

from orchestrator.client.place import Place
from orchestrator.core.keys import template_text
from orchestrator.core.policies import Order, RateLimit
from orchestrator.core.runs import RunState
from orchestrator.core.units import format_duration

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Connection

    from orchestrator.core.plan import Plan, Queue
    from orchestrator.store.queues import KeyDepth

KEYS_SHOWN = 10


class RateReport(msgspec.Struct, frozen=True, kw_only=True):
    """A rate limit, and what of it is used up."""

    limit: str
    used: int
    next_start: datetime | None
    """When one more may start; None if it may now."""


class PerKeyReport(msgspec.Struct, frozen=True, kw_only=True):
    """What the keys of a queue may do."""

    by: str
    concurrency: int | None
    rate_limit: str | None


class QueueReport(msgspec.Struct, frozen=True, kw_only=True):
    """A queue as `queue list --json` prints it. What jobs.yaml says is null where that can't be read."""

    name: str
    paused_since: datetime | None
    runs: dict[RunState, int]
    """Unfinished ones, by state."""
    oldest_due: datetime | None
    """Since when the oldest queued run has been due."""
    declared: bool
    concurrency: int | None = None
    order: Order | None = None
    rate: RateReport | None = None
    per_key: PerKeyReport | None = None
    keys: list[KeyDepth] | None = None
    """Those of which most waits; only in `queue show`."""


def known_plan(place: Place) -> Plan | None:
    """The plan by jobs.yaml as it is now; none if that can't be read: `orchestrator validate` says why."""
    if not place.config.is_file():
        return None
    from orchestrator.client.compile import load_project

    return load_project(place.config, inspect=False).plan


def report_queues(connection: Connection, declared: Mapping[str, Queue], now: datetime) -> list[QueueReport]:
    """Every queue that is declared, has unfinished runs, or is paused."""
    from orchestrator.store import pauses, queries, queues

    active = queries.count_active(connection)
    oldest = queues.oldest_queued(connection)
    paused = pauses.paused_queues(connection)
    return [
        QueueReport(
            name=name,
            paused_since=paused.get(name),
            runs={state: count for (queue, state), count in sorted(active.items()) if queue == name},
            oldest_due=oldest.get(name),
            **_declared(connection, declared.get(name), now),
        )
        for name in sorted({*declared, *paused, *(queue for queue, _ in active)})
    ]


def with_keys(connection: Connection, report: QueueReport) -> QueueReport:
    """The report, with the keys of which most waits."""
    from orchestrator.store import queues

    return msgspec.structs.replace(report, keys=queues.deepest_keys(connection, report.name, KEYS_SHOWN))


def rate_text(rate: RateLimit | None) -> str | None:
    """A rate as it is written in jobs.yaml."""
    return None if rate is None else f"{rate.count}/{format_duration(rate.period)}"


def _declared(connection: Connection, queue: Queue | None, now: datetime) -> dict[str, Any]:
    if queue is None:
        return {"declared": False}
    per_key = queue.per_key
    return {
        "declared": True,
        "concurrency": queue.concurrency,
        "order": queue.order,
        "rate": _rate(connection, queue.name, queue.rate_limit, now),
        "per_key": None
        if per_key is None
        else PerKeyReport(
            by=template_text(per_key.by), concurrency=per_key.concurrency, rate_limit=rate_text(per_key.rate_limit)
        ),
    }


def _rate(connection: Connection, name: str, rate: RateLimit | None, now: datetime) -> RateReport | None:
    if rate is None:
        return None
    from orchestrator.store import starts

    used, next_start = starts.usage(connection, name, rate, now)
    return RateReport(limit=rate_text(rate) or "", used=used, next_start=next_start)
