"""One call for many runs, in real workers: what it is given, and how each of its runs ends."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.core.batches import BatchItem
from orchestrator.core.json_values import TEMPLATE_KEY
from orchestrator.core.policies import Isolation
from orchestrator.core.runs import Outcome


def items(*params: dict[str, Any]) -> tuple[BatchItem, ...]:
    return tuple(
        BatchItem(run_id=100 + n, attempt=n + 1, number=1, params=one, cause="manual", fire_time=None)
        for n, one in enumerate(params)
    )


async def ends(bed: Any, call: str, *params: dict[str, Any], **changes: Any) -> tuple[Any, dict[int, Any]]:
    ended = await bed.run(call, run_id=100, items=items(*params), **changes)
    return ended, {one.run_id - 100: one for one in ended.items}


@pytest.mark.parametrize("isolation", [Isolation.PROCESS, Isolation.THREAD])
def test_each_run_ends_as_it_was_told_and_the_rest_as_the_call(bed: Any, isolation: Isolation) -> None:
    bed.plugin("""
        from orchestrator import Batch, GiveUp, Retry
        def work(batch: Batch):
            for item in batch:
                if item.params.get("how") == "fine":
                    item.succeed({"run": item.run_id})
                elif item.params.get("how") == "bad":
                    item.fail(ValueError("no address"))
                elif item.params.get("how") == "later":
                    item.fail(Retry(delay=7))
                elif item.params.get("how") == "never":
                    item.fail(GiveUp("no such person"))
                elif item.params.get("how") == "odd":
                    item.succeed(object())
            if any(item.params.get("how") == "raise" for item in batch):
                raise OSError("the line is down")
    """)

    async def story() -> None:
        asked = [{"how": how} for how in ("fine", "bad", "later", "never", "odd", "")]
        ended, each = await ends(bed, "work", *asked, isolation=isolation)
        assert ended.outcome is Outcome.SUCCEEDED
        assert [each[n].outcome.value for n in range(6)] == [
            *("succeeded", "failed", "failed", "failed"),
            *["succeeded"] * 2,
        ]
        assert each[0].result == {"run": 100}
        assert each[1].error.type == "ValueError"
        assert each[2].retry_after == 7
        assert (each[3].give_up, each[1].give_up) == (True, False)
        assert each[4].result is None

    bed.play(story)


def test_an_exception_is_the_end_of_those_that_were_not_ended_before(bed: Any) -> None:
    bed.plugin("""
        from orchestrator import Batch
        async def work(batch: Batch):
            batch[0].succeed(1)
            raise OSError("the line is down")
    """)

    async def story() -> None:
        ended, each = await ends(bed, "work", {}, {})
        assert ended.outcome is Outcome.FAILED
        assert [each[n].outcome for n in (0, 1)] == [Outcome.SUCCEEDED, Outcome.FAILED]
        assert each[1].error.message == "the line is down"

    bed.play(story)


def test_parameters_are_made_what_the_batch_asks_for_and_a_wrong_one_is_no_others_concern(bed: Any) -> None:
    bed.plugin("""
        from dataclasses import dataclass
        from orchestrator import Batch, Context
        @dataclass
        class Letter:
            to: str
            copies: int = 1
        def work(batch: Batch[Letter], ctx: Context):
            for item in batch:
                item.succeed([item.params.to, item.params.copies, ctx.run_id])
    """)

    async def story() -> None:
        _, each = await ends(
            bed, "work", {"to": {TEMPLATE_KEY: "run-{{ run.id }}"}}, {"to": "b", "copies": "2"}, {"copies": 1}
        )
        assert each[0].result == ["run-100", 1, 100]
        assert each[1].result == ["b", 2, 100]
        assert "needs the parameter 'to'" in each[2].error.message
        assert each[2].give_up

    bed.play(story)


def test_no_call_is_made_for_a_batch_of_which_nothing_is_left(bed: Any) -> None:
    bed.plugin("""
        from typing import TypedDict
        from orchestrator import Batch
        class Letter(TypedDict):
            to: str
        def work(batch: Batch[Letter]):
            batch[0].succeed("called")
    """)

    async def story() -> None:
        ended, each = await ends(bed, "work", {"oops": 1}, {})
        assert ended.outcome is Outcome.FAILED
        assert [each[n].outcome for n in (0, 1)] == [Outcome.FAILED, Outcome.FAILED]

    bed.play(story)


def test_a_run_by_itself_is_a_batch_of_one(bed: Any) -> None:
    bed.plugin("""
        from orchestrator import Batch
        def work(batch: Batch):
            (item,) = batch
            item.succeed(item.params["n"] + 1)
    """)

    async def story() -> None:
        ended = await bed.run("work", params={"n": 1})
        assert [one.result for one in ended.items] == [2]

    bed.play(story)


@pytest.mark.parametrize("how", ["dies", "hangs"])
def test_a_death_or_a_timeout_is_the_end_of_all(bed: Any, how: str) -> None:
    bed.plugin("""
        import os, time
        from orchestrator import Batch
        def dies(batch: Batch):
            batch[0].succeed()
            os._exit(3)
        def hangs(batch: Batch):
            time.sleep(600)
    """)

    async def story() -> None:
        ended, each = await ends(bed, how, {}, {}, timeout=0.5, grace=0.2)
        assert ended.outcome is (Outcome.CRASHED if how == "dies" else Outcome.TIMED_OUT)
        assert each == {}

    bed.play(story)
