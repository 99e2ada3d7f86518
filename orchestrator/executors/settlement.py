"""A worker is gone: what becomes of the attempts it had begun? Only the guilty one is charged."""

from __future__ import annotations

from orchestrator.core.runs import Outcome
from orchestrator.executors.departure import Remains
from orchestrator.executors.flight import Flight
from orchestrator.executors.ledger import Ledger
from orchestrator.executors.worker import SoloWorker, Worker


def settle(worker: Worker, remains: Remains, ledger: Ledger) -> None:
    """End every attempt that the worker still had. Orders that hadn't begun were returned before."""
    flights = list(worker.flights.values())
    guilty = [] if worker.killed else worker.culprits(remains)
    if isinstance(worker, SoloWorker) and flights:
        _pass_on_output(flights[0], remains, ledger)
    else:
        for stream, text in remains.output.items():
            ledger.notice("worker.output", pid=worker.pid, stream=stream, text=text)
    for flight in flights:
        worker.flights.pop(flight.sequence)
        started = worker.started(flight)
        if flight.verdict is not None:
            _end(worker, flight, ledger, *flight.verdict, started, remains.dump)
        elif flight in guilty:
            trace = remains.dump + remains.output.get("stderr", "")
            _end(worker, flight, ledger, Outcome.CRASHED, remains.words, started, trace)
        else:
            why = worker.why if worker.killed else f"another attempt crashed its worker ({remains.words})"
            _end(worker, flight, ledger, Outcome.RELEASED, f"interrupted: {why}", started, "")


def _end(
    worker: Worker, flight: Flight, ledger: Ledger, outcome: Outcome, reason: str, started: float | None, trace: str
) -> None:
    ledger.end(flight, outcome, reason, started=started, pid=worker.pid, trace=trace)


def _pass_on_output(flight: Flight, remains: Remains, ledger: Ledger) -> None:
    """What the worker hadn't read of its own output is the running attempt's."""
    left = flight.order.log_limit
    for stream, text in remains.output.items():
        if left > 0:
            ledger.output(*flight.key, ledger.now(), stream, text[-left:])
        left -= len(text)
