"""What is to be told to whom: kept in the transaction of what happened, sent by runs of the target's delivery job.

One delivery is pending for a target at a time. It is due when the oldest notice has waited long enough, or at once when
there are enough for a message; when it is claimed, it takes its notices, and they stay its own however often it fails.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy import Connection, func, select, update

from orchestrator.core.hooks import DELIVERY, Notifier, RunEvent
from orchestrator.core.policies import Isolation
from orchestrator.core.runs import Cause
from orchestrator.store.bulk import insert_rows, json_text, micros
from orchestrator.store.chunks import chunked
from orchestrator.store.creation import NewRun, create_runs
from orchestrator.store.states import is_active
from orchestrator.store.tables import notices, runs

LISTED = 1_000
"""Events that a message can tell of by name, at most; the others are counted."""


class Channel(msgspec.Struct, frozen=True, kw_only=True):
    """A notifier, and the run that is to be created when something is to be sent."""

    notifier: Notifier
    delivery: NewRun


class NewNotice(msgspec.Struct, frozen=True, kw_only=True):
    """Something to tell."""

    channel: Channel
    event: RunEvent


class _Line(msgspec.Struct, frozen=True):
    """The notices of a target that no delivery has taken: how many may be sent, and from when on the others may."""

    ready: int
    oldest: datetime | None
    next_release: datetime | None

    def due(self, size: int, wait: timedelta, now: datetime) -> datetime | None:
        """When the next message is to be sent; None if there is nothing to say."""
        if self.ready >= size:
            return now
        after_wait = max(now, self.oldest + wait) if self.oldest is not None else None
        return min((at for at in (after_wait, self.next_release) if at is not None), default=None)


def post(connection: Connection, new: Sequence[NewNotice], now: datetime) -> list[NewRun]:
    """Keep notices; gives the deliveries to create for them."""
    by_target: dict[str, list[NewNotice]] = {}
    for notice in new:
        by_target.setdefault(notice.channel.notifier.name, []).append(notice)
    found = [_post(connection, target, some, now) for target, some in by_target.items()]
    return [run for run in found if run is not None]


def take(connection: Connection, run_id: int, attempt: int, params: dict[str, Any], now: datetime) -> dict[str, Any]:
    """The parameters of a delivery that is being claimed: what it has to tell, as `event`, `events` and `count`.

    A first attempt takes what is ready and leaves the rest to another delivery; later ones tell the same again.
    """
    if "events" in params:
        return params  # a test brings its own
    target: str = params["target"]
    if attempt == 0:
        # What was held back is summed up in one message; otherwise a message has its size.
        _mark(connection, target, run_id, None if params["throttle"] else params["size"], now)
        _leave_rest(connection, target, run_id, params, now)
    listed = min(params["size"], LISTED)
    ours = notices.c.delivery_id == run_id
    events = (
        connection.execute(select(notices.c.event).where(ours).order_by(notices.c.id).limit(listed)).scalars().all()
    )
    count = connection.execute(select(func.count()).select_from(notices).where(ours)).scalar_one()
    first = events[0] if events else msgspec.to_builtins(RunEvent(kind="", job="", at=""))
    return {"event": first, "events": list(events), "count": count}


def delivery_params(notifier: Notifier) -> dict[str, Any]:
    """What a delivery has to know when it is claimed, whatever the configuration says by then."""
    return {
        "target": notifier.name,
        "size": notifier.size,
        "wait": notifier.wait.total_seconds(),
        "throttle": notifier.throttle.total_seconds() if notifier.throttle else None,
    }


def _post(connection: Connection, target: str, new: Sequence[NewNotice], now: datetime) -> NewRun | None:
    channel = new[0].channel
    _insert(connection, channel.notifier, new, now)
    due = _line(connection, target, now).due(channel.notifier.size, channel.notifier.wait, now)
    if due is None or _is_pending(connection, channel.notifier.delivery, due):
        return None
    return msgspec.structs.replace(channel.delivery, due_at=due)


def _insert(connection: Connection, notifier: Notifier, new: Sequence[NewNotice], now: datetime) -> None:
    held = _held(connection, notifier, new, now)
    insert_rows(
        connection,
        notices,
        ("target", "job", "kind", "at", "hold_until", "event"),
        [
            (
                notifier.name,
                one.event.job,
                str(one.event.kind),
                micros(now),
                micros(held.get((one.event.job, str(one.event.kind)), now)),
                json_text(one.event),
            )
            for one in new
        ],
    )


def _held(
    connection: Connection, notifier: Notifier, new: Sequence[NewNotice], now: datetime
) -> dict[tuple[str, str], datetime]:
    """Until when there is to be silence about what was told a short time ago. Served by `notices_recent`."""
    if notifier.throttle is None:
        return {}
    held: dict[tuple[str, str], datetime] = {}
    for chunk in chunked(sorted({one.event.job for one in new})):
        statement = (
            select(notices.c.job, notices.c.kind, func.max(notices.c.taken_at))
            .where(notices.c.target == notifier.name, notices.c.job.in_(chunk), notices.c.delivery_id.is_not(None))
            .where(notices.c.taken_at > now - notifier.throttle)
            .group_by(notices.c.job, notices.c.kind)
        )
        held.update(((job, kind), told + notifier.throttle) for job, kind, told in connection.execute(statement))
    return held


def _line(connection: Connection, target: str, now: datetime) -> _Line:
    """Served by `notices_open`."""
    ours = (notices.c.target == target, notices.c.delivery_id.is_(None))
    ready = select(func.count(), func.min(notices.c.at)).where(*ours, notices.c.hold_until <= now)
    count, oldest = connection.execute(ready).one()
    held = select(func.min(notices.c.hold_until)).where(*ours, notices.c.hold_until > now)
    return _Line(count, oldest, connection.execute(held).scalar())


def _is_pending(connection: Connection, delivery: str, due: datetime) -> bool:
    """Whether a delivery that has taken nothing yet is there; it is brought forward if it would be too late."""
    statement = select(runs.c.id, runs.c.due_at).where(runs.c.job == delivery, is_active, runs.c.started_at.is_(None))
    pending = connection.execute(statement.limit(1)).first()
    if pending is None:
        return False
    if pending.due_at > due:
        connection.execute(update(runs).where(runs.c.id == pending.id).values(due_at=due))
    return True


def _mark(connection: Connection, target: str, run_id: int, limit: int | None, now: datetime) -> None:
    ready = (
        select(notices.c.id)
        .where(notices.c.target == target, notices.c.delivery_id.is_(None), notices.c.hold_until <= now)
        .order_by(notices.c.id)
        .limit(limit)
    )
    connection.execute(update(notices).where(notices.c.id.in_(ready)).values(delivery_id=run_id, taken_at=now))


def _leave_rest(connection: Connection, target: str, run_id: int, params: dict[str, Any], now: datetime) -> None:
    wait = timedelta(seconds=params["wait"])
    due = _line(connection, target, now).due(params["size"], wait, now)
    if due is None or _is_pending(connection, DELIVERY + target, due):
        return
    row = connection.execute(select(runs).where(runs.c.id == run_id)).one()
    following = NewRun(
        job=row.job,
        cause=Cause(row.cause),
        created_at=now,
        due_at=due,
        queue=row.queue,
        isolation=Isolation(row.isolation),
        priority=row.priority,
        params=row.params,
    )
    create_runs(connection, [following])
