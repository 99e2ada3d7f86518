"""What a worker found in the plugins is told where the YAML says it, and spares the jobs that don't need them."""

from __future__ import annotations

from datetime import timedelta

import pytest

from orchestrator.core.catalogue import CallableInfo, Inspection, Parameter, ParamProblem, PluginProblem
from orchestrator.core.errors import PluginError
from orchestrator.core.policies import Batching, Isolation

TEXT = """\
version: 1
plugins: [tasks]
jobs:
  good:
    call: fine.work
    params: {days: 3, nested: {list: [1, x]}, when: "{{ run.fire_time }}"}
  bad:
    call: broken.work
"""


def info(name, **more):
    return CallableInfo(
        **{"name": name, "isolation": Isolation.PROCESS, "is_async": False, "file": "f", "line": 1, **more}
    )


class Fake:
    """An inspector that answers what it was given."""

    def __init__(self, *names, resource_problems=None, infos=(), **more):
        callables = {name: info(name) for name in names} | {one.name: one for one in infos}
        self.answer = Inspection(callables=callables, resource_problems=resource_problems or {}, **more)
        self.calls = []

    def inspect(self, sources, checks, resources, root):
        self.calls.append((sources, checks, resources, root))
        return self.answer


def test_it_is_asked_once_with_everything_and_deferred_values_left_out(load_text, tmp_path):
    fake = Fake("fine.work", "broken.work")
    (tmp_path / "tasks").mkdir()
    loaded = load_text(TEXT, inspector=fake)
    assert loaded.ok
    assert loaded.inspection is fake.answer
    ((sources, checks, resources, root),) = fake.calls
    assert sources.folders == (str(tmp_path / "tasks"),)
    assert (resources, root) == ({}, str(tmp_path))
    assert [check.job for check in checks] == ["good", "bad"]
    assert checks[0].params == {"days": 3, "nested": {"list": [1, "x"]}}
    assert checks[0].deferred == ("when",)


def test_problems_of_parameters_are_at_the_parameter(load_text):
    def problem(kind, *path):
        return ParamProblem(job="good", kind=kind, path=path, message=f"{kind} {path}", hint="mend")

    fake = Fake(
        "fine.work",
        "broken.work",
        param_problems=(
            problem("type", "days"),
            problem("type", "nested", "list", 1),
            problem("unknown", "nested"),
            problem("missing", "limit"),
        ),
    )
    text = TEXT.replace("  bad:", "    on_start: true\n  bad:")
    loaded = load_text(text, inspector=fake)
    assert loaded.plan is None
    assert [(d.code, d.line, d.column) for d in loaded.diagnostics] == [
        ("missing-param", 6, 5),
        ("bad-param", 6, 20),
        ("unknown-param", 6, 23),
        ("bad-param", 6, 42),
    ]
    assert all(d.hint == "mend" for d in loaded.diagnostics)


def test_a_job_that_nothing_starts_may_leave_parameters_to_who_enqueues_it(load_text):
    missing = ParamProblem(job="a", kind="missing", path=("to",), message="m.f needs the parameter 'to'")
    fake = Fake("m.f", "m.g", param_problems=(missing,))
    assert load_text("version: 1\njobs: {a: {call: m.f}}\n", inspector=fake).ok
    for start in ("cron: '@daily'", "on_start: true", "after: b"):
        text = f"version: 1\njobs: {{a: {{call: m.f, {start}}}, b: {{call: m.g}}}}\n"
        assert "missing-param" in {d.code for d in load_text(text, inspector=fake).diagnostics}


def test_an_unknown_callable_gets_a_suggestion(load_text, only):
    fake = Fake(
        "fine.work",
        "brokn.work",
        param_problems=(ParamProblem(job="bad", kind="unknown_callable", path=(), message="no such callable"),),
    )
    found = only(load_text(TEXT, inspector=fake))
    assert (found.code, found.line, found.column) == ("unknown-callable", 8, 11)
    assert found.hint == "did you mean `brokn.work`?"


def test_a_plugin_that_failed_is_told_at_its_line_and_only_its_jobs_are_unusable(load_text, tmp_path):
    fake = Fake(
        "fine.work",
        problems=(
            PluginProblem(
                module="broken",
                message="ZeroDivisionError: division by zero",
                file=str(tmp_path / "tasks/broken.py"),
                line=2,
                traceback="Traceback …",
            ),
        ),
        param_problems=(ParamProblem(job="bad", kind="unknown_callable", path=(), message="broken failed to import"),),
    )
    loaded = load_text(TEXT, inspector=fake, files={"tasks/broken.py": "x = 1\nx / 0\n"})
    assert not loaded.ok
    assert loaded.usable
    assert loaded.plan.jobs["good"].unusable is None
    assert "plugin `broken`" in loaded.plan.jobs["bad"].unusable
    assert loaded.plan.sources.skip == ("broken",)
    job, plugin = loaded.diagnostics
    assert (job.code, job.line, job.column) == ("plugin-needed", 8, 11)
    assert (plugin.code, plugin.line, plugin.frame[-1]) == ("plugin-failed", 2, "x / 0")
    assert plugin.file.endswith("broken.py")


def test_a_failed_plugin_and_another_mistake_give_no_plan(load_text):
    fake = Fake("fine.work", problems=(PluginProblem(module="broken", message="boom", traceback="Traceback"),))
    assert not load_text(TEXT + "    bogus: 1\n", inspector=fake).usable


def test_a_callable_that_a_failed_plugin_may_have_offered_is_unusable_not_unknown(load_text):
    fake = Fake("fine.work", problems=(PluginProblem(module="other", message="boom", traceback="Traceback"),))
    loaded = load_text(TEXT, inspector=fake)
    assert loaded.usable
    assert "no plugin that could be read has `broken.work`" in loaded.plan.jobs["bad"].unusable


def test_a_typo_in_the_name_of_a_plugin_that_was_read_is_no_fault_of_another_that_failed(load_text):
    fake = Fake(
        "fine.work",
        problems=(PluginProblem(module="other", message="boom", traceback="Traceback"),),
        param_problems=(ParamProblem(job="a", kind="unknown_callable", path=(), message="no such callable"),),
    )
    loaded = load_text("version: 1\njobs: {a: {call: fine.wrk}}\n", inspector=fake)
    assert not loaded.usable
    assert {d.code for d in loaded.diagnostics} == {"plugin-failed", "unknown-callable"}


def test_a_resource_of_a_failed_plugin_spares_jobs_that_do_not_use_it(load_text):
    text = "version: 1\nresources: {db: {use: broken.make}}\njobs: {a: {call: m.a}, b: {call: m.b}}\n"
    fake = Fake(
        infos=(info("m.a", resources=("db",)), info("m.b")),
        resource_problems={"db": "broken failed to import"},
        problems=(PluginProblem(module="broken", message="boom", traceback="Traceback"),),
    )
    plan = load_text(text, inspector=fake).plan
    assert "resource `db`" in plan.jobs["a"].unusable
    assert plan.jobs["b"].unusable is None


def test_a_resource_that_cannot_be_imported_is_at_its_use(load_text, only):
    text = "version: 1\nresources: {db: {use: sqlalchemi.create_engine}}\njobs: {}\n"
    found = only(load_text(text, inspector=Fake(resource_problems={"db": "no module"})))
    assert (found.code, found.line, found.column) == ("bad-resource", 2, 23)


def test_isolation_comes_from_the_job_the_defaults_or_the_callable(load_text):
    text = """
version: 1
defaults: {isolation: thread}
jobs:
  a: {call: m.sync}
  b: {call: m.async}
  c: {call: m.sync, isolation: process}
"""
    fake = Fake(infos=(info("m.sync"), info("m.async", isolation=Isolation.ASYNC, is_async=True)))
    jobs = load_text(text, inspector=fake).plan.jobs
    assert [job.isolation.value for job in jobs.values()] == ["thread", "async", "process"]


def test_an_isolation_that_the_callable_cannot_have_is_refused(load_text, only):
    fake = Fake(infos=(info("m.f"),))
    found = only(load_text("version: 1\njobs: {a: {call: m.f, isolation: async}}\n", inspector=fake))
    assert (found.code, found.column) == ("bad-isolation", 34)


def test_a_batch_needs_a_callable_that_takes_one(load_text, only):
    text = "version: 1\njobs: {a: {call: m.f, batch: {size: 100, wait: 2s}}}\n"
    batched = load_text(text, inspector=Fake(infos=(info("m.f", takes_batch=True),)))
    assert batched.plan.jobs["a"].batch == Batching(size=100, wait=timedelta(seconds=2))
    found = only(load_text(text, inspector=Fake("m.f")))
    assert (found.code, found.column) == ("bad-batch", 30)


@pytest.mark.parametrize(
    ("batch", "code"),
    [
        ("{wait: 2s}", "missing-key"),
        ("{size: 0}", "bad-value"),
        ("{size: 5, wait: 2}", "bad-duration"),
        ("5", "wrong-type"),
    ],
)
def test_a_batch_is_a_size_and_a_wait(load_text, only, batch, code):
    assert only(load_text(f"version: 1\njobs: {{a: {{call: m.f, batch: {batch}}}}}\n")).code == code


def test_a_reader_that_cannot_run_is_told(load_text, only):
    class Dead:
        def inspect(self, *_):
            raise PluginError("no reader can run")

    assert only(load_text(TEXT, inspector=Dead())).code == "plugins-unread"


def test_warnings_of_a_callable_are_at_its_call(load_text, only):
    fake = Fake(infos=(info("m.f", warnings=("odd annotation",)),))
    loaded = load_text("version: 1\njobs: {a: {call: m.f}}\n", inspector=fake)
    assert loaded.ok
    assert (only(loaded).severity, only(loaded).column) == ("warning", 18)


def test_a_key_of_a_parameter_that_the_callable_lacks_is_an_error(load_text, only):
    parameters = (Parameter(name="user_id", annotation="int", required=True),)
    fake = Fake(infos=[info("m.f", parameters=parameters)])
    text = "version: 1\njobs:\n  a: {call: m.f, unique: {by: [%s]}}\n"
    found = only(load_text(text % "usr_id", inspector=fake))
    assert (found.code, found.line, found.hint) == ("unknown-param", 3, "did you mean `user_id`?")
    assert load_text(text % "user_id.part", inspector=fake).ok
    defaults = "version: 1\ndefaults: {unique: {by: [other]}}\njobs:\n  a: {call: m.f}\n"
    assert load_text(defaults, inspector=fake).ok
