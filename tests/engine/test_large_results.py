"""What the engine does about large results: it leaves them alone, and deletes what nobody needs."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from orchestrator.core.clock import ManualClock
from orchestrator.core.flows import StepKind
from orchestrator.core.plan import Retention
from orchestrator.core.result_files import ResultFile, write
from orchestrator.core.runs import Outcome
from orchestrator.engine import orphans
from orchestrator.engine.orphans import Orphans
from tests.engine.conftest import NOON, Bench
from tests.flows.test_lives import ask, flow_of, step

pytestmark = pytest.mark.anyio


def folder_of(bench: Bench) -> Path:
    return bench.view.database.results


def aged(folder: Path, name: str, **delta: float) -> None:
    """A file that was written so long ago."""
    folder.mkdir(exist_ok=True)
    (folder / name).touch()
    at = (NOON - timedelta(**delta)).timestamp()
    os.utime(folder / name, (at, at))


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def ends_large(bench: Bench, run_id: int, data: bytes = b"[1]") -> ResultFile:
    """The attempt that is held ends with a large result."""
    order = bench.executor.held[run_id]
    file = write(folder_of(bench), run_id, order.attempt, data)
    bench.executor.end(run_id, Outcome.SUCCEEDED, result_file=file)
    return file


async def test_files_go_with_their_runs(bench: Bench, make_job: Any) -> None:
    job = make_job("big", retention=Retention(age=timedelta(days=1)))
    bench.executor.behave = lambda _: None
    async with bench.running(job):
        run_id = ask(bench, job)
        await bench.until(lambda: bench.executor.held)
        file = ends_large(bench, run_id)
        await bench.until(lambda: bench.states("big") == ["succeeded"])
        assert bench.runs("big")[0].result_files == (file,)
        bench.clock.advance(timedelta(days=2))
        await bench.pass_time(timedelta(seconds=70))  # longer than the pruner's rest
        await bench.until(lambda: not bench.runs() and names(folder_of(bench)) == set())


async def test_orphans_are_deleted_when_they_are_old_and_nothing_else_is(
    bench: Bench, make_job: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(orphans, "AT_ONCE", 2)
    job = make_job("big")
    bench.executor.behave = lambda _: None
    async with bench.running(job):
        run_id, running = ask(bench, job), ask(bench, job)
        await bench.until(lambda: len(bench.executor.held) == 2)
        ends_large(bench, run_id)
        await bench.until(lambda: "succeeded" in bench.states("big"))
        folder = folder_of(bench)
        old = [f"{run_id}-2.json", f"{running}-2.json", "77-1.json", ".77-1.json.9-abc.partial"]
        kept = [f"{run_id}-1.json", f"{running}-1.json", "notes.txt"]
        for name in (*old, *kept):
            aged(folder, name, hours=2)
        aged(folder, "78-1.json", minutes=59)
        sweeper = Orphans(bench.view, bench.clock)
        deleted = sum([await sweeper.sweep() for _ in range(5)])
        assert (deleted, names(folder)) == (4, {*kept, "78-1.json"})
        # The next look is an hour later; then the young one is old.
        bench.clock.advance(timedelta(minutes=30))
        assert [await sweeper.sweep(), names(folder)] == [0, {*kept, "78-1.json"}]
        bench.clock.advance(timedelta(minutes=31))
        assert sum([await sweeper.sweep() for _ in range(3)]) == 1
        assert names(folder) == set(kept)


async def test_the_engine_sweeps_by_itself_soon_after_its_start(bench: Bench, make_job: Any) -> None:
    folder = folder_of(bench)
    aged(folder, "77-1.json", hours=2)
    async with bench.running(make_job("tick")):
        await bench.pass_time(timedelta(seconds=4))
        await bench.until(lambda: names(folder) == set())


async def test_where_there_is_no_folder_there_is_nothing_to_do(bench: Bench) -> None:
    assert await Orphans(bench.view, ManualClock(NOON)).sweep() == 0


async def test_a_large_result_is_as_true_as_any_to_who_waits_for_it(bench: Bench) -> None:
    jobs = flow_of("flow", step("look", kind=StepKind.WAIT_FOR, pause=timedelta(minutes=1)))
    bench.executor.behave = lambda _: None
    async with bench.running(*jobs):
        ask(bench, jobs[0])
        await bench.until(lambda: bench.executor.held)
        ends_large(bench, next(iter(bench.executor.held)))
        await bench.until(lambda: bench.states("flow") == ["succeeded"])


async def test_the_engine_reads_no_result_but_the_items_of_a_step(bench: Bench) -> None:
    marker = {"$template": "{{ steps.a.result }}"}
    each = step("each", "a", foreach=marker, prepares=True, reads=("a",), loads=("a",))
    jobs = flow_of("flow", step("a"), each, step("end", "each", reads=("a", "each"), loads=("each",)))
    bench.executor.behave = lambda _: None
    async with bench.running(*jobs):
        ask(bench, jobs[0])

        def held(job: str) -> list[int]:
            return sorted(run for run, order in bench.executor.held.items() if order.job == f"flow/{job}")

        await bench.until(lambda: held("a"))
        first = ends_large(bench, held("a")[0], b"not read: it need not even be JSON")
        await bench.until(lambda: held("each"))
        (prepared,) = held("each")
        sight = bench.executor.held[prepared].sight
        assert sight is not None
        assert (sight.steps["a"]["result"], sight.files[0].at) == (None, ("a", "result"))
        assert sight.files[0].name == first.name
        ends_large(bench, prepared, b'{"items": ["x", "y"]}')
        await bench.until(lambda: len(held("each")) == 2)
        assert next(run.result for run in bench.runs("flow/each")) is None
        parts = [ends_large(bench, run_id, b"neither") for run_id in held("each")]
        await bench.until(lambda: held("end"))
        sight = bench.executor.held[held("end")[0]].sight
        assert sight is not None
        assert sight.steps["each"]["result"] == [None, None]
        assert [(file.name, file.at) for file in sight.files] == [
            (part.name, ("each", "result", index)) for index, part in enumerate(parts)
        ]
        bench.executor.end(held("end")[0], Outcome.SUCCEEDED, result=1)
        await bench.until(lambda: bench.states("flow") == ["succeeded"])


async def test_items_that_can_not_be_read_fail_the_attempt_that_found_them(bench: Bench) -> None:
    each = step("each", foreach={"$template": "{{ [1] }}"}, prepares=True)
    jobs = flow_of("flow", each)
    bench.executor.behave = lambda _: None
    async with bench.running(*jobs):
        ask(bench, jobs[0])
        await bench.until(lambda: bench.executor.held)
        (run_id,) = bench.executor.held
        file = write(folder_of(bench), run_id, 1, b'{"items": [1]}')
        (folder_of(bench) / file.name).unlink()
        bench.executor.end(run_id, Outcome.SUCCEEDED, result_file=file)
        await bench.until(lambda: bench.states("flow") == ["failed"])
    (run,) = bench.runs("flow/each")
    assert "is missing" in (run.reason or "")
