"""Every job of docs/builtins.md does what the page says."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

from tests.example.example_servers import Reply, WebServer
from tests.project import Project

PAGE = (Path(__file__).parents[2] / "docs/builtins.md").read_text("utf-8")
CONFIGS = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
RATES = {"rates": {"USD": 1.1}, "history": [{"value": 5}]}
RESULTS = {
    "count-lines": lambda result: result["stdout"].endswith("jobs.yaml\n"),
    "queue-length": lambda result: result == {"length": 3},
    "rates": lambda result: result["extracted"] == {"dollar": 1.1, "first": 5},
    "publish": lambda result: result["status"] == 409,
    "expire-sessions": lambda result: result == {"rowcount": 1},
    "owners": lambda result: result == {"rows": [{"owner": "expire-sessions", "times": 1}], "more": False},
    "remind": lambda result: result["accepted"] == ["ann@example.org", "bob@example.org"],
    "old-dumps": lambda result: result["deleted"] == 0,
    "listing": lambda result: result == ["jobs.yaml"],
}


def answer(request):
    if request.method == "POST":
        return Reply(409 if request.headers["authorization"] == "Bearer a-token" else 401)
    return Reply(200, json.dumps(RATES).encode(), {"Content-Type": "application/json"})


@pytest.mark.parametrize("text", CONFIGS, ids=lambda text: next(iter(yaml.safe_load(text)["jobs"])))
def test_the_jobs_of_the_page_run(text: str, project: Project) -> None:
    project.write("jobs.yaml", text)
    jobs = yaml.safe_load(text)["jobs"]
    with WebServer() as web:
        web.answer = answer
        project.environment |= {"API_TOKEN": "a-token", "API_URL": web.url, "MAIL_SERVER": "maildir:var/mail"}
        said = project.cli("validate", "--json").ok().json
        assert said["diagnostics"] == []
        for job in jobs:
            done = project.cli("run", "--once", job)
            assert done.code == 0, done
            (run,) = project.runs(job=job)
            assert job not in RESULTS or RESULTS[job](run["result"]), run
    if "dump" in jobs:
        assert len(list((project.folder / "var" / "dumps").iterdir())) == 1


def test_every_callable_has_its_section() -> None:
    from orchestrator.builtins import BUILTINS

    assert set(re.findall(r"^## (\S+)$", PAGE, re.M)) == set(BUILTINS)
    assert {job["call"] for text in CONFIGS for job in yaml.safe_load(text)["jobs"].values()} == set(BUILTINS)
