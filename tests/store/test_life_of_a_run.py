"""The law of a run's life: whatever engines and people do, in any order, the store does what a small model says."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from sqlalchemy import select

from orchestrator.core.errors import ConflictError
from orchestrator.core.plan import DEFAULT_AGING
from orchestrator.core.policies import Isolation, Overlap
from orchestrator.core.runs import ACTIVE, Attempt, Cause, Outcome, RunState
from orchestrator.store import claims, creation, endings, expiry, instances, pauses, queries, queues, requests
from orchestrator.store.claims import ClaimRequest
from orchestrator.store.creation import NewRun
from orchestrator.store.database import sqlite_url
from orchestrator.store.endings import Ending
from orchestrator.store.grabs import Grab
from orchestrator.store.store import Store
from orchestrator.store.tables import attempts, runs

S = RunState
FAST = Path("/dev/shm")
"""A thousand commits of a story needn't reach a disk: what reaches it is another test's subject."""
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
QUEUE_OF = {"alone": "default", "pair": "mail", "newest": "default", "free": "mail", "child": "default"}
OVERLAP_OF = {"alone": Overlap.SKIP, "newest": Overlap.REPLACE}
JOB_LIMITS = {"alone": 1, "pair": 2}
QUEUE_LIMITS = {"mail": 3, "default": 4}
TRIGGERED = [job for job in QUEUE_OF if job != "child"]
LEGAL = {
    None: {S.SCHEDULED, S.QUEUED, S.SKIPPED, S.RUNNING},
    # One claim may do both: what is due is queued, and what is queued starts.
    S.SCHEDULED: {S.QUEUED, S.RUNNING, S.CANCELLED, S.FAILED, S.SKIPPED},
    S.QUEUED: {S.RUNNING, S.CANCELLED, S.FAILED, S.SKIPPED},
    S.RUNNING: {S.SCHEDULED, S.QUEUED, S.SUCCEEDED, S.FAILED, S.CANCELLED},
}
RELEASE = (S.QUEUED, Outcome.RELEASED)
VERDICTS = [
    (S.SUCCEEDED, Outcome.SUCCEEDED),
    (S.FAILED, Outcome.FAILED),
    (S.CANCELLED, Outcome.CANCELLED),
    (S.SCHEDULED, Outcome.FAILED),
    (S.QUEUED, Outcome.CRASHED),
    RELEASE,
]


@dataclass
class Life:
    """A run, as the model has it."""

    id: int
    job: str
    state: RunState
    due_at: datetime
    priority: int = 0
    fire_time: datetime | None = None
    parent_id: int | None = None
    superseded: bool = False
    """Its parent has been retried."""
    deadline_at: datetime | None = None
    expires_at: datetime | None = None
    since: datetime = NOON
    """Since when it stands in line: a retry by policy keeps its place."""
    attempt: int = 0
    charged: int = 0
    owner: int | None = None
    cancel_requested: bool = False
    records: list[tuple[int, int, Outcome]] = field(default_factory=list)

    @property
    def rank(self) -> tuple[datetime, int]:
        return self.since - self.priority * DEFAULT_AGING, self.id

    def due_now(self, now: datetime) -> None:
        """Somebody makes it due: its place in line moves by as much as its due time."""
        self.since += now - self.due_at
        self.state, self.due_at = S.QUEUED, now


@dataclass(frozen=True)
class Claim:
    """What an engine believes to hold; it may long be wrong."""

    run_id: int
    attempt: int
    owner: int
    number: int


class RunsLive(RuleBasedStateMachine):
    """Engines and people at work on one store."""

    template: Path

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="life-", dir=FAST if FAST.is_dir() else None))
        shutil.copy(self.template, self.folder / "orchestrator.db")
        self.store = Store(sqlite_url(self.folder / "orchestrator.db"))
        self.now = NOON
        self.runs: dict[int, Life] = {}
        self.claims: list[Claim] = []
        self.paused: set[str] = set()
        self.paused_queues: set[str] = set()
        self.owners: list[int] = []
        self.dead: list[int] = []
        self.retried: int | None = None
        self.before: dict[int, tuple[RunState, int]] = {}

    def teardown(self) -> None:
        self.store.close()
        shutil.rmtree(self.folder)

    # Engines come and go.

    @initialize()
    def two_engines(self) -> None:
        self.owners = [self._register(), self._register()]

    def _register(self) -> int:
        fields: dict[str, Any] = {"host": "here", "pid": 1, "plan_path": "jobs.yaml", "wake_path": None}
        lease = self.now + timedelta(seconds=30)
        return self.store.write(instances.register, now=self.now, lease_until=lease, **fields)

    @rule(which=st.integers(0, 1))
    def an_engine_is_taken_for_dead(self, which: int) -> None:
        owner = self.owners[which]
        self.store.write(instances.retire, owner, self.now)
        assert not self.store.write(instances.heartbeat, owner, self.now, self.now)
        self.owners[which] = self._register()
        assert self.owners[which] > owner
        self.dead.append(owner)

    @precondition(lambda self: self.dead)
    @rule()
    def the_dead_are_recovered(self) -> None:
        holding = {life.owner for life in self.runs.values() if life.state is S.RUNNING} & set(self.dead)
        assert set(self.store.read(instances.orphan_owners)) == holding
        for owner in holding:
            held = self.store.read(queries.running_of, [owner], 100)
            ends = []
            for run in held:
                claim = Claim(run.id, run.attempt, owner, run.charged)
                ends.append(self._ending(claim, S.QUEUED, Outcome.CRASHED))
            settled = self.store.write(endings.settle, owner, ends, self.now)
            assert settled.states == {end.run_id: self._apply(end, owner) for end in ends}

    # Time passes.

    @rule(seconds=st.sampled_from([1, 5, 30]))
    def time_passes(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    @rule()
    def deadlines_are_looked_at(self) -> None:
        overdue = {
            life.id
            for life in self.runs.values()
            if life.state in (S.SCHEDULED, S.QUEUED) and life.deadline_at is not None and life.deadline_at <= self.now
        }
        assert {run.id for run in self.store.write(claims.expire, self.now)} == overdue
        for run_id in overdue:
            self.runs[run_id].state = S.FAILED

    @rule()
    def what_expires_is_looked_at(self) -> None:
        expired = {
            life.id
            for life in self.runs.values()
            if life.state in (S.SCHEDULED, S.QUEUED) and life.expires_at is not None and life.expires_at <= self.now
        }
        assert {run_id for run_id, _ in self.store.write(expiry.skip_expired, self.now)} == expired
        for run_id in expired:
            self.runs[run_id].state = S.SKIPPED

    # Runs come to be.

    @rule(
        jobs=st.lists(st.sampled_from(TRIGGERED), min_size=1, max_size=3, unique=True),
        ago=st.integers(0, 3),
        which=st.integers(0, 1),
        room=st.sampled_from([0, 0, 1, 5]),
    )
    def schedules_fire(self, jobs: list[str], ago: int, which: int, room: int) -> None:
        fire_time = NOON + (self.now - NOON) // timedelta(seconds=5) * timedelta(seconds=5) - ago * timedelta(seconds=5)
        # An engine knows of pauses, and creates what it must not start as skipped.
        jobs = [job for job in jobs if job not in self.paused]
        fires = [self._new(job, Cause.FIRE, fire_time=fire_time, overlap=OVERLAP_OF.get(job)) for job in jobs]
        self._create(fires, self.owners[which] if room else None, room)

    @rule(
        job=st.sampled_from(TRIGGERED),
        priority=st.integers(-1, 1),
        delay=st.sampled_from([0, 0, 7]),
        ends=st.sampled_from([{}, {}, {"deadline_at": 20}, {"expires_at": 10}]),
    )
    def somebody_enqueues(self, job: str, priority: int, delay: int, ends: dict[str, int]) -> None:
        ends_at = {name: self.now + timedelta(seconds=seconds) for name, seconds in ends.items()}
        due_at = self.now + timedelta(seconds=delay)
        self._create([self._new(job, Cause.MANUAL, priority=priority, due_at=due_at, **ends_at)])

    def _new(self, job: str, cause: Cause, **fields: Any) -> NewRun:
        fields["overlap"] = fields.get("overlap") or Overlap.ALLOW
        return NewRun(
            **{"job": job, "cause": cause, "created_at": self.now, "due_at": self.now, "queue": QUEUE_OF[job], **fields}
        )

    def _create(self, new: list[NewRun], owner: int | None = None, room: int = 0) -> None:
        capacity = {Isolation.PROCESS: room}
        grab = Grab(owner=owner, now=self.now, capacity=capacity, queue_limits=QUEUE_LIMITS) if owner else None
        created = self.store.write(creation.create_runs, new, (), grab)
        lines = {QUEUE_OF[life.job] for life in self.runs.values() if life.state is S.QUEUED}
        for run, made in zip(new, created, strict=True):
            idle = not any(life.job == run.job and life.state in ACTIVE for life in self.runs.values())
            self._born(run, made, created_running=made.owner is not None)
            if made.id is not None and run.due_at <= self.now:
                life = self.runs[made.id]
                closed = run.queue in lines or run.queue in self.paused_queues
                may_start = room > 0 and idle and not closed and self._has_room(life)
                assert (made.owner, made.state is S.RUNNING) == ((owner, True) if may_start else (None, False))
                if may_start:
                    assert owner is not None
                    room -= 1
                    self._start(life, 1, owner)

    def _born(self, new: NewRun, made: creation.Created, *, created_running: bool = False) -> None:
        same_job = [life for life in self.runs.values() if life.job == new.job]
        twin = any(
            (new.fire_time is not None and life.fire_time == new.fire_time)
            or (new.parent_id is not None and life.parent_id == new.parent_id and not life.superseded)
            for life in same_job
        )
        assert (made.id is None) == twin
        if made.id is None:
            return
        assert made.id > max(self.runs, default=0)
        unfinished = [life for life in same_job if life.state in ACTIVE]
        state = S.QUEUED if new.due_at <= self.now else S.SCHEDULED
        if new.overlap is Overlap.SKIP and unfinished:
            state = S.SKIPPED
        elif new.overlap is Overlap.REPLACE:
            for life in unfinished:
                if life.state is S.RUNNING:
                    life.cancel_requested = True
                else:
                    life.state = S.CANCELLED
        assert made.state is (S.RUNNING if created_running else state)
        self.runs[made.id] = Life(
            made.id,
            new.job,
            state,
            new.due_at,
            priority=new.priority,
            fire_time=new.fire_time,
            parent_id=new.parent_id,
            deadline_at=new.deadline_at,
            expires_at=new.expires_at,
            since=new.due_at,
        )

    # Runs start.

    @rule(which=st.integers(0, 1), room=st.integers(0, 6), turn=st.booleans())
    def an_engine_claims(self, which: int, room: int, turn: bool) -> None:
        owner = self.owners[which]
        queues = ["default", "mail"] if turn else ["mail", "default"]
        request = ClaimRequest(
            owner=owner,
            now=self.now,
            capacity={Isolation.PROCESS: room},
            queues=queues,
            queue_limits=QUEUE_LIMITS,
            job_limits=JOB_LIMITS,
            listen=True,
        )
        claimed = self.store.write(claims.claim, request)
        self._promote()
        claimed_ids = [run.id for run in claimed.runs]
        startable = {life.id: life for life in self.runs.values() if self._may_start(life)}
        assert len(set(claimed_ids)) == len(claimed_ids) <= room
        assert set(claimed_ids) <= set(startable)
        for run in claimed.runs:
            self._start(self.runs[run.id], run.attempt, owner)
        self._nobody_was_passed_over([self.runs[run_id] for run_id in claimed_ids], startable)
        if room and not claimed_ids:
            assert not any(self._has_room(life) for life in startable.values())
        due = [life.due_at for life in self.runs.values() if life.state is S.SCHEDULED]
        assert claimed.next_due == min(due, default=None)
        assert claimed.wishes is not None
        assert claimed.wishes.paused == self.paused
        asked = {(run_id, attempt) for run_id, attempt, _ in claimed.wishes.cancels}
        assert asked == {
            (life.id, life.attempt) for life in self.runs.values() if life.owner == owner and life.cancel_requested
        }

    @precondition(lambda self: self.runs)
    @rule(which=st.integers(0, 1), pick=st.integers(0, 99))
    def one_run_is_started_in_the_foreground(self, which: int, pick: int) -> None:
        life = self._any(pick)
        if not self._has_room(life):
            return  # who asks for one run goes over the limits; the invariant below is about engines
        owner = self.owners[which]
        request = ClaimRequest(
            owner=owner,
            now=self.now,
            capacity={Isolation.PROCESS: 1},
            queues=[],
            queue_limits={},
            job_limits={},
            only_run=life.id,
        )
        claimed = self.store.write(claims.claim, request).runs
        self._promote()
        ready = life.state is S.QUEUED or (life.state is S.SCHEDULED and life.attempt == 0)
        assert [run.id for run in claimed] == ([life.id] if ready else [])
        if ready:
            self._start(life, claimed[0].attempt, owner)

    def _promote(self) -> None:
        for life in self.runs.values():
            if life.state is S.SCHEDULED and life.due_at <= self.now:
                life.state = S.QUEUED

    def _may_start(self, life: Life) -> bool:
        overdue = any(at is not None and at <= self.now for at in (life.deadline_at, life.expires_at))
        held_back = life.job in self.paused or QUEUE_OF[life.job] in self.paused_queues
        return life.state is S.QUEUED and not held_back and not overdue

    def _start(self, life: Life, attempt: int, owner: int) -> None:
        assert attempt == life.attempt + 1
        life.state, life.owner, life.attempt, life.cancel_requested = S.RUNNING, owner, attempt, False
        life.expires_at = None
        life.charged += 1
        self.claims.append(Claim(life.id, attempt, owner, life.charged))

    def _has_room(self, life: Life) -> bool:
        running = [other for other in self.runs.values() if other.state is S.RUNNING]
        queue, job = QUEUE_OF[life.job], life.job
        in_queue = sum(QUEUE_OF[other.job] == queue for other in running)
        of_job = sum(other.job == job for other in running)
        return in_queue < QUEUE_LIMITS[queue] and of_job < JOB_LIMITS.get(job, 99)

    def _nobody_was_passed_over(self, started: list[Life], startable: dict[int, Life]) -> None:
        """Of a queue and among jobs that still have room, what waits comes after what was started."""
        left = [life for life in startable.values() if life.state is S.QUEUED]
        for life in left:
            if JOB_LIMITS.get(life.job) is None or self._has_room(life):
                for other in started:
                    assert QUEUE_OF[other.job] != QUEUE_OF[life.job] or other.rank < life.rank

    # Attempts end.

    @precondition(lambda self: self.claims)
    @rule(
        picks=st.lists(st.integers(0, 99), min_size=1, max_size=4),
        verdict=st.sampled_from(VERDICTS),
        pause=st.integers(0, 9),
        follow=st.booleans(),
        true=st.booleans(),
    )
    def attempts_end(
        self,
        picks: list[int],
        verdict: tuple[RunState, Outcome],
        pause: int,
        follow: bool,
        true: bool,
    ) -> None:
        # What is not true any more: attempts that ended, or that were recovered while their engine was taken for dead.
        believed = [claim for claim in self.claims if true and self._is_true(claim)] or self.claims
        told = {(claim := believed[-1 - pick % len(believed)]).run_id: claim for pick in picks}
        owner = next(iter(told.values())).owner
        due_at = self.now + timedelta(seconds=pause) if verdict[0] is S.SCHEDULED else None
        ends = [self._ending(claim, *verdict, due_at=due_at, follow=follow) for claim in told.values()]
        settled = self.store.write(endings.settle, owner, ends, self.now)
        expected = {}
        followed = []
        for end in ends:
            if (state := self._apply(end, owner)) is not None:
                expected[end.run_id] = state
                followed += [(run, end.run_id) for run in end.followers if state.finished and state is end.state]
        assert settled.states == expected
        assert len(settled.created) == len(followed)
        for (run, parent), made in zip(followed, settled.created, strict=True):
            self._born(self._new(run.job, Cause.AFTER, parent_id=parent), made)

    @precondition(lambda self: any(life.state is S.RUNNING and life.attempt > 1 for life in self.runs.values()))
    @rule(pick=st.integers(0, 99), verdict=st.sampled_from(VERDICTS))
    def an_earlier_attempt_ends_late(self, pick: int, verdict: tuple[RunState, Outcome]) -> None:
        stale = [
            (claim, life)
            for claim in self.claims
            if (life := self.runs[claim.run_id]).state is S.RUNNING and claim.attempt < life.attempt
        ]
        claim, life = stale[pick % len(stale)]
        assert life.owner is not None
        settled = self.store.write(endings.settle, life.owner, [self._ending(claim, *verdict)], self.now)
        assert settled.states == {}

    @precondition(lambda self: any(life.state is S.RUNNING for life in self.runs.values()))
    @rule(pick=st.integers(0, 99), verdict=st.sampled_from(VERDICTS))
    def an_engine_ends_what_is_another_s(self, pick: int, verdict: tuple[RunState, Outcome]) -> None:
        running = [life for life in self.runs.values() if life.state is S.RUNNING]
        life = running[pick % len(running)]
        (claim,) = [claim for claim in self.claims if (claim.run_id, claim.attempt) == (life.id, life.attempt)]
        other = next(owner for owner in self.owners if owner != life.owner)
        settled = self.store.write(endings.settle, other, [self._ending(claim, *verdict)], self.now)
        assert settled.states == {}

    def _ending(
        self, claim: Claim, state: RunState, outcome: Outcome, due_at: datetime | None = None, follow: bool = False
    ) -> Ending:
        record = Attempt(
            run_id=claim.run_id,
            attempt=claim.attempt,
            number=claim.number,
            outcome=outcome,
            owner=claim.owner,
            started_at=self.now,
            finished_at=self.now,
        )
        return Ending(
            run_id=claim.run_id,
            attempt=claim.attempt,
            state=state,
            record=record,
            due_at=due_at,
            charged=outcome is not Outcome.RELEASED,
            followers=(self._new("child", Cause.AFTER),) if follow else (),
        )

    def _is_true(self, claim: Claim) -> bool:
        life = self.runs[claim.run_id]
        return (life.state, life.attempt, life.owner) == (S.RUNNING, claim.attempt, claim.owner)

    def _apply(self, end: Ending, owner: int) -> RunState | None:
        """What the model makes of an ending: the state that the run goes to, or None if it doesn't count."""
        life = self.runs[end.run_id]
        if (life.state, life.attempt, life.owner) != (S.RUNNING, end.attempt, owner):
            return None
        life.state = end.state
        if life.cancel_requested and not end.state.finished:
            life.state = S.CANCELLED
        elif end.due_at is not None:
            life.due_at = end.due_at
        life.owner = None
        assert end.record is not None
        life.records.append((end.attempt, end.record.number, end.record.outcome))
        if not end.charged:
            life.charged -= 1
        return life.state

    # People ask.

    @precondition(lambda self: self.runs)
    @rule(pick=st.integers(0, 99), sensible=st.booleans())
    def somebody_cancels(self, pick: int, sensible: bool) -> None:
        life = self._any(pick, [life for life in self.runs.values() if sensible and life.state in ACTIVE])
        if life.state not in ACTIVE:
            with pytest.raises(ConflictError):
                self.store.write(requests.cancel, life.id, self.now)
            return
        running = life.state is S.RUNNING
        left = self.store.write(requests.cancel, life.id, self.now)
        life.cancel_requested = life.cancel_requested or running
        life.state = S.RUNNING if running else S.CANCELLED
        assert left is life.state

    @precondition(lambda self: self.runs)
    @rule(pick=st.integers(0, 99), sensible=st.booleans())
    def somebody_retries(self, pick: int, sensible: bool) -> None:
        done = [life for life in self.runs.values() if sensible and life.state not in ACTIVE]
        life = self._any(pick, [life for life in done if life.attempt] or done)
        if life.state in ACTIVE:
            with pytest.raises(ConflictError):
                self.store.write(requests.retry, life.id, self.now)
            return
        self.store.write(requests.retry, life.id, self.now)
        life.due_now(self.now)
        life.deadline_at, life.expires_at, life.charged = None, None, 0
        life.cancel_requested = False
        self.retried = life.id
        for child in self.runs.values():
            child.superseded |= child.parent_id == life.id

    @rule(job=st.sampled_from(sorted(QUEUE_OF)))
    def somebody_pauses_or_resumes(self, job: str) -> None:
        if job in self.paused:
            assert self.store.write(requests.resume, job, self.now)
        else:
            assert self.store.write(requests.pause, job, self.now)
        self.paused ^= {job}

    @rule(queue=st.sampled_from(sorted(QUEUE_LIMITS)))
    def somebody_pauses_or_resumes_a_queue(self, queue: str) -> None:
        if queue in self.paused_queues:
            assert self.store.write(pauses.resume_queue, queue)
        else:
            assert self.store.write(pauses.pause_queue, queue, self.now)
        self.paused_queues ^= {queue}

    @precondition(lambda self: self.runs)
    @rule(pick=st.integers(0, 99), sensible=st.booleans())
    def somebody_promotes(self, pick: int, sensible: bool) -> None:
        life = self._any(pick, [life for life in self.runs.values() if sensible and life.state is S.SCHEDULED])
        done = self.store.write(requests.promote, [life.id], self.now)
        assert done == ({life.id: S.QUEUED} if life.state is S.SCHEDULED else {})
        if done:
            life.due_now(self.now)

    @precondition(lambda self: self.runs)
    @rule(picks=st.lists(st.integers(0, 99), min_size=1, max_size=3), priority=st.integers(-1, 2))
    def somebody_reprioritises(self, picks: list[int], priority: int) -> None:
        lives = {life.id: life for life in (self._any(pick) for pick in picks)}
        done = self.store.write(requests.reprioritise, list(lives), priority, {})
        waiting = {life.id: life.state for life in lives.values() if life.state in (S.SCHEDULED, S.QUEUED)}
        assert done == waiting
        for run_id in waiting:
            lives[run_id].priority = priority

    @precondition(lambda self: self.runs)
    @rule(queue=st.sampled_from(sorted(QUEUE_LIMITS)), delayed=st.booleans())
    def somebody_drains_a_queue(self, queue: str, delayed: bool) -> None:
        drained = [S.QUEUED, S.SCHEDULED] if delayed else [S.QUEUED]
        gone = {life.id for life in self.runs.values() if life.state in drained and QUEUE_OF[life.job] == queue}
        assert self.store.read(queues.count_waiting, queue, delayed=delayed) == len(gone)
        newest, count = self.store.read(queues.newest_id), 0
        while some := self.store.write(queues.drain, queue, newest, self.now, delayed=delayed):
            count += some
        assert count == len(gone)
        for run_id in gone:
            self.runs[run_id].state = S.CANCELLED

    def _any(self, pick: int, wanted: list[Life] | None = None) -> Life:
        """One of the wanted runs; where there is none, any: the newest are the likeliest."""
        lives = sorted(wanted or self.runs.values(), key=lambda life: -life.id)
        return lives[pick % len(lives)]

    # What always holds.

    @invariant()
    def the_store_is_as_the_model_says(self) -> None:
        rows = self.store.read(_everything)
        c = {name: index for index, name in enumerate(_COLUMNS)}
        assert {row[0] for row in rows} == set(self.runs)
        for row in rows:
            life = self.runs[row[0]]
            believed = (life.job, life.state, life.attempt, life.attempt - life.charged, life.owner, life.due_at)
            assert (
                row[c["job"]],
                RunState(row[c["state"]]),
                row[c["attempt"]],
                row[c["uncharged"]],
                row[c["owner"]],
                row[c["due_at"]],
            ) == believed
            if life.state is S.RUNNING:
                assert row[c["cancel_requested"]] is life.cancel_requested
            assert (row[c["finished_at"]] is None) == (life.state in ACTIVE)
            assert (row[c["owner"]] is None) == (life.state is not S.RUNNING)

    @invariant()
    def every_change_of_state_is_legal_and_attempts_only_grow(self) -> None:
        after = {life.id: (life.state, life.attempt) for life in self.runs.values()}
        for run_id, (state, attempt) in after.items():
            was, attempts_before = self.before.get(run_id, (None, 0))
            if run_id == self.retried:
                assert was not in ACTIVE
                assert state is S.QUEUED
            elif was is not None and was not in ACTIVE:
                assert state is was
            elif state is not was:
                assert state in LEGAL[was]
            assert attempt == attempts_before + (1 if state is S.RUNNING and was is not S.RUNNING else 0)
        self.before, self.retried = after, None

    @invariant()
    def no_limit_is_ever_exceeded(self) -> None:
        running = [life for life in self.runs.values() if life.state is S.RUNNING]
        for queue, limit in QUEUE_LIMITS.items():
            assert sum(QUEUE_OF[life.job] == queue for life in running) <= limit
        for job, limit in JOB_LIMITS.items():
            assert sum(life.job == job for life in running) <= limit

    @invariant()
    def every_ended_attempt_is_recorded_once(self) -> None:
        kept: dict[int, list[tuple[int, int, Outcome]]] = {run_id: [] for run_id in self.runs}
        for run_id, *rest in self.store.read(_every_attempt):
            kept[run_id].append((rest[0], rest[1], Outcome(rest[2])))
        assert kept == {life.id: life.records for life in self.runs.values()}

    @invariant()
    def a_fire_and_a_parent_have_one_run_of_a_job(self) -> None:
        for key in ("fire_time", "parent_id"):
            current = [life for life in self.runs.values() if key == "fire_time" or not life.superseded]
            pairs = [(life.job, getattr(life, key)) for life in current if getattr(life, key) is not None]
            assert len(pairs) == len(set(pairs))


_COLUMNS = ("id", "job", "state", "attempt", "uncharged", "owner", "due_at", "cancel_requested", "finished_at")


def _everything(connection: Any) -> list[Any]:
    return list(connection.execute(select(*(runs.c[name] for name in _COLUMNS))).all())


def _every_attempt(connection: Any) -> list[Any]:
    c = attempts.c
    return list(connection.execute(select(c.run_id, c.attempt, c.number, c.outcome).order_by(c.run_id, c.attempt)))


@pytest.fixture(scope="module", autouse=True)
def template(tmp_path_factory: pytest.TempPathFactory) -> None:
    """An empty store to copy: making one anew for every story would cost more than the story."""
    RunsLive.template = tmp_path_factory.mktemp("template") / "orchestrator.db"
    Store(sqlite_url(RunsLive.template)).close()


TestLifeOfARun = RunsLive.TestCase
TestLifeOfARun.settings = settings(
    max_examples=40,
    stateful_step_count=40,
    deadline=None,
    derandomize=True,  # the same stories every time: what a new one finds belongs to who looks for it
    phases=[Phase.generate],  # a story on a real file is too slow to be made short within a test's time
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
