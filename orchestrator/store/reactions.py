"""What follows from the ends of runs besides their followers: hook runs, notices, and whether a job is well again."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Connection, and_, delete, or_, select, update

from orchestrator.core.runs import RunState
from orchestrator.store.chunks import chunked
from orchestrator.store.creation import NewRun
from orchestrator.store.notices import NewNotice, post
from orchestrator.store.tables import alerts, vigils
from orchestrator.store.upserts import insert_into

FAILING = "failure"
"""The alert of a job whose last run failed; it concerns no single run."""


class Response(msgspec.Struct, frozen=True, kw_only=True):
    """Runs to create and notices to keep."""

    runs: tuple[NewRun, ...] = ()
    notices: tuple[NewNotice, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.runs or self.notices)


NOTHING = Response()


class Reaction(msgspec.Struct, frozen=True, kw_only=True):
    """What a job wants when an attempt of it ends as it did."""

    job: str
    now: Response = NOTHING
    recovered: Response = NOTHING
    """If this is a success, and the job was failing or late before."""
    tracked: bool = False
    """Whether it has alerts: it says what is to be done on recovery, or when it is late."""
    watched: bool = False
    """Whether it is to succeed every so often."""


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """A run, and the state that it goes to."""

    run_id: int
    state: RunState
    reaction: Reaction


def react(connection: Connection, ends: Sequence[Ended], now: datetime) -> list[NewRun]:
    """Do what the reactions say, in the order of the ends; gives the runs to create."""
    wanted = [end.reaction.now for end in ends if end.reaction.now]
    if tracked := [end for end in ends if end.reaction.tracked and end.state.finished]:
        wanted += [end.reaction.recovered for end in _update_alerts(connection, tracked, now)]
    if watched := {end.reaction.job for end in ends if end.reaction.watched and end.state is RunState.SUCCEEDED}:
        for chunk in chunked(sorted(watched)):
            connection.execute(update(vigils).where(vigils.c.job.in_(chunk)).values(succeeded_at=now))
    return respond(connection, wanted, now)


def respond(connection: Connection, wanted: Sequence[Response], now: datetime) -> list[NewRun]:
    """Keep the notices of some responses; gives all runs to create."""
    new = [run for response in wanted for run in response.runs]
    notices = [notice for response in wanted for notice in response.notices]
    return new + post(connection, notices, now) if notices else new


def _update_alerts(connection: Connection, ends: Sequence[Ended], now: datetime) -> list[Ended]:
    """Raise and close alerts as runs fail and succeed; gives the successes that ended any."""
    before = _open_alerts(connection, ends)
    present = set(before)
    recovered = []
    for end in ends:
        mine = {alert for alert in present if alert[0] == end.reaction.job and alert[2] in (0, end.run_id)}
        if end.state is RunState.SUCCEEDED:
            present -= mine
            if mine:
                recovered.append(end)
        else:
            present -= {alert for alert in mine if alert[2]}
            if end.state is RunState.FAILED:
                present.add((end.reaction.job, FAILING, 0))
    _close(connection, before - present)
    raise_alerts(connection, sorted(present - before), now)
    return recovered


Alert = tuple[str, str, int]
"""A job, the kind of its trouble, and the run that is concerned or 0."""


def _open_alerts(connection: Connection, ends: Sequence[Ended]) -> set[Alert]:
    """Served by the primary key."""
    found: set[Alert] = set()
    for chunk in chunked(ends):
        jobs, ids = sorted({end.reaction.job for end in chunk}), [0, *(end.run_id for end in chunk)]
        statement = select(alerts.c.job, alerts.c.kind, alerts.c.run_id).with_for_update()
        rows = connection.execute(statement.where(alerts.c.job.in_(jobs), alerts.c.run_id.in_(ids)))
        found.update((job, kind, run_id) for job, kind, run_id in rows)
    return found


def _close(connection: Connection, gone: set[Alert]) -> None:
    for chunk in chunked(sorted(gone)):
        same = [and_(alerts.c.job == job, alerts.c.kind == kind, alerts.c.run_id == run) for job, kind, run in chunk]
        connection.execute(delete(alerts).where(or_(*same)))


def raise_alerts(connection: Connection, new: Sequence[Alert], now: datetime) -> list[Alert]:
    """Note alerts; gives those that weren't there: each is raised once, however many engines look."""
    raised: list[Alert] = []
    for chunk in chunked(new):
        rows: list[dict[str, Any]] = [{"job": j, "kind": k, "run_id": r, "at": now} for j, k, r in chunk]
        insert = insert_into(alerts, connection.dialect).values(rows).on_conflict_do_nothing()
        done = connection.execute(insert.returning(alerts.c.job, alerts.c.kind, alerts.c.run_id))
        raised += [(job, kind, run_id) for job, kind, run_id in done]
    return raised
