"""What becomes of what a callable returns or raises, and what it is given."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from orchestrator.core.plan import Resource, Secret
from orchestrator.core.policies import Isolation
from orchestrator.core.runs import Outcome

LANES = [Isolation.PROCESS, Isolation.THREAD]


@pytest.mark.parametrize("isolation", LANES)
def test_a_result_comes_back_as_json(bed: Any, isolation: Isolation) -> None:
    bed.plugin("""
        import dataclasses, datetime, enum
        class Colour(enum.Enum):
            RED = "red"
        @dataclasses.dataclass
        class Point:
            x: int
            when: datetime.date
        def shapes(n: int):
            return {"point": Point(n, datetime.date(2024, 2, 29)), 7: (Colour.RED, {1}), "nan": float("nan")}
    """)

    async def story() -> None:
        ended = await bed.run("shapes", params={"n": 3}, isolation=isolation)
        assert ended.outcome is Outcome.SUCCEEDED, ended
        assert ended.result == {"point": {"x": 3, "when": "2024-02-29"}, "7": ["red", [1]], "nan": None}
        assert bed.utc(ended.started_at) <= bed.utc(ended.finished_at)
        assert ended.worker_pid

    bed.play(story)


def test_an_async_callable_succeeds_and_pydantic_models_are_plain(bed: Any) -> None:
    bed.plugin("""
        import asyncio, pydantic
        class Model(pydantic.BaseModel):
            name: str
        async def greet(name: str):
            await asyncio.sleep(0.01)
            return [Model(name=name)]
    """)

    async def story() -> None:
        ended = await bed.run("greet", params={"name": "Ada"})
        assert (ended.outcome, ended.result) == (Outcome.SUCCEEDED, [{"name": "Ada"}])

    bed.play(story)


def test_a_result_that_cannot_be_kept_does_not_undo_success(bed: Any) -> None:
    bed.plugin("""
        from orchestrator.worker import keeping
        keeping.LARGEST = 2**20  # a test need not move hundreds of mebibytes
        def an_object():
            return object()
        def too_large():
            return "x" * (2**20 + 1)
        def itself():
            loop = []
            loop.append(loop)
            return loop
        def surrogate():
            return "\\udc80"
        def huge_number():
            return 2**80
    """)

    async def story() -> None:
        for call in ("an_object", "too_large", "itself", "surrogate", "huge_number"):
            ended = await bed.run(call)
            assert (ended.outcome, ended.result) == (Outcome.SUCCEEDED, None), call
            assert "the result is not kept" in bed.text(ended.run_id, "log"), call

    bed.play(story)


def test_exceptions_are_told_with_names_traceback_notes_and_cause(bed: Any) -> None:
    bed.plugin("""
        import json
        class Trouble(LookupError):
            pass
        def fails():
            try:
                json.loads("{")
            except ValueError as error:
                trouble = Trouble("no luck")
                trouble.add_note("try again tomorrow")
                raise trouble from error
    """)

    async def story() -> None:
        ended = await bed.run("fails")
        assert ended.outcome is Outcome.FAILED
        assert ended.error.type == "work.Trouble"
        assert ended.error.message == "no luck"
        assert ended.error.names == ("work.Trouble", "LookupError", "Exception", "BaseException")
        assert "try again tomorrow" in ended.error.traceback
        assert "json.decoder.JSONDecodeError" in ended.error.traceback
        assert "in fails" in ended.error.traceback
        assert "orchestrator/worker" not in ended.error.traceback

    bed.play(story)


def test_strange_exceptions_end_the_attempt_and_not_the_worker(bed: Any) -> None:
    bed.plugin("""
        import sys
        class Mute(Exception):
            def __str__(self):
                raise RuntimeError("no words")
        def mute():
            raise Mute()
        def leaves():
            sys.exit(0)
        def interrupts():
            raise KeyboardInterrupt
        def recurses():
            return recurses()
        def talks():
            raise ValueError("x" * 10_000_000 + "\\udc80")
        def gives():
            yield 1
        async def quits():
            sys.exit(3)
        async def stranded():
            import asyncio
            async def leave():
                sys.exit(4)
            task = asyncio.create_task(leave())
            await asyncio.sleep(0.05)
    """)

    async def story() -> None:
        pids = set()
        for call in ("mute", "leaves", "interrupts", "recurses", "talks", "gives"):
            ended = await bed.run(call)
            assert ended.outcome is Outcome.FAILED, ended
            assert len(ended.error.message) < 10_000
            assert len(ended.error.traceback) < 100_000
            pids.add(ended.worker_pid)
        assert len(pids) <= 2
        assert "sys.exit(0)" in bed.ended[2].error.message
        ended = await bed.run("quits")
        assert (ended.outcome, ended.error.type) == (Outcome.FAILED, "SystemExit")
        first = await bed.run("stranded")
        again = await bed.run("quits")
        assert first.worker_pid == again.worker_pid

    bed.play(story)


def test_retry_and_give_up_say_what_comes_next(bed: Any) -> None:
    bed.plugin("""
        from orchestrator import GiveUp, Retry
        def later():
            raise Retry("not yet", delay=7)
        def never():
            raise GiveUp("no such customer")
    """)

    async def story() -> None:
        later = await bed.run("later")
        assert (later.outcome, later.retry_after, later.give_up) == (Outcome.FAILED, 7.0, False)
        never = await bed.run("never")
        assert (never.outcome, never.retry_after, never.give_up) == (Outcome.FAILED, None, True)
        assert never.error.message == "no such customer"

    bed.play(story)


def test_wrong_parameters_and_unknown_callables_fail_clearly(bed: Any) -> None:
    bed.plugin("""
        def takes(n: int):
            return n
        async def coroutine():
            return 1
    """)

    async def story() -> None:
        wrong = await bed.run("takes", params={"n": "many"})
        assert wrong.outcome is Outcome.FAILED
        assert "n" in wrong.error.message
        unknown = await bed.run("nowhere")
        assert (unknown.outcome, "nowhere" in unknown.error.message) == (Outcome.FAILED, True)
        again = await bed.run("nowhere")
        assert again.error.traceback == unknown.error.traceback
        mismatch = await bed.run("coroutine", isolation=Isolation.PROCESS)
        assert (mismatch.outcome, "async" in mismatch.error.message) == (Outcome.FAILED, True)

    bed.play(story)


def test_the_context_tells_of_the_run_and_carries_progress_and_checkpoints(bed: Any) -> None:
    bed.plugin("""
        from orchestrator import Context
        def chunks(context: Context):
            start = context.checkpoint.load(0)
            for done in range(start, 5):
                context.checkpoint.save({"done": done + 1})
                context.progress(done + 1, 5)
            context.log.warning("at %s", start)
            return [context.job, context.run_id, context.attempt, context.max_attempts, str(context.fire_time),
                    context.cancelled]
        def bad_checkpoint(context: Context):
            context.checkpoint.save(object())
    """)
    moment = datetime(2024, 5, 1, 9, tzinfo=UTC)

    async def story() -> None:
        ended = await bed.run("chunks", checkpoint=3, fire_time=moment, number=2, attempt=4)
        assert ended.outcome is Outcome.SUCCEEDED, ended
        assert ended.result == ["chunks", ended.run_id, 2, 3, "2024-05-01 09:00:00+00:00", False]
        assert bed.saved(ended.run_id) == [{"done": 4}, {"done": 5}]
        assert [(p.done, p.total) for p in bed.progress(ended.run_id)][-1] == (5, 5)
        assert bed.text(ended.run_id, "log") == "at 3"
        bad = await bed.run("bad_checkpoint")
        assert (bad.outcome, bad.error.type) == (Outcome.FAILED, "TypeError")

    bed.play(story)


RESOURCES = """
    import pathlib
    class Database:
        def __init__(self, url):
            self.url = url
            self.queries = 0
        def dispose(self):
            with open("closed", "a") as file:
                file.write(self.url + "\\n")
        async def aclose(self):
            self.dispose()
    def connect(url):
        with open("opened", "a") as file:
            file.write(url + "\\n")
        if pathlib.Path("broken").exists():
            raise ConnectionError("refused")
        return Database(url)
    async def connect_async(url):
        return connect(url)
    def query(db):
        db.queries += 1
        return db.queries
    async def aquery(adb):
        adb.queries += 1
        return adb.queries
    def wrong_kind(adb):
        pass
"""


def test_a_resource_is_opened_once_per_worker_and_closed_at_the_end(bed: Any) -> None:
    bed.plugin(RESOURCES)
    bed.resources = {
        "db": Resource(name="db", use="work.connect", options={"url": "sqlite://"}, close="dispose"),
        "adb": Resource(name="adb", use="work.connect_async", options={"url": "async://"}, close="aclose"),
    }

    async def story() -> None:
        results = [(await bed.run("query")).result for _ in range(3)]
        assert sorted(results)[-1] >= 2
        ended = await bed.ends_of(bed.submit("aquery", count=5))
        assert sorted(e.result for e in ended) == [1, 2, 3, 4, 5]
        wrong = await bed.run("wrong_kind")
        assert "isolation: async" in wrong.error.message
        await bed.stop(5)
        assert sorted(bed.lines("closed")) == sorted(bed.lines("opened"))

    bed.play(story, hurry=False)


def test_a_resource_that_fails_to_open_fails_the_attempt_and_the_next_one_tries_again(bed: Any) -> None:
    bed.plugin(RESOURCES)
    bed.resources = {"db": Resource(name="db", use="work.connect", options={"url": "x"})}

    async def story() -> None:
        bed.folder.joinpath("broken").touch()
        failed = await bed.run("query")
        assert (failed.outcome, failed.error.type) == (Outcome.FAILED, "ConnectionError")
        bed.folder.joinpath("broken").unlink()
        assert (await bed.run("query")).outcome is Outcome.SUCCEEDED

    bed.play(story)


def test_parameters_are_rendered_with_the_run_vars_and_secrets(bed: Any) -> None:
    pytest.importorskip("orchestrator.config.templates")
    bed.plugin("""
        def echo(text: str, plain: str = "{{ untouched }}"):
            return [text, plain]
    """)
    bed.folder.joinpath("token").write_text("s3cret\n")
    bed.secrets = {"token": Secret(file="token")}
    bed.vars = {"place": "Berlin"}
    template = "{{ job.name }} {{ run.id }} {{ run.attempt }} {{ vars.place }} {{ secrets.token }}"

    async def story() -> None:
        ended = await bed.run("echo", params={"text": {"$template": template}})
        assert ended.outcome is Outcome.SUCCEEDED, ended
        assert ended.result == [f"echo {ended.run_id} 1 Berlin ***", "{{ untouched }}"]

    bed.play(story)


def test_an_attempt_starts_in_the_configurations_folder_and_with_a_context_of_its_own(bed: Any) -> None:
    bed.workers = bed.workers.__replace__(processes=1) if hasattr(bed.workers, "__replace__") else bed.workers
    bed.plugin("""
        import contextvars, os, tempfile
        var = contextvars.ContextVar("var", default="fresh")
        def strays():
            found = var.get(), os.getcwd()
            var.set("used")
            os.chdir(tempfile.gettempdir())
            return found
    """)

    async def story() -> None:
        for _ in range(4):
            assert (await bed.run("strays")).result == ["fresh", str(bed.folder)]

    bed.play(story)


def test_durations_are_measured_where_the_attempt_runs(bed: Any) -> None:
    bed.plugin("""
        import time
        def naps():
            time.sleep(0.2)
    """)

    async def story() -> None:
        ended = await bed.run("naps")
        assert timedelta(seconds=0.19) < ended.finished_at - ended.started_at

    bed.play(story)
