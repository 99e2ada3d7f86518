from __future__ import annotations

import pytest

from tests.project import Project


def test_it_calls_with_arguments_by_position_and_name(bed):
    assert bed.call("python", function="os.path:join", args=["a", "b"]) == "a/b"
    assert bed.call("python", function="fractions:Fraction.from_float", args=[0.5]) == 0.5
    assert bed.call("python", function="json:dumps", args=[{"b": 1, "a": 2}], kwargs={"sort_keys": True})[2] == "a"


def test_a_coroutine_function_is_run(bed):
    assert bed.call("python", function="asyncio:sleep", args=[0, "slept"]) == "slept"


def test_what_it_names_must_be_there_and_callable(bed):
    with pytest.raises(ModuleNotFoundError, match="nowhere"):
        bed.call("python", function="nowhere:x")
    with pytest.raises(AttributeError, match="nothing"):
        bed.call("python", function="os:nothing")
    with pytest.raises(TypeError, match="os:sep is not callable"):
        bed.call("python", function="os:sep")


@pytest.mark.parametrize("path", ["os.path.join", "os:", ":x", "a b:c"])
def test_validation_wants_a_module_and_a_name(bed, path):
    assert bed.mistakes("python", function=path) == ["'function': is no place of a function: write module:name"]


def test_a_job_reaches_modules_of_the_project(project: Project) -> None:
    project.write("tasks.py", "async def add(a, b=0): print('adding'); return a + b")
    project.write(
        "jobs.yaml",
        """
        version: 1
        jobs:
          sum: {call: python, params: {function: "tasks:add", args: [40], kwargs: {b: 2}}}
        """,
    )
    assert project.cli("run", "--once", "sum").code == 0
    shown = project.show(project.runs()[0]["id"])
    assert shown["run"]["result"] == 42
    assert shown["logs"][0]["text"] == "adding\n"
