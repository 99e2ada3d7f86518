"""Which orders are under way, and what is to be told to the engine? Sees to it that each order ends exactly once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import datetime, timedelta

from orchestrator.core.clock import Clock
from orchestrator.core.runs import ErrorInfo, Outcome
from orchestrator.executors.contract import Ended, Notice, Order, Output, Progress, Report, Saved
from orchestrator.executors.flight import Flight
from orchestrator.worker.messages import Checkpointed, Finished, ItemEnded, Logged, Progressed

_ERRORS = {Outcome.TIMED_OUT: ("TimedOut", "TimeoutError"), Outcome.CRASHED: ("WorkerCrashed",)}
"""What an end that no exception explains is called where exceptions are named, as in `retry.on`."""


class Ledger:
    """The flights by run and attempt, and the reports that wait for the loop's next turn."""

    def __init__(self, clock: Clock, loop: asyncio.AbstractEventLoop, report: Callable[[list[Report]], None]) -> None:
        self._clock = clock
        self._loop = loop
        self._report = report
        self._waiting: list[Report] = []
        self.flights: dict[tuple[int, int], Flight] = {}

    def now(self) -> datetime:
        """The wall clock."""
        return self._clock.now()

    def open(self, orders: list[Order]) -> list[Flight]:
        """Take orders on."""
        now = time.monotonic()
        flights = [Flight(order, now) for order in orders]
        self.flights.update((flight.key, flight) for flight in flights)
        return flights

    def finish(self, flight: Flight, message: Finished, pid: int) -> None:
        """The worker says how it ended; if that was because it was asked to, it ends as was decided."""
        outcome, error, reason, result = message.outcome, message.error, None, message.result
        items, result_file = (*flight.ended_items, *message.items), message.result_file
        if flight.verdict is not None and message.asked:
            outcome, reason = flight.verdict
            error = _named(outcome, reason, error.traceback if error else "")
            result, result_file, items = None, None, ()
        self._close(
            flight,
            Ended(
                run_id=message.run_id,
                attempt=message.attempt,
                outcome=outcome,
                started_at=message.started_at,
                finished_at=message.finished_at,
                worker_pid=pid,
                result=result,
                result_file=result_file,
                error=error,
                retry_after=message.retry_after,
                give_up=message.give_up,
                reason=reason,
                items=items,
            ),
        )

    def end(
        self, flight: Flight, outcome: Outcome, reason: str, *,
        started: float | None = None, pid: int | None = None, trace: str = "",
    ) -> None:  # fmt: skip
        """It ended without a word of its own. `started` is a monotonic time, if it began."""
        now = self.now()
        began = None if started is None else now - timedelta(seconds=max(0.0, time.monotonic() - started))
        run_id, attempt = flight.key
        self._close(
            flight,
            Ended(
                run_id=run_id,
                attempt=attempt,
                outcome=outcome,
                started_at=began,
                finished_at=now,
                worker_pid=pid,
                error=_named(outcome, reason, trace),
                reason=reason,
            ),
        )

    def pass_on(self, message: Logged | Progressed | Checkpointed | ItemEnded) -> None:
        """What a running attempt says; of one whose end was reported, nothing more."""
        run_id, attempt = message.run_id, message.attempt
        if (flight := self.flights.get((run_id, attempt))) is None:
            return
        if isinstance(message, ItemEnded):
            flight.ended_items.append(message.end)
        elif isinstance(message, Logged):
            self.output(run_id, attempt, message.at, message.stream, message.text, message.level)
        elif isinstance(message, Progressed):
            self.post(Progress(run_id=run_id, attempt=attempt, done=message.done, total=message.total))
        else:
            self.post(Saved(run_id=run_id, attempt=attempt, value=message.value))

    def output(self, run_id: int, attempt: int, at: datetime, stream: str, text: str, level: str | None = None) -> None:
        """A piece of an attempt's output."""
        self.post(Output(run_id=run_id, attempt=attempt, at=at, stream=stream, text=text, level=level))

    def notice(self, event: str, level: str = "info", **fields: object) -> None:
        """Something about the workers themselves."""
        self.post(Notice(event=event, level=level, fields=fields))

    def post(self, report: Report) -> None:
        """Tell the engine at the loop's next turn, together with all else of this one."""
        if not self._waiting:
            self._loop.call_soon(self.flush)
        self._waiting.append(report)

    def flush(self) -> None:
        """Tell the engine now."""
        if self._waiting:
            reports, self._waiting = self._waiting, []
            self._report(reports)

    def _close(self, flight: Flight, ended: Ended) -> None:
        if self.flights.pop(flight.key, None) is not None:
            self.post(ended)


def _named(outcome: Outcome, reason: str, trace: str) -> ErrorInfo | None:
    if (names := _ERRORS.get(outcome)) is None:
        return None
    return ErrorInfo(type=names[0], message=reason, traceback=trace, names=names)
