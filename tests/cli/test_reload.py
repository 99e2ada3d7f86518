"""Edits while the engine works: they are applied, or they change nothing and say why."""

from __future__ import annotations

import os
import re
import shutil
import signal
import time
from pathlib import Path

import pytest

from tests.project import Project, Running

JOBS = """\
version: 1
plugins: [plugins]
include: ["jobs.d/*.yaml"]
jobs:
  one: {call: work.say, every: 1 seconds, params: {what: first}}
  long: {call: work.wait}
"""
WORK = """\
import pathlib, time

def say(what: str):
    return f"old {what}"

def wait():
    while not pathlib.Path("go-on").exists():
        time.sleep(0.01)
    return "whole"
"""


@pytest.fixture
def edited(project: Project) -> Project:
    project.write("jobs.yaml", JOBS)
    (project.folder / "jobs.d").mkdir()
    project.plugin("work", WORK)
    project.environment["PYTHONDONTWRITEBYTECODE"] = ""  # as it is for most: the cache lies among the plugins
    return project


def wait_for_result(project: Project, engine: Running, result: str, job: str = "one") -> None:
    def seen() -> bool:
        return any(run["result"] == result for run in project.runs(job=job, state="succeeded", count=5))

    engine.wait_for(seen)


def test_an_edited_file_is_applied_and_what_runs_goes_on(edited: Project) -> None:
    with edited.engine() as engine:
        edited.cli("trigger", "long", "--no-check").ok()
        engine.wait_for(lambda: edited.runs(job="long", state="running"))
        edited.write("jobs.yaml", JOBS.replace("first", "second"))
        engine.wait_line("reloaded")
        wait_for_result(edited, engine, "old second")
        edited.write("go-on", "")
        wait_for_result(edited, engine, "whole", job="long")
        assert engine.terminate() == 0
    assert edited.show(edited.runs(job="long")[0]["id"])["run"]["attempt"] == 1


def test_an_edited_plugin_is_new_code_even_within_the_same_second(edited: Project) -> None:
    second = time.time_ns() // 10**9 * 10**9
    with edited.engine() as engine:
        for number, word in enumerate(("new", "two", "six", "ten")):
            # Of one length and one second: Python's cache of bytecode sees no difference.
            code = edited.plugin("work", WORK.replace("old", word))
            os.utime(code, ns=(second, second + number))
            wait_for_result(edited, engine, f"{word} first")
        assert engine.terminate() == 0


def test_a_file_that_a_pattern_comes_to_match_is_read_and_one_that_goes_is_forgotten(edited: Project) -> None:
    with edited.engine() as engine:
        edited.write("jobs.d/more.yaml", "jobs: {two: {call: work.say, every: 1 seconds, params: {what: more}}}")
        wait_for_result(edited, engine, "old more", job="two")
        (edited.folder / "jobs.d" / "more.yaml").unlink()
        engine.wait_line(r"reloaded .*jobs: 2\)")
        assert engine.terminate() == 0


def test_folders_that_appear_are_watched_too(edited: Project) -> None:
    shutil.rmtree(edited.folder / "jobs.d")
    with edited.engine() as engine:
        edited.write("jobs.d/more.yaml", "jobs: {two: {call: sub.go, every: 1 seconds}}")
        engine.wait_error_line("sub.go")
        made = edited.write("elsewhere/sub/__init__.py", "def go():\n    return 'from a package'")
        made.parent.rename(edited.folder / "plugins" / "sub")
        wait_for_result(edited, engine, "from a package", job="two")
        assert engine.terminate() == 0


def test_mistakes_change_nothing_are_told_once_and_can_be_mended(edited: Project) -> None:
    broken = JOBS.replace("every: 1", "evry: 1")
    with edited.engine() as engine:
        edited.write("jobs.yaml", broken)
        engine.wait_line(r"✗ not reloaded.*jobs\.yaml:5:\d+: unknown key `evry`")
        engine.wait_error_line("did you mean `every`")
        seen = len(edited.runs(job="one"))
        engine.wait_for(lambda: len(edited.runs(job="one")) > seen)
        status = edited.cli("reload")
        assert status.code == 2
        assert "unknown key `evry`" in status.err
        edited.write("jobs.yaml", JOBS.replace("first", "mended"))
        wait_for_result(edited, engine, "old mended")
        assert engine.terminate() == 0
    assert sum("did you mean" in line for line in engine.error_lines) == 1


def test_a_mistake_in_a_file_that_only_the_refused_configuration_includes_can_be_mended_there(edited: Project) -> None:
    edited.write("other/x.yaml", "jobs: {two: {cal: work.say}}")
    with edited.engine() as engine:
        edited.write("jobs.yaml", JOBS.replace('"jobs.d/*.yaml"', "other/x.yaml"))
        engine.wait_line("not reloaded")
        edited.write("other/x.yaml", "jobs: {two: {call: work.say, every: 1 seconds, params: {what: there}}}")
        wait_for_result(edited, engine, "old there", job="two")
        assert engine.terminate() == 0


def test_a_broken_plugin_takes_only_its_own_jobs_with_it_until_it_is_mended(edited: Project) -> None:
    edited.write("jobs.yaml", JOBS + "  three: {call: other.go, every: 1 seconds}\n")
    edited.plugin("other", "def go(): return 1")
    with edited.engine() as engine:
        edited.plugin("other", "def go(: return 1")
        engine.wait_line("reloaded")
        engine.wait_error_line(r"other\.py:1")
        wait_for_result(edited, engine, "old first")
        edited.plugin("other", "def go(): return 'mended'")
        wait_for_result(edited, engine, "mended", job="three")
        assert engine.terminate() == 0


def test_a_file_that_is_away_for_a_moment_while_it_is_replaced_is_waited_for(edited: Project) -> None:
    main = edited.folder / "jobs.yaml"
    with edited.engine() as engine:
        main.unlink()
        time.sleep(0.3)  # what is tested is an absence of some length
        edited.write("jobs.yaml", JOBS.replace("first", "replaced"))
        wait_for_result(edited, engine, "old replaced")
        assert not any("not reloaded" in line for line in engine.lines)
        assert engine.terminate() == 0


def test_many_edits_end_in_the_last_one(edited: Project) -> None:
    with edited.engine() as engine:
        for number in range(40):
            edited.write("jobs.yaml", JOBS.replace("first", f"n{number:02}"))
            time.sleep(0.02)  # an author in a hurry
        wait_for_result(edited, engine, "old n39")
        assert engine.terminate() == 0
    assert sum("reloaded" in line for line in engine.lines) < 20


def test_an_edit_that_changes_nothing_leaves_the_workers_alone(edited: Project) -> None:
    with edited.engine() as engine:
        (edited.folder / "jobs.yaml").touch()
        edited.write("plugins/notes.txt", "not code")
        edited.write("jobs.yaml", JOBS.replace("first", "later"))
        engine.wait_line("reloaded")
        assert engine.terminate() == 0
    assert sum("reloaded" in line for line in engine.lines) == 1


def test_without_watching_only_those_who_ask_get_the_edit(edited: Project) -> None:
    with edited.engine("--no-watch") as engine:
        edited.write("jobs.yaml", JOBS.replace("first", "second"))
        engine.wait_for(lambda: len(edited.runs(job="one", state="succeeded")) > 2)
        assert not any("reloaded" in line for line in engine.lines)
        said = edited.cli("reload").ok().out
        assert re.search(rf"engine \d+ \(pid {engine.pid}\) uses .*jobs\.yaml as it is now", said)
        wait_for_result(edited, engine, "old second")
        edited.write("jobs.yaml", JOBS.replace("first", "third"))
        engine.signal(signal.SIGHUP)
        wait_for_result(edited, engine, "old third")
        assert engine.terminate() == 0


def test_a_stop_during_a_reload_is_graceful(edited: Project) -> None:
    with edited.engine() as engine:
        edited.plugin("slow", "import pathlib, time\npathlib.Path('importing').touch()\ntime.sleep(15)")
        engine.wait_for((edited.folder / "importing").exists)
        assert engine.terminate(deadline=15) == 0


def test_reload_without_an_engine_says_so(edited: Project) -> None:
    edited.cli("run", "--once", "one").ok()
    result = edited.cli("reload")
    assert result.code == 1
    assert "orchestrator run" in result.err


def test_a_timezone_that_changes_shows_in_the_next_lines(edited: Project) -> None:
    with edited.engine() as engine:
        edited.write("jobs.yaml", JOBS.replace("version: 1", "version: 1\ntimezone: Asia/Kathmandu"))
        engine.wait_line("reloaded")
        before = len(engine.lines)
        line = engine.wait_for(lambda: next((one for one in engine.lines[before + 1 :] if "✓ one" in one), ""))
        assert engine.terminate() == 0
    minutes = int(line.split(":")[1])
    now = int(time.strftime("%M", time.gmtime()))
    assert (minutes - now) % 60 in (44, 45)


def test_the_state_folder_is_no_part_of_the_configuration(edited: Project, tmp_path: Path) -> None:
    edited.environment["ORCHESTRATOR_DB"] = str(edited.folder / "plugins" / "state" / "o.db")
    with edited.engine() as engine:
        engine.wait_line("✓ one")
        engine.wait_line("✓ one.*run 3")
        assert engine.terminate() == 0
    assert not any("reloaded" in line for line in engine.lines)
