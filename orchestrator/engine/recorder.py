"""What the executor reports becomes durable: while one batch is on its way to the disk, the next one gathers."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Protocol

import msgspec

from orchestrator.core.clock import Clock
from orchestrator.core.errors import DamagedError, StoreError
from orchestrator.core.runs import Cause, LogLine, Outcome, RunState
from orchestrator.engine.batching import ends_of
from orchestrator.engine.consequences import Consequences
from orchestrator.engine.events import Emit, Event
from orchestrator.engine.preparations import has_large, with_items
from orchestrator.engine.verdict import Held, judge
from orchestrator.executors.contract import Ended, Notice, Output, Progress, Report, Saved
from orchestrator.store.batches import Batch, apart, write_batch
from orchestrator.store.endings import Ending, Settled
from orchestrator.store.flow_progress import FlowEnd
from orchestrator.store.output import ProgressMark, SavedValue
from orchestrator.store.store import Store

RETRY_PAUSE = 1.0
"""Seconds between tries while the database refuses: an outcome is never dropped."""
LONGEST_REASON = 1000
_ENDS = (RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED)
_LEVELS = {RunState.FAILED: "error", RunState.SCHEDULED: "warning", RunState.CANCELLED: "warning"}


class OnSettled(Protocol):
    """Hears that ends are on disk; `restless` when they left runs to start: retries, released ones, followers."""

    def __call__(self, *, restless: bool) -> None: ...


class Recorder:
    """Takes reports, judges ends by the jobs' policies, and writes both; tells of ends once they are on disk."""

    def __init__(
        self,
        held: dict[int, Held],
        consequences: Consequences,
        store: Store,
        clock: Clock,
        emit: Emit,
        on_settled: OnSettled,
    ) -> None:
        self._held = held
        self.consequences = consequences
        self._store = store
        self._clock = clock
        self._emit = emit
        self._on_settled = on_settled
        self._reports: list[Report] = []
        self._arrived = asyncio.Event()
        self._closing = False

    def take(self, reports: list[Report]) -> None:
        """Accept reports, in order. Returns at once."""
        self._reports += reports
        self._arrived.set()

    def take_ends(self, ends: list[Ended]) -> None:
        """Accept the ends of runs that no executor has seen."""
        self.take([*ends])

    def close(self) -> None:
        """Nothing more will be reported: `run` returns when all is written."""
        self._closing = True
        self._arrived.set()

    async def run(self) -> None:
        """Write batches until `close`."""
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            reports, self._reports = self._reports, []
            if has_large(reports):
                reports = await with_items(reports, self._held, self._store.database.results)
            for batch, ends in self._sort(reports).values():
                await self._write(batch, ends)
            if self._closing and not self._reports:
                return

    def _sort(self, reports: list[Report]) -> dict[int, tuple[Batch, dict[int, Ended]]]:
        """Reports as batches by owner; there is more than one owner only after the engine was taken for dead."""
        sorted_: dict[int, tuple[Batch, dict[int, Ended]]] = {}
        for report in reports:
            if isinstance(report, Notice):
                fields = report.fields
                self._emit(Event(name=report.event, at=self._clock.now(), level=report.level, fields=fields))
            elif (held := self._held.get(report.run_id)) and held.run.attempt == report.attempt:
                if held.owner not in sorted_:
                    sorted_[held.owner] = (Batch(owner=held.owner), {})
                self._add(report, held, *sorted_[held.owner])
        return sorted_

    def _add_ends(self, report: Ended, held: Held, batch: Batch, ends: dict[int, Ended]) -> None:
        for ended in ends_of(report, held):
            if (member := self._held.get(ended.run_id)) and member.run.attempt == ended.attempt:
                batch.endings.append(self._judged(member, ended))
                batch.ends_backfill = batch.ends_backfill or member.run.cause is Cause.BACKFILL
                ends[ended.run_id] = ended

    def _add(self, report: Ended | Output | Progress | Saved, held: Held, batch: Batch, ends: dict[int, Ended]) -> None:
        match report:
            case Ended():
                self._add_ends(report, held, batch, ends)
            case Output(run_id=run_id, attempt=attempt, at=at, stream=stream, text=text, level=level):
                line = LogLine(run_id=run_id, attempt=attempt, at=at, stream=stream, text=text, level=level)
                batch.logs.append(line)
            case Progress(run_id=run_id, attempt=attempt, done=done, total=total):
                batch.progress.append(ProgressMark(run_id=run_id, attempt=attempt, done=done, total=total))
            case Saved(run_id=run_id, attempt=attempt, value=value):
                batch.saved.append(SavedValue(run_id=run_id, attempt=attempt, value=value))

    def _judged(self, held: Held, ended: Ended) -> Ending:
        return with_consequences(judge(held, ended), held, ended, self.consequences, self._clock)

    async def _write(self, batch: Batch, ends: dict[int, Ended]) -> None:
        try:
            settled = await self._durable(batch)
        except DamagedError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever a report holds that can't be written, the engine goes on
            await self._write_apart(batch, ends, error)
        else:
            self._let_go(batch, ends, settled)

    def _let_go(self, batch: Batch, ends: dict[int, Ended], settled: Settled) -> None:
        """What is on disk need not be held any more, and may be told."""
        for ending in batch.endings:
            held = self._held.get(ending.run_id)
            if held is None or held.run.attempt != ending.attempt:
                continue  # the lease was lost while this was being written
            del self._held[ending.run_id]
            state = settled.states.get(ending.run_id)
            self._tell(held, ends[ending.run_id], ending, state)
        for flow in settled.flows:
            self._emit(flow_event(flow, self._clock.now()))
        again = any(not state.finished for state in settled.states.values())
        restless = bool(settled.created or settled.admitted) or again
        self._on_settled(restless=restless)

    async def _durable(self, batch: Batch) -> Settled:
        """Write a batch, however long the disk or a lock stands in the way. Raises `StoreError` if it can't ever be."""
        while True:
            try:
                return await self._store.submit(write_batch, batch, self._clock.now())
            except StoreError as error:
                if error.refused or isinstance(error, DamagedError):
                    raise
                fields = {"error": str(error), "ends": len(batch.endings)}
                self._emit(Event(name="recorder.delayed", at=self._clock.now(), level="error", fields=fields))
                await asyncio.sleep(RETRY_PAUSE)

    async def _write_apart(self, batch: Batch, ends: dict[int, Ended], error: Exception) -> None:
        """One report that can't be written must not take the others with it, nor stop the engine."""
        pieces = apart(batch)
        if len(pieces) > 1:
            for piece in pieces:
                await self._write(piece, ends)
            return
        why = str(error) if isinstance(error, StoreError) else f"{type(error).__name__}: {error}"
        fields = {"error": why, "runs": [ending.run_id for ending in batch.endings]}
        self._emit(Event(name="recorder.refused", at=self._clock.now(), level="error", fields=fields))
        for ending in batch.endings:
            await self._write_bare(bare_end(ending, why), batch.owner, ends)

    async def _write_bare(self, ending: Ending, owner: int, ends: dict[int, Ended]) -> None:
        """Write an end without what it came with, and if need be without what would follow: a run may fail for what
        it brought, but must not run for ever."""
        held = self._held.get(ending.run_id)
        ended = msgspec.structs.replace(ends[ending.run_id], error=None)
        whole = msgspec.structs.replace(ending)
        following = [with_consequences(whole, held, ended, self.consequences, self._clock)] if held else []
        for one in (*following, ending):
            batch = Batch(owner=owner, endings=[one])
            try:
                settled = await self._durable(batch)
            except DamagedError:
                raise
            except Exception:  # noqa: BLE001, S112 # nosec B112
                continue  # it was told when it came the first time
            self._let_go(batch, ends, settled)
            return

    def _tell(self, held: Held, ended: Ended, ending: Ending, state: RunState | None) -> None:
        if state is None:
            fields = {"job": held.job.name, "run_id": held.run.id, "attempt": held.run.attempt}
            self._emit(Event(name="run.refused", at=ended.finished_at, level="warning", fields=fields))
            return
        if state is RunState.SCHEDULED and not ending.charged:
            return  # a look of a step that waits for something: not worth a line
        self._emit(finished_event(held, ended, ending, state))


def bare_end(ending: Ending, why: str) -> Ending:
    """The end of an attempt whose own end can't be written: the run fails, and the reason is printable."""
    reason = f"its end can't be written ({why})".encode("ascii", "backslashreplace").decode()[:LONGEST_REASON]
    record = ending.record and msgspec.structs.replace(ending.record, outcome=Outcome.FAILED, error=None)
    return Ending(run_id=ending.run_id, attempt=ending.attempt, state=RunState.FAILED, record=record, reason=reason)


def with_consequences(ending: Ending, held: Held, ended: Ended, consequences: Consequences, clock: Clock) -> Ending:
    """The ending, with what follows from it: other jobs' runs if it is final, and what the job's hooks say; of a
    workflow that begins, what will follow from its end."""
    now = clock.now()
    if ending.flow is not None:
        following = {state: consequences.followers.of(held.job.name, state, now) for state in _ENDS}
        reactions = {state: consequences.hooks.at_flow_end(held, state, now) for state in _ENDS}
        ending.flow = msgspec.structs.replace(ending.flow, followers=following, reactions=reactions)
        ending.followers = following[RunState.CANCELLED]
        return ending
    final = ending.state if ending.state.finished else RunState.CANCELLED
    ending.followers = consequences.followers.of(held.job.name, final, now)
    ending.reaction = consequences.hooks.at_end(held, ended, ending, now)
    return ending


def flow_event(flow: FlowEnd, now: datetime) -> Event:
    """What to say of a workflow's end."""
    fields: dict[str, object] = {"job": flow.job, "run_id": flow.run_id}
    if flow.reason is not None:
        fields["reason"] = flow.reason
    return Event(name=f"run.{flow.state.value}", at=now, level=_LEVELS.get(flow.state, "info"), fields=fields)


def finished_event(held: Held, ended: Ended, ending: Ending, state: RunState) -> Event:
    """What to say of an attempt's end: `run.succeeded`, `.failed`, `.retrying`, `.released` or `.cancelled`;
    of a workflow that waits for its steps from now on: `run.waiting`."""
    name = {RunState.SCHEDULED: "run.retrying", RunState.QUEUED: "run.released"}.get(state, f"run.{state.value}")
    fields: dict[str, object] = {
        "job": held.job.name,
        "run_id": held.run.id,
        "attempt": held.number,
        "outcome": ended.outcome.value,
        "fire_time": held.run.fire_time,
    }
    if ended.started_at is not None:
        fields["started_at"] = ended.started_at
        fields["duration"] = (ended.finished_at - ended.started_at).total_seconds()
    if ending.reason is not None:
        fields["reason"] = ending.reason
    if state is RunState.SCHEDULED:
        fields["next_attempt_at"] = ending.due_at
    return Event(name=name, at=ended.finished_at, level=_LEVELS.get(state, "info"), fields=fields)
