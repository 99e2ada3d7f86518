"""How an attempt hands many runs to one call, and how each of them ended."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from orchestrator.core.batches import BatchItem, ItemEnd
from orchestrator.core.runs import ErrorInfo, Outcome
from orchestrator.plugins.batch import Batch, Item
from orchestrator.plugins.failures import ParamsError
from orchestrator.worker.failures import describe, is_a
from orchestrator.worker.keeping import Keeping
from orchestrator.worker.messages import Assignment
from orchestrator.worker.rendering import Renderer
from orchestrator.worker.results import NotJson

if TYPE_CHECKING:
    from orchestrator.plugins.signature import Binder


class Gathering:
    """The runs of one call. Those whose parameters are wrong are not handed out: they have failed."""

    def __init__(self, assignment: Assignment, binder: Binder, renderer: Renderer, keeping: Keeping) -> None:
        self._keeping = keeping
        self._ends: dict[int, ItemEnd] = {}
        self._error: Exception | None = None
        items = []
        members = assignment.items or (_alone(assignment),)
        self._attempts = {one.run_id: one.attempt for one in members}
        for one in members:
            try:
                params = renderer.arguments(_as_assignment(assignment, one), binder.takes)
                items.append(Item(one.run_id, one.number, binder.item_params(params)))
            except Exception as error:  # noqa: BLE001 - one run's templates and types are no other's concern
                self._ends[one.run_id] = _failed(one.run_id, error)
                self._error = error
        self._batch: Batch[Any] = Batch(items)

    def handed_out(self) -> Batch[Any]:
        """What the callable receives. Raises what is wrong when no run is left for it."""
        if self._error is not None and not self._batch:
            raise self._error
        return self._batch

    def ends(self, error: BaseException | None) -> tuple[ItemEnd, ...]:
        """How each run ended; what the callable said nothing of ended as the call did."""
        ends = dict(self._ends)
        for item in self._batch:
            if item.settled:
                ends[item.run_id] = self._told(item)
            elif error is not None:
                ends[item.run_id] = _failed(item.run_id, error)
            else:
                ends[item.run_id] = ItemEnd(run_id=item.run_id, outcome=Outcome.SUCCEEDED)
        return tuple(ends.values())

    def _told(self, item: Item[Any]) -> ItemEnd:
        if item.error is not None:
            return _failed(item.run_id, item.error)
        try:
            result = self._keeping.small(item.run_id, self._attempts[item.run_id], item.result)
        except NotJson:
            result = None
        return ItemEnd(run_id=item.run_id, outcome=Outcome.SUCCEEDED, result=result)


def with_file(end: ItemEnd, keeping: Keeping) -> ItemEnd:
    """The end of a run whose result is in a file, or couldn't be put there; any other as it is."""
    if (error := keeping.errors.get(end.run_id)) is not None:
        return _failed(end.run_id, error)
    return msgspec.structs.replace(end, result_file=keeping.files.get(end.run_id))


def _failed(run_id: int, error: BaseException) -> ItemEnd:
    described: ErrorInfo = describe(error)
    return ItemEnd(
        run_id=run_id,
        outcome=Outcome.FAILED,
        error=described,
        retry_after=getattr(error, "delay", None) if is_a(error, "Retry") else None,
        give_up=is_a(error, "GiveUp") or isinstance(error, ParamsError),
    )


def _alone(assignment: Assignment) -> BatchItem:
    """A run that came by itself is a batch of one."""
    fields = {name: getattr(assignment, name) for name in BatchItem.__struct_fields__}
    return BatchItem(**fields)


def _as_assignment(assignment: Assignment, item: BatchItem) -> Assignment:
    """What templates of this run see."""
    return msgspec.structs.replace(assignment, **{name: getattr(item, name) for name in BatchItem.__struct_fields__})
