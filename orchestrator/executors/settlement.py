"""A worker is gone: what becomes of the attempts it had begun? Only the guilty one is charged."""

from __future__ import annotations

from orchestrator.core.runs import Outcome
from orchestrator.executors.departure import Remains
from orchestrator.executors.flight import Flight
from orchestrator.executors.ledger import Ledger
from orchestrator.executors.worker import SoloWorker, Worker

_LET_OFF = 3


def settle(worker: Worker, remains: Remains, ledger: Ledger) -> None:
    """End every attempt that the worker still had. Orders that hadn't begun were returned before."""
    flights = list(worker.flights.values())
    guilty = _guilty(worker, remains)
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
            words = f"its worker was killed: {worker.why}" if worker.killed else remains.words
            _end(worker, flight, ledger, Outcome.CRASHED, words, started, trace)
        else:
            why = worker.why if worker.killed else f"another attempt crashed its worker ({remains.words})"
            _end(worker, flight, ledger, Outcome.RELEASED, f"interrupted: {why}", started, "")


def _guilty(worker: Worker, remains: Remains) -> list[Flight]:
    """Who is charged. If nobody knows, those who were let off several times already: one of them may do it again."""
    if worker.killed and not isinstance(worker, SoloWorker):
        return []
    known = worker.culprits(remains)
    flights = worker.flights.values()
    return known or [flight for flight in flights if flight.order.attempt - flight.order.number >= _LET_OFF]


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
