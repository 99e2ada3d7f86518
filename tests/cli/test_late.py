"""What `status` says of jobs that are late: it shows them, and stays healthy."""

from __future__ import annotations

from tests.project import Project

JOBS = """\
version: 1
plugins: [plugins]
jobs:
  rare: {call: work.go, sla: {success_every: 1s}, on_late: note, on_recovery: note}
  note: {call: work.note, params: {what: ""}}
"""
WORK = """\
def go():
    pass

def note(what: str, event: dict):
    print(event["kind"])
"""


def test_a_late_job_is_shown_and_then_recovers(project: Project) -> None:
    project.write("jobs.yaml", JOBS)
    project.plugin("work", WORK)
    with project.engine() as engine:
        engine.wait_for(lambda: project.runs(job="note", state="succeeded"))
        report = project.cli("status", "--json").ok().json
        assert [(one["job"], one["kind"], one["run_id"]) for one in report["late"]] == [("rare", "success", None)]
        assert report["healthy"] is True
        assert "rare (success)" in project.cli("status").ok().out
        assert "job.late" in "\n".join(engine.lines) or "has not succeeded for 1s" in "\n".join(engine.lines)
        project.cli("trigger", "rare", "--wait").ok()
        engine.wait_for(lambda: len(project.runs(job="note", state="succeeded")) >= 2)
    told = [run["params"]["event"]["kind"] for run in project.runs(job="note")][::-1]
    assert told[:2] == ["late", "recovery"]
