"""Orders and ends that are long: each gets through or fails by itself, and the worker lives."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.core.batches import BatchItem
from orchestrator.core.policies import Isolation
from orchestrator.core.runs import Outcome
from orchestrator.worker.messages import MAX_FRAME

PLUGIN = """
    from orchestrator import Batch
    async def measure(text: str): return len(text)
    def sync(text: str): return len(text)
    def answer(batch: Batch):
        for item in batch:
            item.succeed("y" * item.params["n"])
"""
LENGTH = 900_000
RESULT = 60_000


def died(bed: Any) -> list[Any]:
    return [*bed.notices("worker.exited"), *bed.notices("worker.failed")]


def test_many_long_orders_at_once_reach_their_worker(bed: Any) -> None:
    bed.plugin(PLUGIN)

    async def story() -> None:
        asked = bed.submit("measure", MAX_FRAME // LENGTH + 5, params={"text": "x" * LENGTH})
        assert {end.result for end in await bed.ends_of(asked)} == {LENGTH}
        assert died(bed) == []

    bed.play(story)


@pytest.mark.parametrize("isolation", [Isolation.ASYNC, Isolation.PROCESS, Isolation.THREAD])
def test_an_order_that_no_worker_can_be_handed_fails_alone(bed: Any, isolation: Isolation) -> None:
    bed.plugin(PLUGIN)
    call = "measure" if isolation is Isolation.ASYNC else "sync"

    async def story() -> None:
        lengths = [3, MAX_FRAME, 4]
        orders = [bed.order(call, params={"text": "x" * length}, isolation=isolation) for length in lengths]
        bed.executor.submit(orders)
        before, long, after = await bed.ends_of([order.run_id for order in orders])
        assert (before.result, after.result) == (3, 4)
        assert (long.outcome, long.started_at) == (Outcome.FAILED, None)
        assert "it can't be handed to a worker" in long.reason
        assert (await bed.run(call, params={"text": "x"}, isolation=isolation)).result == 1
        assert died(bed) == []

    bed.play(story)


def test_the_long_results_of_a_batch_all_arrive(bed: Any) -> None:
    bed.plugin(PLUGIN)

    async def story() -> None:
        items = tuple(
            BatchItem(run_id=100 + n, attempt=1, number=1, params={"n": RESULT}, cause="manual", fire_time=None)
            for n in range(MAX_FRAME // RESULT + 5)
        )
        ended = await bed.run("answer", run_id=100, items=items)
        assert ended.outcome is Outcome.SUCCEEDED
        assert [end.run_id for end in ended.items] == [item.run_id for item in items]
        assert {len(end.result) for end in ended.items} == {RESULT}
        assert died(bed) == []

    bed.play(story)
