"""How runs that were claimed together become one order, and how its end becomes theirs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from orchestrator.core.batches import BatchItem, ItemEnd
from orchestrator.core.runs import Outcome
from orchestrator.engine.verdict import Held
from orchestrator.executors.contract import Ended

CANCELLED_REASON = "the batch that it was in was stopped"


def items_of(members: Sequence[Held]) -> tuple[BatchItem, ...]:
    """The runs of a batch for the worker."""
    return tuple(
        BatchItem(
            run_id=held.run.id,
            attempt=held.run.attempt,
            number=held.number,
            params=held.run.params or {},
            cause=held.run.cause.value,
            fire_time=held.run.fire_time,
        )
        for held in members
    )


def ends_of(ended: Ended, held: Held) -> Iterator[Ended]:
    """The end of each run that an order stood for; of an ordinary one, its own."""
    if not held.members and not ended.items:
        yield ended
        return
    told = {item.run_id: item for item in ended.items}
    for run_id, attempt in held.members or ((ended.run_id, ended.attempt),):
        yield _end_of(ended, run_id, attempt, told.get(run_id))


def _end_of(ended: Ended, run_id: int, attempt: int, item: ItemEnd | None) -> Ended:
    own = msgspec.structs.replace(ended, run_id=run_id, attempt=attempt, items=())
    if item is not None:
        return msgspec.structs.replace(
            own,
            outcome=item.outcome,
            result=item.result,
            result_file=item.result_file,
            error=item.error,
            retry_after=item.retry_after,
            give_up=item.give_up,
            reason=None,
        )
    if ended.outcome is Outcome.CANCELLED and run_id != ended.run_id:
        # Somebody cancelled the run that the batch is named after; nobody cancelled this one.
        return msgspec.structs.replace(own, outcome=Outcome.RELEASED, reason=CANCELLED_REASON)
    return own
