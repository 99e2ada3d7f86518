"""What there is to look at: runs, their attempts and logs, and how much waits where. Nothing here writes."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Connection, RowMapping, Select, func, or_, select

from orchestrator.core.errors import NotFoundError
from orchestrator.core.plan import DEFAULT_QUEUE
from orchestrator.core.runs import Attempt, LogLine, Run, RunState
from orchestrator.store.chunks import chunked
from orchestrator.store.rows import as_record
from orchestrator.store.states import is_active, is_running, literal
from orchestrator.store.tables import attempts, cursors, logs, pauses, runs


class RunFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which runs to list, newest first. Empty fields don't filter; `since` and `until` bound `created_at`."""

    jobs: Sequence[str] = ()
    states: Sequence[RunState] = ()
    queues: Sequence[str] = ()
    keys: Sequence[str] = ()
    """Of its queue's limits, or that keep it from being created twice."""
    since: datetime | None = None
    until: datetime | None = None
    before_id: int | None = None
    limit: int = 50
    steps: bool = True
    """Also runs of workflows' steps."""


def list_runs(connection: Connection, wanted: RunFilter) -> list[Run]:
    """Runs, newest first. Served by the primary key, or by `runs_history` for one job."""
    statement = _filtered(select(runs), wanted).order_by(runs.c.id.desc()).limit(wanted.limit)
    return [_run(row) for row in connection.execute(statement).mappings()]


def find_runs(connection: Connection, wanted: RunFilter) -> list[int]:
    """The ids of all such runs, oldest first; `limit` doesn't count."""
    return list(connection.execute(_filtered(select(runs.c.id), wanted).order_by(runs.c.id)).scalars())


def _filtered(statement: Select[Any], wanted: RunFilter) -> Select[Any]:
    if wanted.jobs:
        statement = statement.where(runs.c.job.in_(wanted.jobs))
    if wanted.states:
        statement = statement.where(runs.c.state.in_([literal(state) for state in wanted.states]))
    if wanted.queues:
        statement = statement.where(runs.c.queue.in_(wanted.queues))
    if wanted.keys:
        statement = statement.where(or_(runs.c.group_key.in_(wanted.keys), runs.c.unique_key.in_(wanted.keys)))
    if wanted.since:
        statement = statement.where(runs.c.created_at >= wanted.since)
    if wanted.until:
        statement = statement.where(runs.c.created_at < wanted.until)
    if not wanted.steps:
        statement = statement.where(runs.c.flow_id.is_(None))
    if wanted.before_id is not None:
        statement = statement.where(runs.c.id < wanted.before_id)
    return statement


def get_run(connection: Connection, run_id: int) -> Run:
    """One run. Raises `NotFoundError`."""
    row = connection.execute(select(runs).where(runs.c.id == run_id)).mappings().first()
    if row is None:
        raise NotFoundError(f"there is no run {run_id}; `orchestrator runs` lists them")
    return _run(row)


def get_runs(connection: Connection, run_ids: Collection[int]) -> dict[int, Run]:
    """Those of the runs that exist, by id."""
    found: dict[int, Run] = {}
    for chunk in chunked(sorted(run_ids)):
        rows = connection.execute(select(runs).where(runs.c.id.in_(chunk))).mappings()
        found.update((row["id"], _run(row)) for row in rows)
    return found


def list_attempts(connection: Connection, run_id: int) -> list[Attempt]:
    """The finished attempts of a run, oldest first."""
    statement = select(attempts).where(attempts.c.run_id == run_id).order_by(attempts.c.attempt)
    return [as_record(Attempt, row) for row in connection.execute(statement).mappings()]


def list_logs(connection: Connection, run_id: int, *, after_id: int = 0) -> list[tuple[int, LogLine]]:
    """The output of a run with each line's id, in order, later than `after_id`: what `logs -f` asks again and again."""
    statement = select(logs).where(logs.c.run_id == run_id, logs.c.id > after_id).order_by(logs.c.id)
    rows = connection.execute(statement).mappings()
    return [(row["id"], as_record(LogLine, row)) for row in rows]


def last_runs(connection: Connection, jobs: Iterable[str]) -> dict[str, Run]:
    """The newest run of each job that has one. Served by `runs_history`."""
    newest: dict[str, Run] = {}
    for chunk in chunked(sorted(jobs)):
        latest = select(func.max(runs.c.id)).where(runs.c.job.in_(chunk)).group_by(runs.c.job)
        rows = connection.execute(select(runs).where(runs.c.id.in_(latest))).mappings()
        newest.update((row["job"], _run(row)) for row in rows)
    return newest


def paused_jobs(connection: Connection) -> dict[str, datetime]:
    """Paused jobs, and since when."""
    return {row.job: row.paused_at for row in connection.execute(select(pauses))}


def read_cursors(connection: Connection) -> dict[tuple[str, str], datetime]:
    """The fire time up to which each (job, trigger) is served."""
    return {(job, trigger): at for job, trigger, at in connection.execute(select(cursors))}


def count_active(connection: Connection) -> dict[tuple[str, RunState], int]:
    """How many unfinished runs each queue has, by state."""
    statement = select(runs.c.queue, runs.c.state, func.count()).where(is_active).group_by(runs.c.queue, runs.c.state)
    return {(queue, RunState(state)): count for queue, state, count in connection.execute(statement)}


def running_of(connection: Connection, owners: Collection[int], limit: int) -> list[Run]:
    """Runs that these engines hold. Served by `runs_running`."""
    statement = select(runs).where(is_running, runs.c.owner.in_(owners)).order_by(runs.c.id).limit(limit)
    return [_run(row) for row in connection.execute(statement).mappings()]


def jobs_with_runs(connection: Connection) -> list[str]:
    """Every job that the history knows, by jumping from name to name in `runs_history`."""
    names: list[str] = []
    name = connection.execute(select(func.min(runs.c.job))).scalar()
    while name is not None:
        names.append(name)
        name = connection.execute(select(func.min(runs.c.job)).where(runs.c.job > name)).scalar()
    return names


def active_queues(connection: Connection) -> set[str]:
    """Queues that have unfinished runs, whether a plan declares them or not."""
    names = connection.execute(select(runs.c.queue).where(is_active).distinct()).scalars()
    return {DEFAULT_QUEUE, *names}


def _run(row: RowMapping) -> Run:
    fields: dict[str, Any] = {key: row[key] for key in _PLAIN}
    done = row["progress_done"]
    fields["progress"] = None if done is None else (done, row["progress_total"])
    return msgspec.convert(fields, Run)


_PLAIN = [name for name in Run.__struct_fields__ if name != "progress"]


def batches_of(connection: Connection, run_ids: Sequence[int]) -> dict[int, int]:
    """Those of the runs that are worked off together with others, each with the run that its batch is named after."""
    found: dict[int, int] = {}
    for chunk in chunked(run_ids):
        together = select(runs.c.id, runs.c.batch_id).where(runs.c.id.in_(chunk), runs.c.batch_id.is_not(None))
        found.update((run_id, leader) for run_id, leader in connection.execute(together))
    return found
