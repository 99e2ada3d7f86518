"""Who doesn't use a built-in callable doesn't pay for it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.project import Project

HEAVY = {"httpx", "sqlalchemy", "smtplib", "ssl"}
PROBE = "import sys\ndef loaded(): return sorted(sys.modules)"
USES = """\
  one: {call: shell, params: {command: "true"}}
  two: {call: email, params: {server: "smtp://h", from: a@x.y, to: b@x.y}}
  three: {call: sql, params: {resource: db, statement: "SELECT 1"}}
"""
INSPECT = """
import sys
from orchestrator.core.plan import PluginSources
from orchestrator.worker.inspection import Request, inspect
request = Request(sources=PluginSources(folders=("plugins",)), checks=[], resources={}, root="", timeout=60.0)
assert set(inspect(request, lambda *_: None).callables) == set()
print(*sys.modules)
"""


def ours(modules):
    return {name for name in modules if name.startswith("orchestrator.builtins.")}


@pytest.mark.parametrize("uses", ["", USES])
def test_a_worker_imports_no_more_than_its_jobs_use(project: Project, uses: str) -> None:
    resources = "resources:\n  db: {use: sqlite3.connect, with: {database: ':memory:'}}\n"
    project.write("jobs.yaml", "version: 1\n" + resources + "jobs:\n  probe: {call: probe.loaded}\n" + uses)
    project.plugin("probe", PROBE)
    with project.engine() as engine:
        project.cli("trigger", "probe").ok()
        (run,) = engine.wait_for(lambda: project.runs(state="succeeded"))
    modules = set(run["result"])
    assert not modules & HEAVY
    assert bool(ours(modules)) is bool(uses)


def test_neither_does_validation(project: Project) -> None:
    project.plugin("probe", PROBE)
    done = subprocess.run(
        [sys.executable, "-c", INSPECT], check=False, cwd=project.folder, capture_output=True, text=True
    )
    modules = set(done.stdout.split())
    assert "orchestrator.builtins" in modules, done.stderr
    assert not ours(modules) | (modules & HEAVY)
