"""Large results go to files that are there before their attempt has ended; small ones with the report."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from orchestrator.core.batches import BatchItem
from orchestrator.core.flows import StepSight
from orchestrator.core.json_values import TEMPLATE_KEY
from orchestrator.core.plan import Secret
from orchestrator.core.policies import Isolation
from orchestrator.core.result_files import INLINE, read, write
from orchestrator.core.runs import Outcome

LANES = [("large", Isolation.PROCESS), ("large", Isolation.THREAD), ("large_async", Isolation.ASYNC)]
PLUGIN = """
    import asyncio, errno, os
    from orchestrator.core import result_files

    def large(text="x", count=100_000):
        return {"text": text * count}
    async def large_async(text="x", count=100_000):
        return {"text": text * count}
    def at_the_limit(size):
        return "x" * (size - 2)
    def length(of):
        return [len(of), of[:1]]
    async def length_async(of):
        return [len(of), of[:1]]
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    def disk_full():
        os.fsync = full
        return "x" * 100_000
    async def disk_full_async():
        os.fsync = full
        return "x" * 100_000
    async def never_written():
        def hang(*_):
            import time
            open("writing", "w").close()
            time.sleep(600)
        result_files.write_new = hang
        return "x" * 100_000
"""


def files_of(bed: Any) -> list[str]:
    folder = Path(bed.folder, "results")
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


@pytest.mark.parametrize(("call", "isolation"), LANES)
def test_a_large_result_is_in_its_file_when_its_end_is_told(bed: Any, call: str, isolation: Isolation) -> None:
    bed.plugin(PLUGIN)

    async def story() -> None:
        ended = await bed.run(call, isolation=isolation, attempt=4)
        assert (ended.outcome, ended.result, ended.result_file.name) == (Outcome.SUCCEEDED, None, "1-4.json")
        assert json.loads(read(bed.folder / "results", ended.result_file)) == {"text": "x" * 100_000}
        assert files_of(bed) == ["1-4.json"]

    bed.play(story)


def test_what_is_small_has_no_file(bed: Any) -> None:
    bed.plugin(PLUGIN)

    async def story() -> None:
        small = await bed.run("at_the_limit", params={"size": INLINE})
        assert (len(small.result), small.result_file, files_of(bed)) == (INLINE - 2, None, [])
        large = await bed.run("at_the_limit", params={"size": INLINE + 1})
        assert (large.result, large.result_file.size) == (None, INLINE + 1)

    bed.play(story)


@pytest.mark.parametrize(("call", "isolation"), LANES)
def test_secrets_are_stars_in_files_too(bed: Any, call: str, isolation: Isolation) -> None:
    bed.plugin(PLUGIN)
    bed.folder.joinpath("token").write_text("s3cret-token")
    bed.secrets = {"token": Secret(file=str(bed.folder / "token"))}

    async def story() -> None:
        params = {"text": {TEMPLATE_KEY: "{{ secrets.token }}"}, "count": 10_000}
        ended = await bed.run(call, isolation=isolation, params=params)
        assert json.loads(read(bed.folder / "results", ended.result_file)) == {"text": "***" * 10_000}

    bed.play(story)


@pytest.mark.parametrize(
    ("call", "isolation"),
    [("disk_full", Isolation.PROCESS), ("disk_full", Isolation.THREAD), ("disk_full_async", Isolation.ASYNC)],
)
def test_a_full_disk_fails_the_attempt_and_leaves_nothing(bed: Any, call: str, isolation: Isolation) -> None:
    bed.plugin(PLUGIN)

    async def story() -> None:
        ended = await bed.run(call, isolation=isolation)
        assert (ended.outcome, ended.result_file, ended.give_up) == (Outcome.FAILED, None, False)
        assert re.search("result of run 1, 97.7KiB, can't be written to .*No space left", ended.error.message)
        assert files_of(bed) == []

    bed.play(story)


def test_an_async_attempt_that_is_stopped_while_it_is_written_spares_the_loop(bed: Any) -> None:
    bed.plugin(PLUGIN)

    async def story() -> None:
        (run_id,) = bed.submit("never_written")
        await bed.until((bed.folder / "writing").exists)
        bed.executor.cancel(run_id, 1, "not wanted any more")
        ended = await bed.end_of(run_id)
        assert (ended.outcome, ended.result_file) == (Outcome.CANCELLED, None)
        assert (await bed.run("length_async", params={"of": "abc"})).result == [3, "a"]

    bed.play(story)


@pytest.mark.parametrize("call", ["work", "work_async"])
def test_each_run_of_a_batch_has_a_file_of_its_own(bed: Any, call: str) -> None:
    bed.plugin("""
        from orchestrator import Batch
        from orchestrator.core import result_files
        def settle(batch):
            write = result_files.write_new
            def picky(path, data):
                if "102-" in path.name:
                    raise OSError(28, "No space left on device")
                write(path, data)
            result_files.write_new = picky
            for item in batch:
                item.succeed(item.params["text"] * 100_000 if item.params["text"] else "small")
            return "y" * 100_000
        def work(batch: Batch):
            return settle(batch)
        async def work_async(batch: Batch):
            return settle(batch)
    """)
    members = tuple(
        BatchItem(run_id=100 + n, attempt=n + 1, number=1, params={"text": text}, cause="manual", fire_time=None)
        for n, text in enumerate(("a", "", "b"))
    )

    async def story() -> None:
        ended = await bed.run(call, run_id=100, items=members)
        ends = {end.run_id: end for end in ended.items}
        assert json.loads(read(bed.folder / "results", ends[100].result_file)) == "a" * 100_000
        assert (ends[101].result, ends[101].result_file) == ("small", None)
        assert (ends[102].outcome, "No space left" in ends[102].error.message) == (Outcome.FAILED, True)
        assert files_of(bed) == ["100-1.json"]

    bed.play(story)


def sight(bed: Any, **fields: Any) -> StepSight:
    file = write(bed.folder / "results", 7, 1, msgspec.json.encode("z" * 100_000))
    at = msgspec.structs.replace(file, at=("big", "result", 1))
    steps = {"big": {"state": "succeeded", "result": ["a", None], "reason": None}}
    return StepSight(flow_id=5, flow_job="flow", fire_time=None, steps=steps, files=(at,), **fields)


@pytest.mark.parametrize(
    ("call", "isolation"),
    [("length", Isolation.PROCESS), ("length", Isolation.THREAD), ("length_async", Isolation.ASYNC)],
)
def test_a_step_reads_what_lies_in_a_file(bed: Any, call: str, isolation: Isolation) -> None:
    bed.plugin(PLUGIN)
    params = {"of": {TEMPLATE_KEY: "{{ steps.big.result[1] }}"}}

    async def story() -> None:
        seen = sight(bed, when={TEMPLATE_KEY: "steps.big.result[1] | length > 5"})
        ended = await bed.run(call, isolation=isolation, params=params, sight=seen)
        assert (ended.outcome, ended.result) == (Outcome.SUCCEEDED, [100_000, "z"]), ended
        bed.folder.joinpath("results/7-1.json").unlink()
        ended = await bed.run(call, isolation=isolation, params=params, sight=seen)
        assert ended.outcome is Outcome.FAILED
        assert re.search(r"result of run 7 is lost: its file .*7-1\.json is missing", ended.error.message)

    bed.play(story)


def test_a_long_list_of_items_goes_to_a_file_and_too_long_a_one_is_refused(bed: Any) -> None:
    bed.plugin(PLUGIN)

    async def story() -> None:
        for count, outcome in ((5, Outcome.SUCCEEDED), (170, Outcome.FAILED)):
            foreach = {TEMPLATE_KEY: f"{{{{ [{', '.join(['steps.big.result[1]'] * count)}] }}}}"}
            ended = await bed.run("length", sight=sight(bed, prepares=True, foreach=foreach))
            assert ended.outcome is outcome, ended
            if outcome is Outcome.SUCCEEDED:
                prepared = json.loads(read(bed.folder / "results", ended.result_file))
                assert prepared == {"items": ["z" * 100_000] * count}
            else:
                assert (ended.give_up, "at most 16MiB are kept" in ended.error.message) == (True, True)

    bed.play(story)


def test_a_worker_that_dies_while_it_writes_is_charged_as_always(bed: Any) -> None:
    bed.plugin("""
        import os, signal
        from orchestrator.core import result_files
        def dies():
            result_files.sync = lambda _: os.kill(os.getpid(), signal.SIGKILL)
            return "x" * 100_000
    """)

    async def story() -> None:
        ended = await bed.run("dies", grace=timedelta(seconds=1).total_seconds())
        assert (ended.outcome, ended.result_file) == (Outcome.CRASHED, None)

    bed.play(story)
