"""The tables: what is durable, and which index serves which transition."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Dialect,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    TypeDecorator,
    and_,
    false,
    or_,
)

from orchestrator.core.runs import ACTIVE, RunState
from orchestrator.store.bulk import from_micros, json_text, micros


class Instant(TypeDecorator[datetime]):
    """An aware datetime, kept as whole microseconds since 1970 UTC: exact, comparable, the same in every database."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:  # noqa: ARG002
        return micros(value)

    def process_result_value(self, value: int | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        return from_micros(value)


class Json(TypeDecorator[Any]):
    """A JSON value as text; Python's None is SQL's NULL."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:  # noqa: ARG002
        return json_text(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:  # noqa: ARG002
        return None if value is None else msgspec.json.decode(value)


# SQLite numbers rows itself only in a column of the exact type INTEGER.
_Id = BigInteger().with_variant(Integer(), "sqlite")

metadata = MetaData()

runs = Table(
    "runs",
    metadata,
    Column("id", _Id, primary_key=True, autoincrement=False),
    Column("job", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("cause", Text, nullable=False),
    Column("queue", Text, nullable=False),
    Column("isolation", Text, nullable=False),
    Column("priority", Integer, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("due_at", Instant, nullable=False),
    Column("fire_time", Instant),
    Column("parent_id", BigInteger),
    Column("params", Json),
    Column("attempt", Integer, nullable=False, default=0),
    Column("uncharged", Integer, nullable=False, default=0),
    Column("owner", BigInteger),
    Column("started_at", Instant),
    Column("finished_at", Instant),
    Column("deadline_at", Instant),
    # Microseconds from when it was due to its deadline: as long as it has again when it starts over.
    Column("time_limit", BigInteger),
    Column("cancel_requested", Boolean, nullable=False, default=False),
    Column("reason", Text),
    Column("result", Json),
    Column("progress_done", BigInteger),
    Column("progress_total", BigInteger),
    Column("rank", BigInteger, nullable=False, server_default="0"),
    Column("group_key", Text),
    Column("unique_key", Text),
    Column("unique_until", Instant),
    Column("expires_at", Instant),
    Column("flow_id", BigInteger),
    Column("step", Text),
    Column("item_index", Integer),
    Column("item", Json),
    Column("batch_id", BigInteger),
    # What it followed was retried: whatever that comes to then has followers of its own.
    Column("is_superseded", Boolean, nullable=False, default=False, server_default=false()),
    Column("result_files", Json),
)

_state = runs.c.state
may_hold_key = or_(runs.c.finished_at.is_(None), runs.c.unique_until.is_not(None))
"""The condition of `runs_unique`: a statement that has it word for word is served, however long the history is."""


def _partial(name: str, *columns: Any, where: Any, unique: bool = False) -> Index:
    return Index(name, *columns, unique=unique, sqlite_where=where, postgresql_where=where)


_partial(
    "runs_claimable",
    runs.c.queue,
    runs.c.isolation,
    runs.c.rank,
    runs.c.id,
    runs.c.job,  # a backlog of jobs that may not start is passed over without reading its rows
    where=_state == RunState.QUEUED.value,
)
_partial(
    "runs_turns",
    runs.c.queue,
    runs.c.isolation,
    runs.c.group_key,  # from key to key, where keys take turns
    runs.c.rank,
    runs.c.id,
    runs.c.job,
    where=and_(_state == RunState.QUEUED.value, runs.c.group_key.is_not(None)),
)
_partial("runs_scheduled", runs.c.due_at, where=_state == RunState.SCHEDULED.value)
_running = _state == RunState.RUNNING.value
_active = _state.in_(sorted(state.value for state in ACTIVE))
_partial("runs_running", runs.c.owner, runs.c.queue, runs.c.job, runs.c.batch_id, where=_running)
_partial("runs_active", runs.c.job, runs.c.state, runs.c.cause, where=_active)
_partial("runs_deadline", runs.c.deadline_at, where=and_(runs.c.deadline_at.is_not(None), runs.c.finished_at.is_(None)))
_partial("runs_fire", runs.c.job, runs.c.fire_time, where=runs.c.fire_time.is_not(None), unique=True)
follows = and_(runs.c.parent_id.is_not(None), runs.c.is_superseded.is_(False))
"""The condition of `runs_parent`."""
_partial("runs_parent", runs.c.parent_id, runs.c.job, where=follows, unique=True)
_partial("runs_expiring", runs.c.expires_at, where=and_(runs.c.expires_at.is_not(None), runs.c.finished_at.is_(None)))
_partial(
    "runs_unique",
    runs.c.job,
    runs.c.unique_key,
    runs.c.unique_until,
    where=and_(runs.c.unique_key.is_not(None), may_hold_key),
)
_partial("runs_flow", runs.c.flow_id, runs.c.step, runs.c.item_index, where=runs.c.flow_id.is_not(None))
_partial("runs_failed", runs.c.job, where=_state == RunState.FAILED.value)
Index("runs_history", runs.c.job, runs.c.id)

flows = Table(
    "flows",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("stopped", Text),
    Column("reason", Text),
    # A part of it is deleted already: it can't go on any more.
    Column("is_doomed", Boolean, nullable=False, default=False),
    Column("followers", Json),
    Column("reactions", Json),
    sqlite_with_rowid=False,
)

flow_steps = Table(
    "flow_steps",
    metadata,
    Column("flow_id", BigInteger, primary_key=True, autoincrement=False),
    Column("name", Text, primary_key=True),
    Column("position", Integer, nullable=False),
    Column("kind", Text, nullable=False),
    Column("needs", Json, nullable=False),
    Column("needs_any", Json, nullable=False),
    Column("on_failure", Text, nullable=False),
    Column("is_final", Boolean, nullable=False),
    Column("has_when", Boolean, nullable=False),
    Column("prepares", Boolean, nullable=False),
    Column("is_many", Boolean, nullable=False),
    Column("max_parallel", Integer),
    Column("state", Text, nullable=False),
    Column("reason", Text),
    Column("total", Integer),
    Column("ended", Integer, nullable=False),
    Column("succeeded", Integer, nullable=False),
    Column("failed", Integer, nullable=False),
    Column("started_at", Instant),
    Column("finished_at", Instant),
    Column("message", Text),
    Column("items", Json),
    Column("templates", Json, nullable=False),
)

attempts = Table(
    "attempts",
    metadata,
    Column("run_id", BigInteger, primary_key=True, autoincrement=False),
    Column("attempt", Integer, primary_key=True, autoincrement=False),
    Column("number", Integer, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("owner", BigInteger, nullable=False),
    Column("started_at", Instant, nullable=False),
    Column("finished_at", Instant, nullable=False),
    Column("worker_pid", Integer),
    Column("error", Json),
    sqlite_with_rowid=False,
)

logs = Table(
    "logs",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("run_id", BigInteger, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("at", Instant, nullable=False),
    Column("stream", Text, nullable=False),
    Column("level", Text),
    Column("text", Text, nullable=False),
)
Index("logs_run", logs.c.run_id, logs.c.id)

checkpoints = Table(
    "checkpoints",
    metadata,
    Column("run_id", BigInteger, primary_key=True, autoincrement=False),
    Column("value", Json, nullable=False),
    Column("saved_at", Instant, nullable=False),
    sqlite_with_rowid=False,
)

cursors = Table(
    "cursors",
    metadata,
    Column("job", Text, primary_key=True),
    Column("trigger", Text, primary_key=True),
    Column("fire_time", Instant, nullable=False),
    sqlite_with_rowid=False,
)

pauses = Table(
    "pauses",
    metadata,
    Column("job", Text, primary_key=True),
    Column("paused_at", Instant, nullable=False),
)

queue_pauses = Table(
    "queue_pauses",
    metadata,
    Column("queue", Text, primary_key=True),
    Column("paused_at", Instant, nullable=False),
)

starts = Table(
    "starts",
    metadata,
    Column("queue", Text, primary_key=True),
    Column("group_key", Text, primary_key=True),
    Column("at", Instant, primary_key=True),
    Column("counts_until", Instant, nullable=False),
    Column("count", Integer, nullable=False),
    sqlite_with_rowid=False,
)
Index("starts_old", starts.c.counts_until)

backfills = Table(
    "backfills",
    metadata,
    Column("job", Text, primary_key=True),
    Column("max_parallel", Integer, nullable=False),
    sqlite_with_rowid=False,
)

# The runs of limited backfills: those that are held back wait for the end of others.
backfill_runs = Table(
    "backfill_runs",
    metadata,
    Column("run_id", _Id, primary_key=True, autoincrement=False),
    Column("job", Text, nullable=False),
    Column("held", Boolean, nullable=False),
)
Index("backfill_runs_turn", backfill_runs.c.job, backfill_runs.c.held, backfill_runs.c.run_id)

# What is to be told to whom. A delivery takes its notices when it is claimed, and keeps them however often it fails.
notices = Table(
    "notices",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("target", Text, nullable=False),
    Column("job", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("at", Instant, nullable=False),
    Column("hold_until", Instant, nullable=False),
    Column("delivery_id", BigInteger),
    Column("taken_at", Instant),
    Column("event", Json, nullable=False),
)
_untaken = notices.c.delivery_id.is_(None)
_taken = notices.c.delivery_id.is_not(None)
_partial("notices_open", notices.c.target, notices.c.hold_until, where=_untaken)
_partial("notices_taken", notices.c.delivery_id, where=_taken)
_partial("notices_recent", notices.c.target, notices.c.job, notices.c.kind, notices.c.taken_at, where=_taken)

# What is wrong with a job until a success ends it: it failed, it is late. `run_id` is 0 where no single run is meant.
alerts = Table(
    "alerts",
    metadata,
    Column("job", Text, primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("run_id", BigInteger, primary_key=True, autoincrement=False),
    Column("at", Instant, nullable=False),
    sqlite_with_rowid=False,
)

# Jobs that are to succeed every so often: since when somebody looks, and when they last did.
vigils = Table(
    "vigils",
    metadata,
    Column("job", Text, primary_key=True),
    Column("since", Instant, nullable=False),
    Column("succeeded_at", Instant),
    sqlite_with_rowid=False,
)

instances = Table(
    "instances",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("host", Text, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("wake_path", Text),
    Column("started_at", Instant, nullable=False),
    Column("heartbeat_at", Instant, nullable=False),
    Column("lease_until", Instant, nullable=False),
    Column("stopped_at", Instant),
    Column("plan_path", Text, nullable=False),
    Column("config_at", Instant, nullable=False),
    Column("config_error", Text),
    sqlite_autoincrement=True,  # an id that once owned runs is never given to another engine
)

plans = Table(
    "plans",
    metadata,
    Column("id", _Id, primary_key=True, autoincrement=False),
    Column("hash", Text, nullable=False),
    Column("stored_at", Instant, nullable=False),
    Column("body", LargeBinary, nullable=False),
)

counters = Table(
    "counters",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", BigInteger, nullable=False),
)
