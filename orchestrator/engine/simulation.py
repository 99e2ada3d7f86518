"""What would a period look like? Every fire, overlap, catch-up and queue depth, in seconds for a year.

The decisions are the engine's own: its beats give the fire times, `new_run`, `why_skipped` and `serve_missed` what
becomes of each, `Followers` what comes after. Only waiting and execution are modelled (`simulated_lanes`, and
`simulated_flows` for jobs made of steps): a run takes the time it is said to take, and succeeds. Time jumps from one
event to the next.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import count

import msgspec

from orchestrator.core.flows import Step, StepKind
from orchestrator.core.plan import Plan
from orchestrator.core.policies import Overlap
from orchestrator.core.runs import Cause, RunState
from orchestrator.engine.beats import Beat, Member, gather, time_triggers
from orchestrator.engine.misfires import look_back, serve_missed
from orchestrator.engine.newruns import Followers, new_run
from orchestrator.engine.simulated_flows import OpenFlow
from orchestrator.engine.simulated_lanes import OVER, RUNNING, Lanes, SimulatedRun
from orchestrator.store.creation import NewRun, why_skipped

DEFAULT_DURATION = timedelta(seconds=1)


class Scenario(msgspec.Struct, frozen=True, kw_only=True):
    """What to simulate."""

    begin: datetime
    end: datetime
    durations: Mapping[str, timedelta] = {}
    """How long a run of a job takes."""
    otherwise: timedelta = DEFAULT_DURATION
    """How long one of any other job takes."""
    downtimes: Sequence[tuple[datetime, datetime]] = ()
    """When no engine works; what runs then may finish, and what waits goes on waiting. Ascending, apart."""
    seed: int = 0
    """Of the jitter."""


class Happening(msgspec.Struct, frozen=True, kw_only=True):
    """A run that came to be, or a fire that did not become one."""

    at: datetime
    job: str
    cause: Cause
    fire_time: datetime | None
    due_at: datetime
    outcome: str
    """`runs`, `waits` (for room, or for what runs), `put off` (by jitter), `replaces`, or `skipped`."""
    reason: str | None
    depth: int
    """How many runs wait in its queue afterwards."""


class JobFigures(msgspec.Struct, kw_only=True):
    """A job's share of the simulation."""

    fires: int = 0
    """Fire times in the period, those that nothing served included."""
    runs: int = 0
    skipped: int = 0
    caught_up: int = 0
    replaced: int = 0
    finished: int = 0
    first: datetime | None = None
    last: datetime | None = None
    longest_wait: timedelta = timedelta(0)
    """From when a run was due to its start."""

    def saw(self, at: datetime) -> None:
        """Something of the job was at this time."""
        self.first = self.first or at
        self.last = at

    def passed(self, at: datetime) -> None:
        """A run of the job, for which there was nothing to execute."""
        self.saw(at)
        self.runs += 1
        self.finished += 1


class QueueFigures(msgspec.Struct, kw_only=True):
    """A queue's."""

    deepest: int = 0
    deepest_at: datetime | None = None
    left: int = 0
    """What still waits when the period ends."""


class Simulated(msgspec.Struct, kw_only=True):
    """What the period came to."""

    jobs: dict[str, JobFigures]
    queues: dict[str, QueueFigures]


class Simulation:
    """One period of a plan, as if its engine were started for the first time when it begins."""

    def __init__(self, plan: Plan, scenario: Scenario, tell: Callable[[Happening], None] | None = None) -> None:
        """`tell` hears of every run and skip, in order."""
        self._plan = plan
        self._scenario = scenario
        self._tell = tell
        self._random = random.Random(scenario.seed)  # noqa: S311 - it spreads load, and is to be repeatable
        self._followers = Followers(plan)
        self._lanes = Lanes(plan)
        self._order = count()
        self._heap: list[tuple[datetime, int, Callable[[datetime], None]]] = []
        self._beats: list[tuple[datetime, int, Beat]] = []
        self._all_beats: list[Beat] = []
        self._active: dict[str, list[SimulatedRun]] = {}
        self._flows: dict[SimulatedRun, OpenFlow] = {}
        self._parts: dict[SimulatedRun, tuple[OpenFlow, Step]] = {}
        self._works = True
        self._jobs = {name: JobFigures() for name in plan.jobs}
        self._queues: dict[str, QueueFigures] = {}

    def run(self) -> Simulated:
        """Simulate the period."""
        begin, end = self._scenario.begin, self._scenario.end
        keys = {(job.name, key) for job, _, key in time_triggers(self._plan)}
        self._all_beats = gather(self._plan, dict.fromkeys(keys, begin))
        for beat in self._all_beats:
            self._push(beat, beat.after(begin))
        for gone, back in self._scenario.downtimes:
            self._at(gone, self._go_down)
            self._at(back, self._come_back)
        self._start_jobs(begin)
        self._step(begin)
        while (at := self._next()) is not None and at < end:
            self._step(at)
        for name, depth in self._lanes.depths.items():
            self._queues.setdefault(name, QueueFigures()).left = depth
        return Simulated(jobs=self._jobs, queues=self._queues)

    def _next(self) -> datetime | None:
        nexts = [self._heap[0][0]] if self._heap else []
        if self._beats:
            nexts.append(self._beats[0][0])
        if self._works and (at := self._lanes.next_start) is not None:
            nexts.append(at)
        return min(nexts, default=None)

    def _step(self, now: datetime) -> None:
        """Everything of one instant: what ends first, then what is due, then what can start."""
        while self._heap and self._heap[0][0] <= now:
            heapq.heappop(self._heap)[2](now)
        while self._beats and self._beats[0][0] <= now:
            beat = heapq.heappop(self._beats)[2]
            self._fire(beat, now)
        if self._works:
            self._start_waiting(now)

    def _at(self, at: datetime, action: Callable[[datetime], None]) -> None:
        heapq.heappush(self._heap, (at, next(self._order), action))

    def _push(self, beat: Beat, at: datetime | None) -> None:
        beat.next = at
        if at is not None:
            heapq.heappush(self._beats, (at, next(self._order), beat))

    def _fire(self, beat: Beat, now: datetime) -> None:
        for member in beat.members:
            self._jobs[member.job.name].fires += 1
            if self._works:
                member.cursor = now
                delay = member.jitter * self._random.random() if member.jitter else member.jitter
                self._create(new_run(member.job, Cause.FIRE, now, fire_time=now, delay=delay), now)
        self._push(beat, beat.after(now))

    def _start_jobs(self, now: datetime) -> None:
        for job in self._plan.jobs.values():
            if job.enabled and job.on_start:
                self._create(new_run(job, Cause.START, now), now)

    def _go_down(self, _now: datetime) -> None:
        self._works = False

    def _come_back(self, now: datetime) -> None:
        """The engine starts again: each trigger is owed what passed since its cursor."""
        self._works = True
        for beat in self._all_beats:
            for member in beat.members:
                self._catch_up(beat, member, now)
        self._start_jobs(now)

    def _catch_up(self, beat: Beat, member: Member, now: datetime) -> None:
        missed = look_back(beat, member.cursor, now)
        if missed is None:
            return
        for new in serve_missed(beat, member, missed, now, timedelta(0)):
            self._create(new, now)
        member.cursor = missed.newest
        beat.anchor = missed.newest

    def _create(self, new: NewRun, now: datetime) -> None:
        """What `create_runs` would make of it."""
        figures = self._jobs[new.job]
        reason = why_skipped(new, self._active)
        figures.saw(new.fire_time or now)
        if reason is not None:
            figures.skipped += 1
            self._report(new, now, "skipped", reason)
            return
        figures.caught_up += new.cause is Cause.CATCH_UP
        replaces = new.overlap is Overlap.REPLACE and new.job in self._active
        if replaces:
            self._replace(new.job, now)
        run = self._admit(new)
        if new.due_at > now:
            self._at(new.due_at, lambda _: self._lanes.put(run))
            self._report(new, now, "put off", None)
            return
        self._lanes.put(run)
        self._start_waiting(now)
        outcome = "replaces" if replaces else "runs" if run.state is RUNNING else "waits"
        self._report(new, now, outcome, None)

    def _admit(self, new: NewRun) -> SimulatedRun:
        run = SimulatedRun(next(self._order), new)
        self._jobs[new.job].runs += 1
        self._active.setdefault(new.job, []).append(run)
        return run

    def _start_waiting(self, now: datetime) -> None:
        while self._works and (started := self._lanes.start(now)):
            for run in started:
                figures = self._jobs[run.new.job]
                figures.longest_wait = max(figures.longest_wait, now - run.new.due_at)
                self._begin(run, now)

    def _begin(self, run: SimulatedRun, now: datetime) -> None:
        name = run.new.job
        steps = self._plan.jobs[name].steps
        if steps:
            self._lanes.step_aside(run)
        if steps and name not in self._scenario.durations:
            flow = self._flows[run] = OpenFlow(run, self._plan.jobs[name])
            self._go_on(flow, now)
            return
        lasts = self._scenario.durations.get(name, self._scenario.otherwise)
        self._at(now + lasts, lambda at: self._end(run, at))

    def _go_on(self, flow: OpenFlow, now: datetime) -> None:
        for step in flow.starting():
            if step.kind in (StepKind.SLEEP, StepKind.APPROVE):
                # Whoever is asked approves at once; nobody executes either of them.
                self._jobs[step.job].passed(now)
                self._at(now + step.pause, lambda at, step=step: self._step_over(flow, step, at))  # type: ignore[misc]
                continue
            job = self._plan.jobs[step.sub_job if step.kind is StepKind.JOB else step.job]
            run = self._admit(new_run(job, Cause.STEP, now))
            self._jobs[job.name].saw(now)
            self._parts[run] = flow, step
            flow.parts.add(run)
            self._lanes.put(run)
        if flow.is_over:
            self._end(flow.run, now)

    def _step_over(self, flow: OpenFlow, step: Step, now: datetime) -> None:
        if flow.run.state is not OVER:
            flow.ended(step)
            self._go_on(flow, now)

    def _end(self, run: SimulatedRun, now: datetime) -> None:
        if run.state is OVER:
            return
        self._lanes.leave(run)
        self._forget(run)
        self._jobs[run.new.job].finished += 1
        if part := self._parts.pop(run, None):
            part[0].parts.discard(run)
            self._step_over(*part, now)
        for follower in self._followers.of(run.new.job, RunState.SUCCEEDED, now):
            self._create(follower, now)

    def _replace(self, job: str, now: datetime) -> None:
        for run in list(self._active[job]):
            self._drop(run, now)
            self._jobs[job].replaced += 1

    def _drop(self, run: SimulatedRun, now: datetime) -> None:
        """End a run early, and the steps it is made of."""
        parts = self._flows[run].parts if run in self._flows else ()
        if run.state is RUNNING:
            self._lanes.leave(run)
        elif run.new.due_at <= now:
            self._lanes.withdraw(run)
        else:
            run.state = OVER
        self._forget(run)
        for part in parts:
            self._parts.pop(part, None)
            self._drop(part, now)

    def _forget(self, run: SimulatedRun) -> None:
        self._flows.pop(run, None)
        active = self._active[run.new.job]
        active.remove(run)
        if not active:
            del self._active[run.new.job]

    def _report(self, new: NewRun, now: datetime, outcome: str, reason: str | None) -> None:
        depth = self._lanes.depths[new.queue]
        queue = self._queues.get(new.queue)
        if queue is None:
            queue = self._queues[new.queue] = QueueFigures()
        if depth > queue.deepest:
            queue.deepest, queue.deepest_at = depth, now
        if self._tell is None:
            return
        self._tell(
            Happening(
                at=now,
                job=new.job,
                cause=new.cause,
                fire_time=new.fire_time,
                due_at=new.due_at,
                outcome=outcome,
                reason=reason,
                depth=depth,
            )
        )
