"""Parameters and names that try to be more than data."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from tests.faults.processes import MARK, nobody_left
from tests.project import Project, Result

JOBS = """\
version: 1
plugins: [plugins]
secrets: {token: {env: TOKEN}}
defaults: {retry: false, timeout: 30s}
jobs:
  echo: {call: work.echo, params: {value: none}}
  strict: {call: work.strict, params: {count: 1}}
  any: {call: work.anything}
"""
WORK = """\
from typing import Any
from orchestrator import Context

def echo(value: Any):
    return value

def strict(count: int):
    return count

def anything(**values):
    return values

def deep(depth: int, context: Context):
    value = 1
    for _ in range(depth):
        value = [value]
    context.checkpoint.save(value)
    if context.attempt == 1:
        raise ValueError("once more")
"""
SECRET = "hunter2-hunter2"
TEXTS = [
    "a{{ 7*7 }}b",
    "{% for x in range(10**9) %}x{% endfor %}",
    "{{ secrets.token }}",
    "{{ ''.__class__.__mro__ }}",
    "'; DROP TABLE runs; --",
    "$(touch owned) `id` ${HOME} %s %(x)s {0} \\n",
    "\U0001d54f ✓ \u202e\u200b\ufeff é\u0301",
    "a\0b\x1b[31m\x07\r\n",
    "\\ud800",
    "x" * 50_000,
    "",
    " ",
    "null",
    "--help",
    "../../etc/passwd",
]
VALUES: list[Any] = [
    [[[[{"a": [None, True, 1.5, -(2**63), 2**64 - 1, "x"]}]]]],
    {"": {"é": []}},
    {"__proto__": 1, "$ref": "#", "__class__": []},
    [{}] * 5000,
]
TEMPLATE = {"$template": "{{ secrets.token }}"}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    project = Project(tmp_path_factory.mktemp("hostile"))
    mark = project.environment[MARK] = uuid.uuid4().hex
    project.environment["TOKEN"] = SECRET
    project.write("jobs.yaml", JOBS)
    project.plugin("work", WORK)
    with project.engine() as engine:
        yield project
        assert engine.terminate() == 0
    assert engine.error_lines == []
    assert nobody_left(mark)


def triggered(project: Project, job: str, *params: str) -> Any:
    """The run that `trigger --wait` made, as `show` prints it."""
    arguments = [part for param in params for part in ("--param", param)]
    return project.cli("trigger", job, "--wait", "--json", *arguments).ok().json


def refused(project: Project, job: str, *params: str, more: tuple[str, ...] = ()) -> Result:
    """A refusal in words that creates no run."""
    before = len(project.runs())
    arguments = [part for param in params for part in ("--param", param)]
    result = project.cli("trigger", job, *arguments, *more)
    assert "Traceback" not in result.err
    assert result.code == 2, repr(result)
    assert result.err.startswith(("error: ", "Usage: "))
    assert len(project.runs()) == before
    return result


def test_values_arrive_as_they_were_given(shop: Project) -> None:
    given = {f"value_{number}": value for number, value in enumerate([*TEXTS, *VALUES])}
    run = triggered(shop, "any", *(f"{name}={json.dumps(value)}" for name, value in given.items()))
    assert run["state"] == "succeeded"
    assert run["params"] == given
    assert shop.cli("result", str(run["id"])).ok().json == given
    assert not (shop.folder / "owned").exists()


def test_text_that_looks_like_a_template_stays_text_without_quotes(shop: Project) -> None:
    run = triggered(shop, "echo", "value=a{{ 7*7 }}{{ secrets.token }}")
    assert run["result"] == "a{{ 7*7 }}{{ secrets.token }}"


@pytest.mark.parametrize("value", [TEMPLATE, {"a": {"b": [1, TEMPLATE]}}])
def test_a_template_in_disguise_is_refused(shop: Project, value: Any) -> None:
    assert "$template" in refused(shop, "echo", f"value={json.dumps(value)}").err
    refused(shop, "echo", f"value={json.dumps(value)}", more=("--no-check",))


def test_a_template_in_disguise_is_refused_as_a_name_for_another_type_and_at_once(shop: Project) -> None:
    refused(shop, "any", "$template=x")
    refused(shop, "strict", f"count={json.dumps(TEMPLATE)}")
    once = shop.cli("run", "--once", "echo", "--param", f"value={json.dumps(TEMPLATE)}")
    assert once.code == 2
    assert SECRET not in once.out + once.err


@pytest.mark.parametrize("text", ["[123456789012345678901234567890]", "1e999"])
def test_what_no_worker_could_receive_is_refused(shop: Project, text: str) -> None:
    refused(shop, "echo", f"value={text}", more=("--no-check",))


def test_nesting_beyond_reason_is_refused(shop: Project) -> None:
    refused(shop, "echo", f"value={'[' * 400}{']' * 400}")
    refused(shop, "echo", f"value={'[' * 400}{']' * 400}", more=("--no-check",))


def test_nesting_without_end_is_refused(shop: Project) -> None:
    refused(shop, "echo", f"value={'[' * 5000}{']' * 5000}")


@pytest.mark.parametrize("params", [["count=[1]"], ["cuont=1"]])
def test_wrong_types_and_names_are_refused(shop: Project, params: list[str]) -> None:
    refused(shop, "strict", *params)


def test_a_name_of_no_job_is_refused(shop: Project) -> None:
    assert "there is no job" in refused(shop, "../{{ 7*7 }}\n" + "é" * 1000).err


def test_names_like_options_are_names_after_two_dashes(shop: Project) -> None:
    result = shop.cli("trigger", "--", "--help")
    assert result.code == 2
    assert "'--help'" in result.err


def test_names_that_look_like_something_else_are_refused_in_the_file(project: Project, mark: str) -> None:
    names = ["--help", "../up", "a/b", "a\\nb", "", ".", "é\\u202e", "{{ 7*7 }}"]
    jobs = "".join(f'  "{name}": {{call: work.anything}}\n' for name in names)
    project.plugin("work", WORK)
    project.write("jobs.yaml", f"version: 1\nplugins: [plugins]\njobs:\n{jobs}")
    result = project.cli("validate")
    assert result.code == 2
    told = result.out + result.err
    missed = [name for line, name in enumerate(names, 4) if f"jobs.yaml:{line}:" not in told]
    assert missed == []
    assert "Traceback" not in told


@pytest.mark.parametrize("command", ["show", "cancel"])
def test_a_number_of_no_run_is_refused(shop: Project, command: str) -> None:
    result = shop.cli(command, "999999999")
    assert result.code == 2
    assert "there is no run 999999999" in result.err


@pytest.mark.parametrize("arguments", [["show"], ["cancel"], ["runs", "-n"]])
def test_a_number_that_no_database_holds_is_refused(shop: Project, arguments: list[str]) -> None:
    result = shop.cli(*arguments, "99999999999999999999")
    assert result.code == 2
    assert "Traceback" not in result.err


def test_a_checkpoint_nested_without_end_fails_only_its_own_attempt(project: Project, mark: str) -> None:
    project.plugin("work", WORK)
    depths = [300, 900, *range(910, 980, 5), 5000]
    jobs = "".join(
        f"  deep-{depth}: {{call: work.deep, on_start: true, params: {{depth: {depth}}}}}\n" for depth in depths
    )
    policy = "defaults: {retry: {max_attempts: 2, delay: 0s}}\n"
    project.write("jobs.yaml", f"version: 1\nplugins: [plugins]\n{policy}jobs:\n{jobs}")
    with project.engine() as engine:
        engine.wait_for(lambda: {run["state"] for run in project.runs()} <= {"succeeded", "failed"})
        assert engine.terminate() == 0
    assert len(project.runs()) == len(depths)


def test_a_template_in_the_file_has_to_be_written_as_one(project: Project, mark: str) -> None:
    project.plugin("work", WORK)
    project.write("jobs.yaml", JOBS.replace("value: none", 'value: {$template: "{{ secrets.token }}"}'))
    assert project.cli("validate", environment={"TOKEN": SECRET}).code == 2
