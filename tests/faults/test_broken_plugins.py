"""Plugins that raise, exit, crash or hang at import, on the whole way from `validate` to `run`."""

from __future__ import annotations

import re

import pytest

from tests.faults.processes import nobody_left
from tests.project import Project

JOBS = """\
version: 1
plugins: [plugins]
workers: {import_timeout: 2s}
jobs:
  fine: {call: good.tick, cron: EVERY_SECOND}
  lost: {call: broken.go, cron: EVERY_SECOND}
  manual: {call: broken.go}
"""
BROKEN = {
    "raising": ("import os\n\nraise RuntimeError('not today')\n", "not today"),
    "mistyped": ("import os\n\ndef go(:\n    pass\n", "SyntaxError|invalid syntax"),
    "exiting": ("import os\n\nos._exit(7)\n", "exit"),
    "leaving": ("import sys\n\nsys.exit('bye')\n", "bye|exit"),
    "crashing": ("import ctypes\n\nctypes.string_at(0)\n", "SIGSEGV|segmentation"),
    "binary": ("import os\n\nx = '\udcff'\n", "utf-8|decode|encod"),
    "hanging": ("import time\n\ntime.sleep(600)\n", "2s"),
}
LINE = 3
"""Where each of them breaks."""


@pytest.fixture
def at_work(project: Project, mark: str) -> Project:
    project.write("jobs.yaml", JOBS)
    project.plugin("good", "def tick(): pass\n")
    return project


def break_plugin(project: Project, how: str, name: str = "broken") -> None:
    project.plugin(name, "").write_bytes(BROKEN[how][0].encode("utf-8", "surrogateescape"))


def test_validate_names_file_and_line_of_every_one(project: Project, mark: str) -> None:
    """However a plugin breaks, the others are read, and nobody waits longer than `import_timeout` for one."""
    jobs = "".join(f"  job-{how}: {{call: {how}.go}}\n" for how in BROKEN)
    project.write("jobs.yaml", f"version: 1\nplugins: [plugins]\nworkers: {{import_timeout: 2s}}\njobs:\n{jobs}")
    for how in BROKEN:
        break_plugin(project, how, name=how)
    result = project.cli("validate")
    told = result.out + result.err
    assert result.code == 2
    for how, (_, words) in BROKEN.items():
        (found,) = re.findall(rf"^.*{how}\.py:{LINE}\b.*error: plugin.*$", told, re.MULTILINE)
        assert re.search(words, found, re.IGNORECASE), found
        assert f"job-{how}" in told
    assert "Traceback" not in told
    assert nobody_left(mark)


@pytest.mark.parametrize("how", ["raising", "crashing"])
def test_the_rest_runs_and_the_fires_of_the_broken_are_recorded(at_work: Project, mark: str, how: str) -> None:
    break_plugin(at_work, how)
    with at_work.engine() as engine:
        engine.wait_for(lambda: at_work.runs(job="fine", state="succeeded"))
        (skipped, *_) = engine.wait_for(lambda: at_work.runs(job="lost", state="skipped"))
        assert "broken" in skipped["reason"]
        refused = at_work.cli("trigger", "manual")
        assert refused.code == 2
        assert "manual can't run" in refused.err
        assert "Traceback" not in refused.err
        assert engine.terminate() == 0
    assert at_work.runs(job="manual") == []
    assert {run["state"] for run in at_work.runs(job="lost")} == {"skipped"}
    assert nobody_left(mark)


@pytest.mark.parametrize("watch", [[], ["--no-watch"]])
def test_a_plugin_that_breaks_while_the_engine_runs_spares_what_works(
    at_work: Project, mark: str, watch: list[str]
) -> None:
    """Watched or not: workers that start later meet a plugin that was fine when the catalogue was read."""
    at_work.plugin("broken", "def go(): pass\n")
    at_work.plugin("crashing", "import os\ndef crash(): os._exit(1)\n")
    at_work.write("jobs.yaml", JOBS + "  crash: {call: crashing.crash, cron: EVERY_SECOND, retry: false}\n")
    with at_work.engine(*watch) as engine:
        engine.wait_for(lambda: at_work.runs(job="lost", state="succeeded"))
        at_work.plugin("broken", "raise RuntimeError('edited badly')\n")
        for _ in range(2):
            newest = at_work.runs()[0]["id"]
            engine.wait_for(lambda newest=newest: _newest(at_work, "fine", "succeeded") > newest)
            engine.wait_for(lambda newest=newest: _newest(at_work, "crash", "failed") > newest)
        assert engine.terminate() == 0
    assert nobody_left(mark)


def _newest(project: Project, job: str, state: str) -> int:
    return max((run["id"] for run in project.runs(job=job, state=state)), default=0)


def test_all_plugins_gone_is_a_mistake_that_validate_names(at_work: Project, mark: str) -> None:
    at_work.write("jobs.yaml", JOBS.replace("[plugins]", "[nowhere]"))
    result = at_work.cli("validate")
    assert result.code == 2
    assert "nowhere" in result.out + result.err
    assert "Traceback" not in result.err
