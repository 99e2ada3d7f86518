"""What is a worker told of an order that it is given?"""

from __future__ import annotations

from orchestrator.executors.flight import Flight
from orchestrator.worker.messages import Assignment


def assignment(flight: Flight) -> Assignment:
    """The message for the worker that the order was given to."""
    order = flight.order
    return Assignment(
        run_id=order.run_id,
        attempt=order.attempt,
        number=order.number,
        job=order.job,
        call=order.call,
        params=order.params,
        cause=order.cause,
        fire_time=order.fire_time,
        timezone=order.timezone,
        max_attempts=order.max_attempts,
        checkpoint=order.checkpoint,
        log_limit=order.log_limit,
        heartbeat=flight.heartbeat,
        sight=order.sight,
        sequence=flight.sequence,
        place=flight.place,
        items=order.items,
    )
