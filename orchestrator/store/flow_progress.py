"""How workflows go on: every transaction that ends runs of steps says so here, and what comes next is in the same one.

A workflow's steps start, are skipped or end by what is in its own rows; when all have ended, so does the workflow,
which may be a step of another. A crash between two transactions leaves nothing half done.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Connection, select, update

from orchestrator.core.runs import RunState
from orchestrator.store import flow_rows
from orchestrator.store.creation import Created, NewRun, create_runs
from orchestrator.store.flow_consequences import follow_flow
from orchestrator.store.flow_halts import Halt, halt
from orchestrator.store.flow_results import FlowResult, flow_result
from orchestrator.store.flow_rows import FlowRow, StepRow, Templates
from orchestrator.store.flow_rules import CONDITION_REASON, failure_of, outcome, readiness, settled_state, stops_flow
from orchestrator.store.flow_starts import Expansion, runs_of
from orchestrator.store.states import QUEUED, is_waiting
from orchestrator.store.tables import flows, runs
from orchestrator.store.timing import counted_from

_FAILURES = (RunState.FAILED, RunState.CANCELLED)


class StepEnd(msgspec.Struct, frozen=True, kw_only=True):
    """A run of a step that has ended, in the transaction that goes on."""

    flow_id: int
    step: str
    item_index: int | None
    state: RunState
    reason: str | None = None
    result: Any = None
    began: bool = True
    """It was not an item that waited for others to end."""


class FlowEnd(msgspec.Struct, frozen=True, kw_only=True):
    """A workflow that has ended."""

    run_id: int
    job: str
    state: RunState
    reason: str | None


class Advanced(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it: the runs that were created, and the workflows that ended."""

    created: list[Created] = []
    ended: list[FlowEnd] = []


def advance(
    connection: Connection,
    now: datetime,
    *,
    ends: Iterable[StepEnd] = (),
    begun: Collection[int] = (),
    halts: Iterable[Halt] = (),
) -> Advanced:
    """Go on with the workflows whose runs ended, that have just begun, or that are to stop."""
    progress = _Progress(connection, now, list(ends), set(begun), list(halts))
    while progress.has_work:
        progress.round()
    return Advanced(created=progress.created, ended=progress.ended)


def ends_of(rows: Iterable[Any], state: RunState, reason: str | None) -> list[StepEnd]:
    """The ends of those runs, given as rows with `flow_id`, `step` and `item_index`, that are steps' runs."""
    return [
        StepEnd(flow_id=row.flow_id, step=row.step, item_index=row.item_index, state=state, reason=reason)
        for row in rows
        if row.flow_id is not None and row.step is not None
    ]


class _Progress:
    """Rounds, because the end of one workflow may be the end of a step of another."""

    def __init__(
        self, connection: Connection, now: datetime, ends: list[StepEnd], begun: set[int], halts: list[Halt]
    ) -> None:
        self._connection = connection
        self._now = now
        self._ends = ends
        self._begun = begun
        self._halts = halts
        self.created: list[Created] = []
        self.ended: list[FlowEnd] = []

    @property
    def has_work(self) -> bool:
        return bool(self._ends or self._begun or self._halts)

    def round(self) -> None:
        """Note what happened, decide what comes next, and write both."""
        ends, begun, halts = self._ends, self._begun, self._halts
        self._ends, self._begun, self._halts = [], set(), []
        ids = {end.flow_id for end in ends} | begun | {one.flow_id for one in halts}
        found = flow_rows.load_flows(self._connection, ids)
        expansions = [e for end in ends if end.flow_id in found and (e := self._note(found[end.flow_id], end))]
        for one in halts:
            if one.flow_id in found:
                self._halt(found[one.flow_id], one)
        for flow in found.values():
            self._stop_if_failed(flow)
        new = [run for flow in found.values() for run in self._decide(flow, expansions)]
        self._create(new)
        flow_rows.save_steps(self._connection, (step for flow in found.values() for step in flow.changed))
        for flow in found.values():
            self._finish_if_over(flow)

    def _note(self, flow: FlowRow, end: StepEnd) -> Expansion | None:
        """Count an end; gives what to create where it was a preparation."""
        step = flow.steps[end.step]
        if step.has_ended:
            return None
        if step.prepares and end.item_index is None:
            if end.state is RunState.SUCCEEDED:
                return Expansion(flow_id=flow.id, step=step.name, prepared=end.result)
            self._end_step(step, end.state, end.reason)
            return None
        step.ended += 1
        if end.state is RunState.SUCCEEDED:
            step.succeeded += 1
        elif end.state in _FAILURES:
            step.reason = step.reason if step.failed else _of_item(step, end)
            step.failed += 1
        elif not step.failed:
            step.reason = end.reason
        if step.ended == step.total:
            state = settled_state(step) if step.is_many else end.state
            self._end_step(step, state, None if state is RunState.SUCCEEDED else step.reason)
        elif step.max_parallel is not None and end.began and self._goes_on(flow, step):
            self._release(step)
        return None

    def _goes_on(self, flow: FlowRow, step: StepRow) -> bool:
        """Whether a step's next item may start: those under `finally` take no notice of a stop."""
        return step.is_final or (flow.stopped is None and not stops_flow(step))

    def _end_step(self, step: StepRow, state: RunState, reason: str | None) -> None:
        step.state, step.reason, step.finished_at = state, reason, self._now

    def _release(self, step: StepRow) -> None:
        """The next item's turn: of those that wait, but not as a workflow for its steps. Served by `runs_flow`."""
        lined_up = is_waiting & ~runs.c.id.in_(select(flows.c.id))
        ours = (runs.c.flow_id == step.flow_id, runs.c.step == step.name, lined_up)
        following = select(runs.c.id).where(*ours).order_by(runs.c.item_index).limit(1)
        # Its time runs from now, not from when it lined up.
        values = {"state": QUEUED, **counted_from(self._now)}
        released = update(runs).where(runs.c.id.in_(following)).values(values).returning(runs.c.id, runs.c.job)
        for run_id, job in self._connection.execute(released):
            self.created.append(Created(id=run_id, job=job, state=RunState.QUEUED))

    def _stop_if_failed(self, flow: FlowRow) -> None:
        """Nothing more starts once a step has failed that says so."""
        if flow.stopped is not None:
            return
        culprit = next((step for step in flow.steps.values() if stops_flow(step)), None)
        if culprit is not None:
            reason = f"step `{culprit.name}` failed"
            self._halt(flow, Halt(flow_id=flow.id, state=RunState.FAILED, reason=failure_of(culprit), told=reason))

    def _halt(self, flow: FlowRow, wanted: Halt) -> None:
        also_finals = wanted.by_person and flow.stopped is RunState.CANCELLED
        if flow.stopped is None or wanted.by_person:
            flow.stopped, flow.reason = wanted.state, wanted.reason
            values = {"stopped": wanted.state.value, "reason": wanted.reason}
            self._connection.execute(update(flows).where(flows.c.id == flow.id).values(values))
        stopped = halt(self._connection, flow, wanted, self._now, also_finals=also_finals)
        self._halts += stopped.halts
        for row in stopped.ended:
            end = StepEnd(
                flow_id=flow.id, step=row.step, item_index=row.item_index, state=stopped.state, reason=wanted.told
            )
            self._note(flow, end)
        for step in flow.steps.values():
            if step.state is RunState.WAITING and (also_finals or not step.is_final):
                self._end_step(step, stopped.state, wanted.told)

    def _decide(self, flow: FlowRow, expansions: list[Expansion]) -> list[NewRun]:
        """The runs to create now. A step that ends without any may let others start, so look until nothing changes."""
        new = self._start([], [one for one in expansions if one.flow_id == flow.id], flow)
        while True:
            ready = []
            changed = False
            for step in flow.steps.values():
                if step.state is RunState.WAITING:
                    found = readiness(step, flow.steps)
                    if found.ready:
                        ready.append(step)
                    elif found.skip is not None:
                        self._end_step(step, RunState.SKIPPED, found.skip)
                        changed = True
            if not ready and not changed:
                return new
            new += self._start(ready, [], flow)

    def _start(self, ready: Sequence[StepRow], expansions: Sequence[Expansion], flow: FlowRow) -> list[NewRun]:
        steps = [*ready, *(flow.steps[one.step] for one in expansions)]
        if not steps:
            return []
        known = flow_rows.load_templates(self._connection, steps)
        new: list[NewRun] = []
        for step in ready:
            step.state, step.started_at = RunState.RUNNING, self._now
            new += self._runs_of(flow, step, *known[step.flow_id, step.name], None)
        for one in expansions:
            step = flow.steps[one.step]
            if not step.has_ended:
                new += self._runs_of(flow, step, *known[step.flow_id, step.name], one)
        return new

    def _runs_of(
        self, flow: FlowRow, step: StepRow, templates: Templates, items: list[Any] | None, expansion: Expansion | None
    ) -> list[NewRun]:
        new = runs_of(step, templates, items, expansion, self._now)
        if not (step.prepares and expansion is None):
            step.total = len(new)
            if not new:
                self._end_step(step, RunState.SUCCEEDED, None)
        if flow.stopped is not None and not step.is_final:
            # It was stopped while a worker prepared it.
            step.total = 0
            self._end_step(step, RunState.SKIPPED, "the workflow was stopped")
            return []
        return new

    def _create(self, new: list[NewRun]) -> None:
        if not new:
            return
        created = create_runs(self._connection, new)
        self.created += created
        # A run may be created as skipped: its condition is false, or the job of a sub-workflow can't run.
        self._ends += [
            StepEnd(flow_id=run.flow_id, step=run.step, item_index=run.item_index, state=_end_of(run),
                    reason=run.skip_reason, began=_end_of(run) is RunState.FAILED)
            for run, made in zip(new, created, strict=True)
            if made.state.finished and run.flow_id is not None and run.step is not None
        ]  # fmt: skip

    def _finish_if_over(self, flow: FlowRow) -> None:
        if flow.state is not RunState.WAITING or not all(step.has_ended for step in flow.steps.values()):
            return
        state, reason = outcome(flow)
        result = flow_result(self._connection, flow) if state is RunState.SUCCEEDED else FlowResult()
        ended = {"state": state.value, "finished_at": self._now, "reason": reason}
        values = {**ended, "result": result.value, "result_files": result.files}
        self._connection.execute(update(runs).where(runs.c.id == flow.id).values(values))
        self.ended.append(FlowEnd(run_id=flow.id, job=flow.job, state=state, reason=reason))
        if flow.flow_id is not None and flow.step is not None:
            self._ends.append(
                StepEnd(
                    flow_id=flow.flow_id,
                    step=flow.step,
                    item_index=flow.item_index,
                    state=state,
                    reason=reason,
                    result=result.value,
                )
            )
        self.created += follow_flow(self._connection, flow.id, state, reason, self._now)


def _end_of(run: NewRun) -> RunState:
    """What the end of a run that is created as skipped means to its step."""
    return RunState.SKIPPED if run.skip_reason == CONDITION_REASON else RunState.FAILED


def _of_item(step: StepRow, end: StepEnd) -> str | None:
    if not step.is_many:
        return end.reason
    return f"item {end.item_index}: {end.reason}" if end.reason else f"item {end.item_index} {end.state.value}"
