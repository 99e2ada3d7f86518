"""What happens to a run, one thing after the other: derived from how it was last seen and how it stands now."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from enum import StrEnum

import msgspec

from orchestrator.core.runs import Attempt, Outcome, RunState
from orchestrator.store.activity import Glimpse, Mark


class Happening(StrEnum):
    """What an event says of a run."""

    CREATED = "created"
    STARTED = "started"
    PROGRESS = "progress"
    RETRYING = "retrying"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"


class RunEvent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Something that happened to a run. The last four are the ends of a run."""

    what: Happening
    run_id: int
    job: str
    at: datetime
    attempt: int | None = None
    """Which attempt started, made progress or is followed by another."""
    reason: str | None = None
    due_at: datetime | None = None
    """When it starts, or starts again, at the earliest."""
    done: int | None = None
    total: int | None = None


class Told(msgspec.Struct, frozen=True, array_like=True):
    """How much of an unfinished run has been told: attempts up to these, and its progress."""

    started: int = 0
    ended: int = 0
    done: int | None = None
    total: int | None = None
    number: int = 0
    """To a person, which attempt was the last whose start was told."""


class Step(msgspec.Struct, frozen=True):
    """An event, and how much has been told after it; None: everything."""

    event: RunEvent
    after: Told | None


def as_told(run: Mark) -> Told:
    """An unfinished run of which nothing up to now is to be told."""
    ended = run.attempt - 1 if run.state == RunState.RUNNING else run.attempt
    return Told(run.attempt, ended, run.done, run.total)


def has_news(run: Mark, told: Told) -> bool:
    """Whether an unfinished run has more to tell."""
    if run.state == RunState.RUNNING:
        return run.attempt > told.started or (run.done is not None and (run.done, run.total) != (told.done, told.total))
    return run.attempt > told.ended


def steps_of(run: Glimpse, attempts: Sequence[Attempt], told: Told | None, now: datetime) -> list[Step]:
    """What has happened to a run since it was `told` of; None: it never was."""
    return _Telling(run, told, now).steps(attempts)


def retried(run: Glimpse) -> tuple[RunEvent, Told]:
    """A run whose end has been told is unfinished again: somebody asked for it."""
    told = Told(run.uncharged, run.uncharged)
    return RunEvent(what=Happening.RETRYING, run_id=run.id, job=run.job, at=run.due_at, due_at=run.due_at), told


class _Telling:
    def __init__(self, run: Glimpse, told: Told | None, now: datetime) -> None:
        self._run = run
        self._is_new = told is None
        self._told = told or Told()
        self._now = now
        self._steps: list[Step] = []

    def steps(self, attempts: Sequence[Attempt]) -> list[Step]:
        run = self._run
        never_work = run.state is RunState.SKIPPED and run.finished_at == run.created_at
        if self._is_new and not never_work:
            self._say(Happening.CREATED, run.created_at, due_at=run.due_at if run.due_at > run.created_at else None)
        for attempt in attempts:
            if attempt.attempt > self._told.ended:
                self._attempt(attempt, last=attempt is attempts[-1])
        if run.looks:
            pass  # what left no record was a look: it comes back after each, and there may be thousands
        elif run.state is not RunState.RUNNING and not run.state.finished and self._told.started > self._told.ended:
            self._told = msgspec.structs.replace(self._told, ended=run.attempt)
            self._say(Happening.RETRYING, run.due_at, reason="it was given back before it began")
        if run.state is RunState.RUNNING:
            number = run.attempt - run.uncharged
            self._start(run.attempt, number, run.started_at or self._now)
            self._progress(number, self._now)
        if run.state.finished:
            self._tell(Happening(run.state.value), run.finished_at or self._now, None, reason=run.reason)
        return self._steps

    def _attempt(self, attempt: Attempt, *, last: bool) -> None:
        run = self._run
        self._start(attempt.attempt, attempt.number, attempt.started_at)
        if last and run.state is not RunState.RUNNING:
            self._progress(attempt.number, attempt.finished_at)
        self._told = msgspec.structs.replace(self._told, ended=attempt.attempt)
        if run.finished_at != attempt.finished_at:
            due_at = run.due_at if last and run.state is RunState.SCHEDULED else None
            fields = {"attempt": attempt.number, "reason": _why(attempt), "due_at": due_at}
            self._say(Happening.RETRYING, attempt.finished_at, **fields)

    def _start(self, attempt: int, number: int, at: datetime) -> None:
        if attempt > self._told.started:
            is_told = self._run.looks and number == self._told.number
            self._told = Told(attempt, self._told.ended, number=number)
            if is_told:
                return
            self._say(Happening.STARTED, at, attempt=number)

    def _progress(self, number: int, at: datetime) -> None:
        run, told = self._run, self._told
        if run.progress_done is None or (run.progress_done, run.progress_total) == (told.done, told.total):
            return
        self._told = msgspec.structs.replace(told, done=run.progress_done, total=run.progress_total)
        self._say(Happening.PROGRESS, at, attempt=number, done=run.progress_done, total=run.progress_total)

    def _say(self, what: Happening, at: datetime, **fields: object) -> None:
        self._tell(what, at, self._told, **fields)

    def _tell(self, what: Happening, at: datetime, after: Told | None, **fields: object) -> None:
        event = RunEvent(what=what, run_id=self._run.id, job=self._run.job, at=at)
        self._steps.append(Step(msgspec.structs.replace(event, **fields), after))


def _why(attempt: Attempt) -> str:
    if attempt.error is not None:
        return f"{attempt.error.type}: {attempt.error.message}" if attempt.error.message else attempt.error.type
    return "it was interrupted" if attempt.outcome is Outcome.RELEASED else attempt.outcome.value.replace("_", " ")


def in_order(tellings: Iterable[Sequence[Step]]) -> list[Step]:
    """The steps of several runs by their times, so far as that leaves each run's own order, and that of the creations,
    as it is: clocks of several machines differ."""
    keyed: list[tuple[datetime, Step]] = []
    floor: datetime | None = None
    for steps in tellings:
        key: datetime | None = None
        for step in steps:
            at = step.event.at
            if key is None and step.event.what in (Happening.CREATED, Happening.SKIPPED):
                key = floor = max(floor or at, at)
            key = max(key or at, at)
            keyed.append((key, step))
    keyed.sort(key=lambda pair: pair[0])
    return [step for _, step in keyed]
