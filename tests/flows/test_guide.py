"""The page about workflows: its examples run, and what it draws is what the command draws."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.project import Project

PAGE = Path(__file__).parents[2] / "docs" / "workflows.md"
EXAMPLES = re.findall(r"^```yaml\n(.*?)^```$", PAGE.read_text("utf-8"), re.M | re.S)
PLUGINS = {
    "reports": """
        def collect(day): return {"day": day, "sold": 3}
        def render(stats): return {"html": f"<b>{stats['sold']} on {stats['day']}</b>"}
        def tidy(): return "tidy"
    """,
    "mail": "def send(body): return body",
    "shop": """
        def build(version): return {"version": f"{version}-built"}
        def is_up(): return True
        def list_shops(): return ["a", "b", "c"]
        def release(shop, version): return f"{shop}: {version}"
        def look(): return {"changed": 7}
        def import_all(): raise AssertionError("its condition is false")
        def import_parts(): return "parts"
        def report(): return "report"
    """,
    "checks": "def test(os, python): return f'{os} {python}'",
}


@pytest.fixture
def shop(project: Project) -> Project:
    for name, code in PLUGINS.items():
        project.plugin(name, code)
    return project


def use(project: Project, job: str) -> None:
    (text,) = [example for example in EXAMPLES if f"\n  {job}:\n" in example]
    project.write("jobs.yaml", text)
    project.cli("validate").ok()


def test_the_report(shop: Project) -> None:
    use(shop, "weekly-report")
    assert shop.cli("run", "--once", "weekly-report", "-p", "day=tuesday").code == 0
    (run,) = shop.runs(job="weekly-report")
    assert run["result"] == {"send": "<b>3 on tuesday</b>"}
    assert shop.cli("run", "--once", "weekly-report", "-p", "dya=tuesday").code == 2


def test_the_deployment(shop: Project) -> None:
    use(shop, "deploy")
    shop.write("jobs.yaml", shop.read("jobs.yaml").replace("sleep: 10m", "sleep: 10ms"))
    with shop.engine() as engine:
        flow = shop.cli("trigger", "deploy", "--json").ok().json["id"]
        engine.wait_for(lambda: shop.runs(job="deploy/confirm", state="waiting"))
        shop.cli("approve", str(flow), "confirm").ok()
        engine.wait_for(lambda: shop.runs(job="deploy", state="succeeded"))
    (inner,) = shop.runs(job="release-all")
    assert inner["result"] == {"each": [f"{name}: latest-built" for name in "abc"]}
    assert inner["flow_id"] == flow


def test_the_branches(shop: Project) -> None:
    use(shop, "import")
    assert shop.cli("run", "--once", "import").code == 0
    assert [run["state"] for run in shop.runs(job="import/full")] == ["skipped"]
    assert [run["result"] for run in shop.runs(job="import/report")] == ["report"]


def test_the_matrix(shop: Project) -> None:
    use(shop, "checks")
    assert shop.cli("run", "--once", "checks").code == 0
    (run,) = shop.runs(job="checks")
    assert run["result"] == {"test": ["linux 3.11", "linux 3.12", "mac 3.11", "mac 3.12"]}


def test_the_drawings(shop: Project) -> None:
    use(shop, "import")
    drawn = shop.cli("graph", "import").ok().out.splitlines()
    assert [line.split("  ")[0].rstrip() for line in drawn] == ["import", "└─ look", "", "", ""]
    assert "│  " in drawn[2] or "├─ full" in drawn[2]
    assert drawn[2].endswith("when steps.look.result.changed > 1000")
    assert any(line.endswith("needs any of full, parts") or "needs any of full, parts" in line for line in drawn)
    mermaid = shop.cli("graph", "import", "--format", "mermaid").ok().out
    assert mermaid.startswith("flowchart TD\n")
    assert "s1 --> s2" in mermaid
    assert "s2 -. any .-> s4" in mermaid
    dot = shop.cli("graph", "import", "--format", "dot").ok().out
    assert dot.startswith('digraph "import" {')
    assert '"look" -> "full";' in dot
    refused = shop.cli("graph", "nope")
    assert refused.code != 0
    steps = shop.cli("graph", "import", "--json").ok().json
    assert [step["name"] for step in steps] == ["look", "full", "parts", "report"]


def test_listings_show_workflows_and_not_their_steps(shop: Project) -> None:
    use(shop, "weekly-report")
    (job,) = shop.cli("jobs", "--json").ok().json
    assert (job["name"], job["steps"]) == ("weekly-report", ["collect", "render", "send", "tidy"])
    assert "workflow: collect, render, send, tidy" in shop.cli("jobs").ok().out
    refused = shop.cli("trigger", "weekly-report/collect")
    assert "collect is a step of weekly-report" in refused.err
