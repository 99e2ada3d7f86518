"""The law of workflows: whatever the steps need, however they end, whoever dies meanwhile, the store does what a small
model says, and no step starts before its turn or succeeds twice."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from orchestrator.core.flows import OnFailure, Step
from orchestrator.core.policies import Isolation
from orchestrator.core.runs import Attempt, Cause, Outcome, Run, RunState
from orchestrator.store import claims, creation, endings, flow_views, instances, queries, requests
from orchestrator.store.claims import ClaimedRun, ClaimRequest
from orchestrator.store.creation import NewRun
from orchestrator.store.database import sqlite_url
from orchestrator.store.endings import Ending
from orchestrator.store.flow_rows import NewFlow, NewStep, Templates
from orchestrator.store.store import Store

pytestmark = pytest.mark.timeout(900)  # a busy machine takes its time
S = RunState
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
MOST_DEATHS = 5
FAST = Path("/dev/shm")
GOOD, BAD, NONE = S.SUCCEEDED, S.FAILED, S.SKIPPED
STOPPING, TOLERANT = OnFailure.FAIL, OnFailure.CONTINUE


@dataclass(frozen=True)
class Plot:
    """A step, and how its runs will end."""

    name: str
    needs: tuple[str, ...]
    needs_any: tuple[str, ...]
    on_failure: OnFailure
    has_when: bool
    is_final: bool
    ends: tuple[RunState, ...]
    """One for each item; of a step without items, its only one."""
    is_many: bool
    max_parallel: int | None

    @property
    def natural(self) -> RunState:
        """How the step ends if it runs."""
        if BAD in self.ends:
            return BAD
        return NONE if self.ends and GOOD not in self.ends else GOOD


@st.composite
def plots(draw: st.DrawFn, on_failure: st.SearchStrategy[OnFailure]) -> list[Plot]:
    made: list[Plot] = []
    normal, final = draw(st.integers(1, 6)), draw(st.integers(0, 2))
    for number in range(normal + final):
        is_final = number >= normal
        earlier = [one.name for one in made if one.is_final is is_final]
        needs = draw(st.lists(st.sampled_from(earlier), unique=True, max_size=3)) if earlier else []
        rest = [name for name in earlier if name not in needs]
        any_of = draw(st.lists(st.sampled_from(rest), unique=True, max_size=2)) if rest else []
        is_many = draw(st.booleans())
        has_when = draw(st.booleans())
        end = st.sampled_from([GOOD, GOOD, BAD, NONE] if has_when else [GOOD, GOOD, BAD])
        ends = draw(st.lists(end, max_size=4)) if is_many else [draw(end)]
        made.append(
            Plot(
                name=f"s{number}",
                needs=tuple(needs),
                needs_any=tuple(any_of),
                on_failure=draw(on_failure),
                has_when=has_when,
                is_final=is_final,
                ends=tuple(ends),
                is_many=is_many,
                max_parallel=draw(st.sampled_from([None, 1, 2])) if is_many else None,
            )
        )
    return made


def modelled(plot: list[Plot]) -> tuple[dict[str, RunState], RunState]:
    """How each step and the workflow end when nothing stops it: by hand, from the words of the documentation."""
    state: dict[str, RunState] = {}
    by_name = {one.name: one for one in plot}

    def fine(name: str) -> bool:
        return state[name] is GOOD or (state[name] is BAD and by_name[name].on_failure is TOLERANT)

    for one in plot:
        blocked = any(not fine(name) and not (state[name] is NONE and one.has_when) for name in one.needs)
        blocked |= bool(one.needs_any) and not any(map(fine, one.needs_any))
        state[one.name] = NONE if blocked else one.natural
    failed = any(state[one.name] is BAD and one.on_failure is not TOLERANT for one in plot)
    return state, BAD if failed else GOOD


class Stage:
    """A store with one workflow on it, and engines that come and die."""

    def __init__(self, store: Store, plot: list[Plot]) -> None:
        self.store = store
        self.plot = {one.name: one for one in plot}
        self.now = NOON
        self.owner = self._engine()
        self.successes: Counter[tuple[str | None, int | None]] = Counter()
        self.kept: set[str] = set()
        """Steps that had succeeded before a retry."""
        self.flow_id = self._begin(plot)

    def _engine(self) -> int:
        until = self.now + timedelta(days=1)
        fields: dict[str, Any] = {"host": "here", "pid": 1, "plan_path": "jobs.yaml", "wake_path": None}
        return self.store.write(instances.register, now=self.now, lease_until=until, **fields)

    def _begin(self, plot: list[Plot]) -> int:
        new = NewRun(job="flow", cause=Cause.MANUAL, created_at=self.now, due_at=self.now)
        (made,) = self.store.write(creation.create_runs, [new])
        assert made.id is not None
        (run,) = self.claim()
        steps = tuple(NewStep(step=_step(one), templates=_templates(one), items=_items(one)) for one in plot)
        begun = Ending(run_id=run.id, attempt=run.attempt, state=S.WAITING, record=None, flow=NewFlow(steps=steps))
        self.store.write(endings.settle, self.owner, [begun], self.now)
        return made.id

    def claim(self, most: int = 100) -> list[ClaimedRun]:
        self.now += timedelta(seconds=1)
        request = ClaimRequest(
            owner=self.owner,
            now=self.now,
            capacity={Isolation.PROCESS: most},
            queues=["default"],
            queue_limits={},
            job_limits={},
        )
        return self.store.write(claims.claim, request).runs

    def end(self, runs: list[ClaimedRun]) -> None:
        """End attempts as the plot says, in one transaction."""
        stored = {run.id: self.run(run.id) for run in runs}
        ends = [self._ending(run, stored[run.id]) for run in runs]
        settled = self.store.write(endings.settle, self.owner, ends, self.now)
        for run_id, state in settled.states.items():
            if state is GOOD:
                self.successes[stored[run_id].step, stored[run_id].item_index] += 1

    def _ending(self, run: ClaimedRun, stored: Run) -> Ending:
        one = self.plot[str(stored.step)]
        state = one.ends[stored.item_index or 0]
        outcome = {GOOD: Outcome.SUCCEEDED, BAD: Outcome.FAILED, NONE: Outcome.SKIPPED}[state]
        return Ending(run_id=run.id, attempt=run.attempt, state=state, record=self._record(run, outcome))

    def _record(self, run: ClaimedRun, outcome: Outcome) -> Attempt:
        return Attempt(
            run_id=run.id,
            attempt=run.attempt,
            number=run.attempt,
            outcome=outcome,
            owner=self.owner,
            started_at=self.now,
            finished_at=self.now,
        )

    def die(self, held: list[ClaimedRun]) -> None:
        """The engine is gone; another one finds it dead and queues what it held again."""
        dead, self.owner = self.owner, self._engine()
        self.store.write(instances.retire, dead, self.now)
        ends = [
            Ending(run_id=run.id, attempt=run.attempt, state=S.QUEUED, record=self._record(run, Outcome.CRASHED))
            for run in held
        ]
        self.store.write(endings.settle, dead, ends, self.now)

    def run(self, run_id: int) -> Run:
        return self.store.read(queries.get_run, run_id)

    def states(self) -> dict[str, RunState]:
        return {step.name: step.state for step in self.store.read(flow_views.list_steps, self.flow_id)}

    def check(self) -> None:
        """What holds at every moment."""
        steps = {step.name: step for step in self.store.read(flow_views.list_steps, self.flow_id)}
        ended = {name for name, step in steps.items() if step.state.finished}
        for name, step in steps.items():
            before = {*step.needs, *step.needs_any}
            if step.is_final:
                before |= {other for other, one in steps.items() if not one.is_final}
            if step.runs and name not in self.kept:
                assert before <= ended, f"{name} started before its turn"
            under_way = [run for run in step.runs if run.state in (S.QUEUED, S.RUNNING)]
            limit = self.plot[name].max_parallel
            assert limit is None or len(under_way) <= limit
        assert all(count == 1 for count in self.successes.values())
        whole = self.run(self.flow_id)
        assert whole.state.finished == (ended == set(steps))

    def play(self, data: st.DataObject) -> None:
        """Claim, end and die at random until the workflow has ended."""
        held: list[ClaimedRun] = []
        deaths = 0
        for _ in range(500):
            if self.run(self.flow_id).state.finished:
                return
            held += self.claim(data.draw(st.integers(1, 4)))
            self.check()
            assert held, "nothing can be claimed, and the workflow hasn't ended"
            if deaths < MOST_DEATHS and data.draw(st.integers(0, 9)) == 9:
                deaths += 1
                self.die(held)
                held = []
                continue
            count = data.draw(st.integers(1, len(held)))
            order = data.draw(st.permutations(held))
            self.end(order[:count])
            held = list(order[count:])
            self.check()
        raise AssertionError("it never ended")


def _step(one: Plot) -> Step:
    return Step(
        name=one.name,
        job=f"flow/{one.name}",
        needs=one.needs,
        needs_any=one.needs_any,
        on_failure=one.on_failure,
        is_final=one.is_final,
        when=one.has_when or None,
        foreach=_items(one),
        max_parallel=one.max_parallel,
    )


def _items(one: Plot) -> list[Any] | None:
    return list(range(len(one.ends))) if one.is_many else None


def _templates(one: Plot) -> Templates:
    return Templates(run=NewRun(job=f"flow/{one.name}", cause=Cause.STEP, created_at=NOON, due_at=NOON))


@cache
def empty_store() -> Path:
    """Migrations take longer than a whole story: they run once."""
    folder = Path(tempfile.mkdtemp(dir=FAST if FAST.is_dir() else None))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    Store(sqlite_url(folder / "state.db")).close()
    return folder / "state.db"


@contextmanager
def stage(plot: list[Plot]) -> Iterator[Stage]:
    folder = tempfile.mkdtemp(dir=FAST if FAST.is_dir() else None)
    shutil.copy(empty_store(), folder)
    store = Store(sqlite_url(Path(folder) / "state.db"))
    try:
        yield Stage(store, plot)
    finally:
        store.close()
        shutil.rmtree(folder)


law = settings(
    max_examples=int(os.environ.get("LAW_EXAMPLES", "15")),
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@law
@given(plots(st.sampled_from([TOLERANT, OnFailure.SKIP_DEPENDENTS])), st.data())
def test_a_workflow_ends_as_modelled(plot: list[Plot], data: st.DataObject) -> None:
    with stage(plot) as here:
        here.play(data)
        states, whole = modelled(plot)
        assert here.states() == states
        assert here.run(here.flow_id).state is whole


@law
@given(plots(st.sampled_from(list(OnFailure))), st.data())
def test_a_failure_that_stops_the_workflow_leaves_nothing_half_done(plot: list[Plot], data: st.DataObject) -> None:
    with stage(plot) as here:
        here.play(data)
        states = here.states()
        stopped = any(states[one.name] is BAD and one.on_failure is STOPPING and not one.is_final for one in plot)
        if not stopped:
            assert (states, here.run(here.flow_id).state) == modelled(plot)
            return
        assert here.run(here.flow_id).state is BAD
        expected, _ = modelled(plot)
        for one in plot:
            # What had begun ended as it would have; all else was skipped. Steps under `finally` had their turn.
            assert states[one.name] in (expected[one.name], BAD if BAD in one.ends else expected[one.name], NONE, GOOD)
            if one.is_final:
                assert states[one.name] is expected[one.name]


@law
@given(plots(st.sampled_from(list(OnFailure))), st.data())
def test_a_cancelled_workflow_runs_its_finally_steps_and_nothing_else(plot: list[Plot], data: st.DataObject) -> None:
    with stage(plot) as here:
        held = here.claim(data.draw(st.integers(1, 4)))
        if held and data.draw(st.booleans()):
            here.end(held[:1])
            held = held[1:]
        if here.run(here.flow_id).state.finished:
            return
        before = {one.name: here.states()[one.name] for one in plot}
        here.store.write(requests.cancel, here.flow_id, here.now)
        # Attempts that ran end as cancelled: their engine was asked to stop them.
        finals = {one.name for one in plot if one.is_final}
        ends = [
            Ending(run_id=run.id, attempt=run.attempt, state=S.CANCELLED, record=None)
            for run in held
            if here.run(run.id).step not in finals
        ]
        here.store.write(endings.settle, here.owner, ends, here.now)
        here.end([run for run in held if here.run(run.id).step in finals])
        for _ in range(100):
            if here.run(here.flow_id).state.finished:
                break
            running = here.claim()
            assert {here.run(run.id).step for run in running} <= finals
            here.end(running)
        assert here.run(here.flow_id).state is S.CANCELLED
        for name, state in before.items():
            if state.finished:
                assert here.states()[name] is state


@law
@given(plots(st.sampled_from(list(OnFailure))), st.data())
def test_a_retried_workflow_keeps_what_succeeded_and_ends_well(plot: list[Plot], data: st.DataObject) -> None:
    with stage(plot) as here:
        here.play(data)
        if here.run(here.flow_id).state is not BAD:
            return
        kept = {name for name, state in here.states().items() if state is GOOD and not here.plot[name].is_final}
        here.kept = kept
        done = Counter(here.successes)
        here.store.write(requests.retry, here.flow_id, here.now)
        # This time everything goes well.
        here.plot = {name: _well(one) for name, one in here.plot.items()}
        here.successes.clear()
        here.play(data)
        assert here.run(here.flow_id).state is GOOD
        again = {name for name, _ in here.successes}
        assert not kept & again
        for (name, index), count in here.successes.items():
            if not here.plot[str(name)].is_final and here.plot[str(name)].is_many and not here.plot[str(name)].needs:
                assert count + done[name, index] == 1


def _well(one: Plot) -> Plot:
    ends = tuple(GOOD if end is BAD else end for end in one.ends)
    return Plot(**{**one.__dict__, "ends": ends})
