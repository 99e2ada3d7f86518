"""A real SQLite store, and short words for what engines and people do with it. Time is what the test says."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from orchestrator.core.policies import Isolation
from orchestrator.core.runs import Attempt, Cause, Outcome, Run, RunState
from orchestrator.store import claims, creation, endings, instances, queries, requests
from orchestrator.store.claims import Claimed, ClaimedRun, ClaimRequest
from orchestrator.store.creation import Created, CursorMove, NewRun
from orchestrator.store.database import sqlite_url
from orchestrator.store.endings import Ending, Settled
from orchestrator.store.store import Store
from orchestrator.store.tables import runs

NOON = datetime(2026, 3, 2, 12, 0, 0, tzinfo=UTC)
OUTCOMES = {RunState.SUCCEEDED: Outcome.SUCCEEDED, RunState.CANCELLED: Outcome.CANCELLED}


class Ledger:
    """A store at `now`."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.now = NOON

    def later(self, **delta: float) -> datetime:
        self.now += timedelta(**delta)
        return self.now

    def at(self, **delta: float) -> datetime:
        return self.now + timedelta(**delta)

    def engine(self, **fields: Any) -> int:
        """Register an engine; gives the owner id of what it claims."""
        known = {"host": "here", "pid": 1, "plan_path": "jobs.yaml", "wake_path": None}
        lease = {"now": self.now, "lease_until": self.at(seconds=30)}
        return self.store.write(instances.register, **{**known, **lease, **fields})

    def new(self, job: str = "tidy", **fields: Any) -> NewRun:
        """A run to create; due now unless it says otherwise."""
        fire_time = fields.get("fire_time")
        cause = Cause.MANUAL if fire_time is None else Cause.FIRE
        return NewRun(**{"job": job, "cause": cause, "created_at": self.now, "due_at": self.now, **fields})

    def create(self, *new: NewRun, moves: tuple[CursorMove, ...] = ()) -> list[Created]:
        return self.store.write(creation.create_runs, new, moves)

    def queued(self, job: str = "tidy", **fields: Any) -> int:
        """Create one run; gives its id."""
        (created,) = self.create(self.new(job, **fields))
        assert created.id is not None
        return created.id

    def request(self, owner: int, **fields: Any) -> ClaimRequest:
        limits: dict[str, Any] = {"queue_limits": {}, "job_limits": {}}
        room: dict[str, Any] = {"capacity": {Isolation.PROCESS: 100}, "queues": ["default"]}
        return ClaimRequest(**{"owner": owner, "now": self.now, **room, **limits, **fields})

    def claim(self, owner: int, **fields: Any) -> Claimed:
        return self.store.write(claims.claim, self.request(owner, **fields))

    def take(self, owner: int, **fields: Any) -> ClaimedRun:
        """Claim exactly one run."""
        (run,) = self.claim(owner, **fields).runs
        return run

    def running(self, owner: int, job: str = "tidy", **fields: Any) -> ClaimedRun:
        """Create a run and claim it."""
        return self.take(owner, only_run=self.queued(job, **fields))

    def ending(self, run: ClaimedRun, owner: int, state: RunState = RunState.SUCCEEDED, **fields: Any) -> Ending:
        """The end of an attempt; `record=None` for one that never started."""
        released = not fields.get("charged", True)
        failed = Outcome.RELEASED if released else Outcome.FAILED
        record = Attempt(
            run_id=run.id,
            attempt=run.attempt,
            number=run.attempt - run.uncharged,
            outcome=OUTCOMES.get(state, failed),
            owner=owner,
            started_at=self.now,
            finished_at=self.now,
            worker_pid=4711,
        )
        return Ending(**{"run_id": run.id, "attempt": run.attempt, "state": state, "record": record, **fields})

    def settle(self, owner: int, *ends: Ending) -> Settled:
        return self.store.write(endings.settle, owner, ends, self.now)

    def end(self, run: ClaimedRun, owner: int, state: RunState = RunState.SUCCEEDED, **fields: Any) -> Settled:
        return self.settle(owner, self.ending(run, owner, state, **fields))

    def cancel(self, run_id: int) -> RunState:
        return self.store.write(requests.cancel, run_id, self.now)

    def retry(self, run_id: int) -> None:
        self.store.write(requests.retry, run_id, self.now)

    def run(self, run_id: int) -> Run:
        return self.store.read(queries.get_run, run_id)

    def states(self) -> dict[int, RunState]:
        found = self.store.read(queries.list_runs, queries.RunFilter(limit=100_000))
        return {run.id: run.state for run in reversed(found)}

    def attempts(self, run_id: int) -> list[tuple[int, int, Outcome]]:
        """(fence number, number to a person, outcome) of each finished attempt."""
        found = self.store.read(queries.list_attempts, run_id)
        return [(attempt.attempt, attempt.number, attempt.outcome) for attempt in found]

    def in_state(self, state: RunState, owner: int, job: str = "tidy") -> int:
        """A run that got to `state` as runs do."""
        match state:
            case RunState.WAITING:
                run_id = self.queued(job)
                self.store.write(lambda c: c.execute(update(runs).where(runs.c.id == run_id).values(state="waiting")))
                return run_id
            case RunState.SCHEDULED:
                return self.queued(job, due_at=self.at(hours=1))
            case RunState.QUEUED:
                return self.queued(job)
            case RunState.RUNNING:
                return self.running(owner, job).id
            case RunState.SKIPPED:
                return self.queued(job, skip_reason="the job is paused")
        run = self.running(owner, job)
        self.end(run, owner, state)
        return run.id


@pytest.fixture
def store_url(tmp_path: Path) -> str:
    return sqlite_url(tmp_path / "var" / "orchestrator.db")


@pytest.fixture
def ledger(store_url: str) -> Iterator[Ledger]:
    store = Store(store_url)
    yield Ledger(store)
    store.close()
