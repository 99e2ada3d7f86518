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
    "raises": ("import os\n\nraise RuntimeError('not today')\n", 3, "not today"),
    "has a typo": ("import os\n\ndef go(:\n    pass\n", 3, "SyntaxError|invalid syntax"),
    "exits": ("import os\n\nos._exit(7)\n", 3, "ended|exit"),
    "exits politely": ("import sys\n\nsys.exit('bye')\n", 3, "bye|exit"),
    "segfaults": ("import ctypes\n\nctypes.string_at(0)\n", 3, "SIGSEGV|segmentation"),
    "hangs": ("import time\n\ntime.sleep(600)\n", 3, "took|longer|after|hang"),
    "is not text": ("import os\n\nx = '\udcff'\n", 3, "utf-8|decode|encod"),
}


@pytest.fixture
def at_work(project: Project, mark: str) -> Project:
    project.write("jobs.yaml", JOBS)
    project.plugin("good", "def tick(): pass\n")
    return project


def break_plugin(project: Project, how: str) -> tuple[int, str]:
    code, line, words = BROKEN[how]
    path = project.plugin("broken", "")
    path.write_bytes(code.encode("utf-8", "surrogateescape"))
    return line, words


@pytest.mark.parametrize("how", sorted({*BROKEN} - {"hangs"}))
def test_validate_names_file_and_line(at_work: Project, mark: str, how: str) -> None:
    line, words = break_plugin(at_work, how)
    result = at_work.cli("validate")
    told = result.out + result.err
    assert result.code == 2
    assert re.search(rf"broken\.py[:, ](line )?{line}\b", told), told
    assert re.search(words, told, re.IGNORECASE), told
    assert "lost" in told
    assert "orchestrator/" not in told
    assert nobody_left(mark)


@pytest.mark.parametrize("how", ["raises", "segfaults"])
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


def test_the_time_that_an_import_may_take_is_the_configured_one(at_work: Project, mark: str) -> None:
    """A plugin that hangs is found, and nobody waits longer than `import_timeout`."""
    line, _ = break_plugin(at_work, "hangs")
    result = at_work.cli("validate")
    assert result.code == 2
    assert re.search(rf"broken\.py:{line}\b", result.out + result.err)
    assert nobody_left(mark)
    assert "2s" in result.out + result.err


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
