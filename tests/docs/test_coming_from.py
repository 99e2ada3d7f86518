"""The pages for people who come from other tools: every row is shown by a test that exists, or says that there is
nothing; what it shows of jobs.yaml is valid; its commands exist; and what was migrated runs.
"""

from __future__ import annotations

import re
import shlex
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from orchestrator.config.load import load
from tests.docs.named_tests import ROOT, missing_tests, named_tests
from tests.project import Project

PAGES = {page.stem.removeprefix("coming-from-"): page.read_text("utf-8") for page in ROOT.glob("docs/coming-from-*.md")}
TOOLS = ["apscheduler", "bullmq", "celery-beat", "cron", "nestjs-schedule"]
NOTHING = "—"
LACKS = ("Nothing", "Not yet", "Not needed")
"""How a row begins that names no test."""
SPAN = re.compile(r"`([^`]+)`")
OF_THE_FILE = {"queues", "workers", "defaults", "notifiers", "resources", "secrets", "include", "shutdown_grace"}
"""What a fragment begins with that isn't a job's."""
OTHER = 'other: {call: m.f, cron: "@daily"}'


class Row(NamedTuple):
    theirs: str
    ours: str
    tests: str


def rows_of(page: str) -> list[Row]:
    lines = [line for line in page.splitlines() if line.startswith("|") and not line.startswith("| ---")]
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    return [Row(*row) for row in cells if row[-1] != "shown by"]


def fragments_of(page: str) -> list[str]:
    return [span for row in rows_of(page) for span in SPAN.findall(row.ours) if re.match(r"\{?[a-z_]+: ", span)]


def commands_of(page: str) -> list[str]:
    return [span for row in rows_of(page) for span in SPAN.findall(row.ours) if span.startswith("orchestrator ")]


@pytest.mark.parametrize("tool", TOOLS)
def test_named_tests_exist(tool: str) -> None:
    assert missing_tests(PAGES[tool]) == []


@pytest.mark.parametrize("tool", TOOLS)
def test_each_row_is_shown_by_a_test_or_says_that_there_is_nothing(tool: str) -> None:
    rows = rows_of(PAGES[tool])
    assert len(rows) > 20
    wrong = [row for row in rows if (row.tests == NOTHING) != row.ours.startswith(LACKS)]
    wrong += [row for row in rows if row.tests != NOTHING and not named_tests(row.tests)]
    assert wrong == []


def as_file(fragment: str) -> str:
    """A jobs.yaml around a fragment: what a job's key may refer to is there."""
    inside = fragment[1:-1] if fragment.startswith("{") else fragment
    key, _, value = inside.partition(": ")
    parts = {"version": "1", "queues": "{email: {}}", "jobs": f"{{{OTHER}}}"}
    if "notify:" in inside:
        parts["notifiers"] = "{ops: {urls: 'json://localhost'}}"
    if key in OF_THE_FILE:
        parts[key] = value
    else:
        call = "" if re.search(r"\b(call|steps): ", inside) else "call: m.f, "
        parts["jobs"] = f"{{{OTHER}, job: {{{call}{inside}}}}}"
    return "".join(f"{key}: {value}\n" for key, value in parts.items())


@pytest.mark.parametrize(
    ("tool", "fragment"), [(tool, fragment) for tool in TOOLS for fragment in dict.fromkeys(fragments_of(PAGES[tool]))]
)
def test_what_rows_show_of_jobs_yaml_is_valid(tool: str, fragment: str, tmp_path: Path) -> None:
    file = tmp_path / "jobs.yaml"
    file.write_text(as_file(fragment), "utf-8")
    for folder in ("jobs.d", "plugins"):
        (tmp_path / folder).mkdir()
    (tmp_path / "jobs.d" / "more.yaml").write_text("jobs: {more: {call: m.f}}\n", "utf-8")
    loaded = load(file, environ={"API_TOKEN": "t"}, inspector=None, now=datetime(2026, 1, 1, tzinfo=UTC))
    assert [d.message for d in loaded.diagnostics if d.severity == "error"] == [], fragment


@pytest.mark.parametrize("tool", TOOLS)
def test_commands_of_rows_exist_with_their_options(tool: str) -> None:
    assert [command for command in commands_of(PAGES[tool]) if not _exists(command)] == []


def _exists(command: str) -> bool:
    from typer.main import get_command

    from orchestrator.cli.app import app

    place: Any = get_command(app)
    words = shlex.split(command)[1:]
    while words and hasattr(place, "commands"):
        if words[0] not in place.commands:
            return False
        place = place.commands[words.pop(0)]
    known = {name for parameter in place.params for name in (*parameter.opts, *parameter.secondary_opts)}
    return not hasattr(place, "commands") and {word for word in words if word.startswith("-")} <= known


@pytest.mark.parametrize("tool", TOOLS)
def test_what_was_migrated_runs(tool: str, project: Project) -> None:
    page = PAGES[tool]
    for path, source in re.findall(r"^```python\n# (plugins/\w+\.py)\n(.*?)^```", page, re.M | re.S):
        project.write(path, source)
    configs = [text for text in re.findall(r"^```yaml\n(.*?)^```", page, re.M | re.S) if text.startswith("version:")]
    assert configs
    for config in configs:
        project.write("jobs.yaml", config)
        assert project.cli("validate", "--json").ok().json["diagnostics"] == []
        for job in yaml.safe_load(config)["jobs"]:
            project.cli("run", "--once", job).ok()


def test_every_page_is_linked() -> None:
    for place in ("README.md", "docs/guide.md"):
        text = (ROOT / place).read_text("utf-8")
        assert [tool for tool in TOOLS if f"coming-from-{tool}.md" not in text] == []
    assert sorted(PAGES) == TOOLS
