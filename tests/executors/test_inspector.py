"""Every test reads real plugins in a real process."""

from __future__ import annotations

import os
import textwrap
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from orchestrator.core.catalogue import Inspection, ParamCheck
from orchestrator.core.errors import PluginError
from orchestrator.core.plan import PluginSources
from orchestrator.executors import trace
from orchestrator.executors.captured import Captured
from orchestrator.executors.inspector import ProcessInspector

PATIENT = timedelta(seconds=30)
HASTY = timedelta(seconds=2)


class Project:
    """A folder of plugins, and what an inspection says of it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.write("plugins/good.py", "def run(n: int = 1): ...")

    def write(self, path: str, source: str) -> Path:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(textwrap.dedent(source))
        return file

    def inspect(self, *calls: str, timeout: timedelta = PATIENT, **kwargs: Any) -> Inspection:
        checks = kwargs.pop("checks", [ParamCheck(job=f"job-{call}", call=call) for call in calls])
        resources = kwargs.pop("resources", {})
        sources = PluginSources(**{"folders": (str(self.root / "plugins"),), **kwargs})
        return ProcessInspector(timeout).inspect(sources, checks, resources, str(self.root))


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def is_gone(pid: int) -> bool:
    """Killed; perhaps not yet reaped by whoever inherited it."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            try:
                os.kill(pid, 0)
            except ProcessLookupError:
                return True
            state = "?"
        if state == "Z":
            return True
        time.sleep(0.01)
    return False


def test_nothing_to_read_starts_no_process():
    assert ProcessInspector().inspect(PluginSources(), [], {}, "/nowhere") == Inspection()


def test_registered_and_called_functions_are_described(project):
    project.write(
        "plugins/mails.py", "from orchestrator import job\n@job('mail')\nasync def m(to: str): 'Sends.'\ndef x(): ..."
    )
    found = project.inspect("good.run", "shutil.rmtree")
    assert set(found.callables) == {"mail", "good.run", "shutil.rmtree"}
    info = found.callables["mail"]
    assert (info.isolation, info.is_async, info.doc, info.signature) == ("async", True, "Sends.", "(to: str)")
    assert found.problems == ()
    assert [(p.job, p.kind, p.path) for p in found.param_problems] == [("job-shutil.rmtree", "missing", ("path",))]


def test_params_and_callables_are_checked(project):
    checks = [
        ParamCheck(job="a", call="good.run", params={"n": "x"}),
        ParamCheck(job="b", call="good.rnu"),
        ParamCheck(job="c", call="good.run", params={"m": 1}),
        ParamCheck(job="d", call="good.run", params={"n": {"$template": "{{ run.id }}"}}, deferred=("n",)),
    ]
    found = project.inspect(checks=checks)
    assert [(p.job, p.kind, p.path) for p in found.param_problems] == [
        ("a", "type", ("n",)),
        ("b", "unknown_callable", ()),
        ("c", "unknown", ("m",)),
    ]
    assert found.param_problems[1].hint == "did you mean 'good.run'?"


def test_resources_fill_parameters_and_must_be_importable(project):
    project.write("plugins/uses.py", "def run(db, api=None): ...")
    found = project.inspect("uses.run", resources={"db": "sqlite3.connect", "api": "htpx.Client", "pi": "math.pi"})
    assert found.callables["uses.run"].resources == ("db", "api")
    assert found.param_problems == ()
    assert "no module 'htpx'" in found.resource_problems["api"]
    assert "not callable" in found.resource_problems["pi"]
    assert set(found.resource_problems) == {"api", "pi"}


def test_types_of_pydantic_and_lazy_annotations_are_known(project):
    project.write(
        "plugins/models.py",
        """
        from __future__ import annotations
        from typing import TYPE_CHECKING
        from pydantic import BaseModel
        if TYPE_CHECKING:
            from orchestrator import Context
        class Window(BaseModel):
            days: list[int]
        def run(window: Window, ctx: Context): ...
        """,
    )
    found = project.inspect(checks=[ParamCheck(job="a", call="models.run", params={"window": {"days": [1, "x"]}})])
    assert found.callables["models.run"].wants_context
    assert [p.path for p in found.param_problems] == [("window", "days", 1)]


def test_a_raising_plugin_is_located_with_what_it_printed(project):
    bad = project.write("plugins/bad.py", "print('hello from bad')\n\nraise ValueError('no luck')\n")
    found = project.inspect("good.run", "bad.run")
    (problem,) = found.problems
    assert (problem.module, problem.file, problem.line) == ("bad", str(bad), 3)
    assert problem.message == "ValueError: no luck"
    assert "hello from bad" in problem.traceback
    assert [(p.job, p.kind) for p in found.param_problems] == [("job-bad.run", "unknown_callable")]


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("def broken(:", "SyntaxError"),
        ("import not_installed_xyz", "pip install not-installed-xyz"),
        ("import sys; sys.exit(3)", "SystemExit: 3"),
        ("from . import nothing", "ImportError"),
    ],
)
def test_failures_in_python_name_their_line(project, code, said):
    bad = project.write("plugins/bad.py", f"x = 1\n{code}\n")
    (problem,) = project.inspect("good.run").problems
    assert (problem.file, problem.line) == (str(bad), 2)
    assert said in problem.message


@pytest.mark.parametrize("code", ["import time; time.sleep(1000)", "while True: pass"])
def test_a_hanging_import_is_located_and_spares_the_rest(project, code):
    bad = project.write("plugins/bad.py", f"import os\nprint('pid', os.getpid())\n{code}\n")
    found = project.inspect("good.run", "bad.run", timeout=HASTY)
    (problem,) = found.problems
    assert (problem.module, problem.file, problem.line) == ("bad", str(bad), 3)
    assert problem.message == "importing bad did not finish in 2s"
    assert "good.run" in found.callables
    assert [(p.job, p.kind) for p in found.param_problems] == [("job-bad.run", "unknown_callable")]
    pid = int(problem.traceback.partition("pid ")[2].split()[0])
    assert is_gone(pid)


def test_a_hang_deep_in_a_library_names_the_line_of_the_plugin(project):
    bad = project.write("plugins/bad.py", "import queue\nqueue.Queue().get()\n")
    (problem,) = project.inspect(timeout=HASTY).problems
    assert (problem.file, problem.line) == (str(bad), 2)


def test_the_process_ended_by_an_import(project):
    bad = project.write("plugins/bad.py", "import os\nprint('bye')\nos._exit(3)\n")
    (problem,) = project.inspect("good.run").problems
    assert (problem.module, problem.file, problem.line) == ("bad", str(bad), 3)
    assert problem.message == "importing bad ended the process with exit status 3"
    assert "bye" in problem.traceback


def test_a_segfault_is_located(project):
    bad = project.write("plugins/bäd.py", "import ctypes\nctypes.string_at(0)\n")
    (problem,) = project.inspect("good.run").problems
    assert (problem.file, problem.line) == (str(bad), 2)
    assert "SIGSEGV" in problem.message


def test_a_kill_without_a_trace_still_names_the_file(project):
    bad = project.write("plugins/bad/__init__.py", "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n")
    (problem,) = project.inspect("good.run").problems
    assert problem.file == str(bad)
    assert "SIGKILL" in problem.message


def test_a_process_that_becomes_another_program_is_ended(project):
    project.write("plugins/bad.py", "import os\nos.execvp('sleep', ['sleep', '1000'])\n")
    (problem,) = project.inspect("good.run").problems
    assert "made it another program" in problem.message


def test_several_bad_plugins_are_all_reported(project):
    project.write("plugins/bad_a.py", "import os; os._exit(0)")
    project.write("plugins/bad_b.py", "1/0")
    project.write("plugins/bad_c.py", "import os; os.abort()")
    found = project.inspect("good.run")
    assert sorted(p.module for p in found.problems) == ["bad_a", "bad_b", "bad_c"]
    assert "good.run" in found.callables


def test_a_flood_of_output_is_bounded_and_corrupts_nothing(project):
    project.write(
        "plugins/loud.py", "import os\nfor _ in range(20): os.write(1, b'x' * 10**6)\nos.write(2, b'last')\n1/0"
    )
    found = project.inspect("good.run")
    (problem,) = found.problems
    assert problem.traceback.rstrip().endswith("last")
    assert len(problem.traceback) < 10_000
    assert "good.run" in found.callables


def test_children_and_threads_of_a_plugin_are_not_waited_for_and_not_left(project):
    pids = project.root / "pid"
    project.write(
        "plugins/forks.py",
        f"""
        import os, subprocess, sys, threading, time
        child = subprocess.Popen(["sleep", "1000"])
        forked = os.fork()
        if forked == 0:
            time.sleep(1000)
        threading.Thread(target=time.sleep, args=(1000,)).start()
        open({str(pids)!r}, "w").write(f"{{child.pid}} {{forked}} {{os.getpid()}}")
        """,
    )
    found = project.inspect("good.run")
    assert found.problems == ()
    assert all(is_gone(int(pid)) for pid in pids.read_text().split())


def test_a_forked_child_that_holds_the_pipes_hides_no_death(project):
    project.write("plugins/forks.py", "import os, time\nif os.fork() == 0: time.sleep(1000)\nos._exit(4)\n")
    (problem,) = project.inspect("good.run").problems
    assert "exit status 4" in problem.message


def test_a_package_with_relative_imports(project):
    project.write("plugins/pack/__init__.py", "from .inner import run\nfrom . import inner")
    project.write("plugins/pack/inner.py", "from orchestrator import job\n@job\ndef run(): ...")
    found = project.inspect("pack.run")
    assert set(found.callables) == {"pack.run", "pack.inner.run"}


def test_a_plugin_may_be_named_like_a_part_of_the_standard_library(project):
    project.write("plugins/email.py", "import smtplib\ndef send(): ...")
    project.write("logging.py", "1/0")
    found = project.inspect("email.send")
    assert (set(found.callables), found.problems) == ({"email.send"}, ())


def test_two_plugins_of_one_name(project):
    project.write("more/good.py", "")
    folders = tuple(str(project.root / name) for name in ("plugins", "more"))
    (problem,) = project.inspect("good.run", folders=folders).problems
    assert "two plugins are named 'good'" in problem.message


def test_entry_points_on_pythonpath(project, monkeypatch):
    project.write("site/acme.py", "from orchestrator import job\n@job('acme.ping')\ndef ping(): ...")
    project.write("site/acme-1.dist-info/METADATA", "Metadata-Version: 2.1\nName: acme\nVersion: 1\n")
    project.write("site/acme-1.dist-info/entry_points.txt", "[orchestrator.plugins]\nacme-tools = acme\n")
    monkeypatch.setenv("PYTHONPATH", str(project.root / "site"))
    found = project.inspect("acme.ping", modules=("acme-tools",))
    assert "acme.ping" in found.callables
    assert found.problems == ()


def test_a_generator_that_is_registered_is_a_problem_of_its_own(project):
    file = project.write(
        "plugins/gens.py", "from orchestrator import job\n@job\ndef rows(): yield 1\n@job\ndef ok(): ..."
    )
    found = project.inspect("gens.rows")
    assert [(p.module, p.file, p.line) for p in found.problems] == [("gens", str(file), 2)]
    assert "gens.ok" in found.callables
    assert [p.kind for p in found.param_problems] == ["unknown_callable"]


def test_validators_that_hang_or_raise_are_problems_of_their_jobs(project):
    file = project.write(
        "plugins/odd.py",
        """
        from typing import Annotated
        from pydantic import BeforeValidator
        def stick(value):
            while value == "stick": pass
            raise KeyError(value)
        def run(a: Annotated[int, BeforeValidator(stick)]): ...
        def other(a: Annotated[int, BeforeValidator(stick)]): ...
        """,
    )
    checks = [
        ParamCheck(job="stuck", call="odd.run", params={"a": "stick"}),
        ParamCheck(job="raises", call="odd.other", params={"a": "raise"}),
    ]
    found = project.inspect(checks=checks, timeout=HASTY)
    said = {p.job: p.message for p in found.param_problems}
    assert "raised KeyError" in said["raises"]
    assert "checking the parameters of odd.run did not finish" in said["stuck"]
    assert f"{file}:5" in said["stuck"]


def test_a_library_that_hangs_when_a_call_names_it(project):
    file = project.write("stuck/jobs.py", "import time\ntime.sleep(1000)")
    found = project.inspect("stuck.jobs.run", "good.run", timeout=HASTY)
    assert [(p.module, p.file, p.line) for p in found.problems] == [("stuck.jobs", str(file), 2)]
    assert [p.job for p in found.param_problems] == ["job-stuck.jobs.run"]


def test_ten_thousand_checks(project):
    checks = [
        ParamCheck(job=f"job-{n}", call="good.run", params={"n": str(n) if n % 100 else "x"}) for n in range(10_000)
    ]
    found = project.inspect(checks=checks)
    assert [p.job for p in found.param_problems] == [f"job-{n}" for n in range(0, 10_000, 100)]


def test_a_root_that_is_not_there(tmp_path):
    with pytest.raises(PluginError, match="can't be started"):
        ProcessInspector().inspect(PluginSources(modules=("x",)), [], {}, str(tmp_path / "nope"))


def test_a_trace_is_read_from_the_thread_to_blame():
    text = (
        "Timeout (0:00:01)!\n"
        'Thread 0x01 [helper] (most recent call first):\n  File "/a.py", line 1 in wait\n\n'
        'Thread 0x02 (most recent call first):\n  File "/b\\xe4.py", line 7 in <module>\n'
        '  File "/x/inspection.py", line 3 in main\n\n'
        'Thread 0x03 (most recent call first):\n  File "/c.py", line 1 in wait\n'
    )
    assert trace.frames(text, "inspection.py")[0] == ("/bä.py", 7)
    assert trace.timed_out(text)
    assert trace.frames("", "inspection.py") == []


@pytest.mark.parametrize("size", [1, 2, 5, 7, 1000])
def test_output_is_told_apart_by_step_however_it_arrives(size):
    mark = b"\0mark\0"
    data = b"before" + mark + b"one \0ma" + mark + mark + b"x" * 5000 + b" three \0mark"
    captured = Captured(mark)
    for start in range(0, len(data), size):
        captured.feed(data[start : start + size])
    assert [captured.text(step) for step in (0, 1, 2, 4)] == ["before", "one \0ma", "", ""]
    assert captured.text(3).endswith("xxx three \0mark")
    assert len(captured.text(3)) < 4100


def test_values_that_no_worker_can_receive_are_problems_of_their_jobs(project):
    checks = [ParamCheck(job="big", call="good.run", params={"n": 10**30}), ParamCheck(job="ok", call="good.run")]
    (problem,) = project.inspect(checks=checks).param_problems
    assert (problem.job, problem.kind, problem.path) == ("big", "type", ("n",))


def test_text_that_is_no_unicode_arrives_all_the_same(project):
    project.write("plugins/bad.py", "raise ValueError('caf\\udce9')")
    (problem,) = project.inspect("good.run").problems
    assert problem.message == "ValueError: caf?"


def test_an_attribute_that_raises_is_a_problem_of_the_job_that_names_it(project):
    project.write("plugins/lazy.py", "def __getattr__(name): raise RuntimeError(name)")
    (problem,) = project.inspect("lazy.run").param_problems
    assert "'run' of lazy can't be read: RuntimeError: run" in problem.message
