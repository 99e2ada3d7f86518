"""What the commands say of built-in callables."""

from __future__ import annotations

from orchestrator.builtins import BUILTINS
from tests.project import Project

JOBS = """
    version: 1
    jobs:
      mine: {call: shell}
      theirs: {call: "orchestrator.builtins.shell:shell", params: {command: "echo theirs"}}
      tidy: {call: file.cleanup}
"""


def test_plugins_lists_them_marked_with_their_parameters(project: Project) -> None:
    project.write("jobs.yaml", "version: 1\njobs: {}\n")
    said = project.cli("plugins").ok().out
    assert said.startswith("the plugins offer no callables\n") or "\nthe plugins offer no callables\n" in said
    assert "\n    built-in, isolation: async\n" in said
    assert "from: str" in said
    infos = project.cli("plugins", "--json").ok().json["callables"]
    assert {name: info["builtin"] for name, info in infos.items()} == dict.fromkeys(BUILTINS, True)
    assert infos["http"]["isolation"] == "async"
    assert infos["sql"]["names_resources"] == ["resource"]
    assert [parameter["name"] for parameter in infos["email"]["parameters"]][:3] == ["server", "from", "to"]


def test_a_callable_of_the_users_own_wins_with_a_warning_where_it_is_used(project: Project) -> None:
    file = project.write("jobs.yaml", JOBS)
    project.plugin("tools", "from orchestrator import job\n@job('shell')\ndef run(): return 'mine'")
    project.plugin("file", "def cleanup(): return 'mine, too'")
    said = project.cli("validate", "--json").ok().json["diagnostics"]
    lines = file.read_text().splitlines()
    assert [(d["severity"], d["code"]) for d in said] == [("warning", "odd-callable")] * 2
    assert ["mine:" in lines[said[0]["line"] - 1], "tidy:" in lines[said[1]["line"] - 1]] == [True, True]
    assert "this one wins, the other is 'orchestrator.builtins.shell:shell'" in said[0]["message"]
    for job, result in (("mine", "mine"), ("tidy", "mine, too"), ("theirs", {"code": 0, "stdout": "theirs\n"})):
        assert project.cli("run", "--once", job).code == 0
        assert project.runs(job=job)[0]["result"] == result
    assert project.cli("plugins", "--json").json["callables"]["shell"]["builtin"] is False


def test_a_resource_whose_plugin_failed_takes_the_jobs_that_name_it_out_of_service(project: Project) -> None:
    project.plugin("broken", "1/0")
    project.write(
        "jobs.yaml",
        """
        version: 1
        resources:
          db: {use: broken.connect}
        jobs:
          ask: {call: sql, params: {resource: db, statement: "SELECT 1"}}
          fine: {call: shell, params: {command: "true"}}
        """,
    )
    said = project.cli("validate", "--json").json["diagnostics"]
    assert "job `ask` can't run: resource `db` needs plugin `broken`, which can't be used" in [
        d["message"] for d in said
    ]
    assert project.cli("run", "--once", "fine").code == 0
