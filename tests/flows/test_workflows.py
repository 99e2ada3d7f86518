"""Workflows from end to end: real engines and workers, and what the commands say of them."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest

from orchestrator.store import flow_views
from orchestrator.store.store import Store
from tests.project import Project

PLUGIN = """
    import os, time
    from pathlib import Path

    def mark(name, value=None):
        with open("marks.txt", "a") as file:
            file.write(f"{name}\\n")
        return value if value is not None else name

    def hold(name):
        mark(f"begin-{name}")
        Path(f"pid-{name}").write_text(str(os.getpid()))
        while not Path(f"go-{name}").exists():
            time.sleep(0.02)
        return mark(name)

    def item(x):
        return hold("two") if x == 2 else mark(f"item-{x}", x * 10)

    def exists(name):
        return Path(name).exists()

    def collect(day):
        return {"day": day, "list": [1, 2, 3], "n": 3}

    def fail(name="x"):
        mark(f"fail-{name}")
        if not Path(f"well-{name}").exists():
            raise ValueError(f"{name} is not well")
        return name
"""


@pytest.fixture
def work(project: Project) -> Project:
    project.plugin("work", PLUGIN)
    return project


def marks(project: Project) -> list[str]:
    return project.read("marks.txt").split()


def steps_of(project: Project, run_id: int) -> dict[str, dict[str, Any]]:
    return {step["name"]: step for step in project.show(run_id)["steps"]}


def states_of(project: Project, run_id: int) -> dict[str, str]:
    """Straight from the store: it is asked again and again."""
    store = Store(f"sqlite:///{project.database}", create=False)
    try:
        return {step.name: step.state.value for step in store.read(flow_views.list_steps, run_id)}
    finally:
        store.close()


def state_of(project: Project, job: str) -> str:
    return str(project.runs(job=job)[0]["state"])


def test_results_conditions_items_and_the_matrix(work: Project) -> None:
    work.write(
        "jobs.yaml",
        """
        version: 1
        jobs:
          report:
            params: {day: 3, shops: [a, b]}
            steps:
              collect: {call: work.collect, params: {day: "{{ flow.params.day + 1 }}"}}
              big: {call: work.mark, needs: collect, when: steps.collect.result.n > 100, params: {name: big}}
              after-big: {call: work.mark, needs: big, params: {name: after-big}}
              small:
                call: work.mark
                needs: collect
                when: "{{ steps.collect.result.n < 100 }}"
                params: {name: small}
              joined:
                call: work.mark
                needs_any: [big, small]
                params: {name: joined, value: "{{ steps.small.state }}"}
              each:
                call: work.mark
                needs: collect
                foreach: "{{ steps.collect.result.list }}"
                when: item != 2
                params: {name: "item-{{ item }}", value: "{{ item * 2 }}"}
              pairs:
                call: work.mark
                matrix: {os: [linux, mac], py: [1, 2]}
                max_parallel: 2
                params: {name: "{{ matrix.os }}-{{ matrix.py }}"}
              none: {call: work.mark, foreach: [], params: {name: never}}
              sum:
                call: work.mark
                needs: [each, pairs, none, joined]
                params:
                  name: sum
                  value: ["{{ steps.each.result }}", "{{ steps.pairs.result }}", "{{ steps.none.result }}"]
            finally:
              tidy: {call: work.mark, params: {name: "tidy-{{ flow.state }}-{{ steps.big.state }}"}}
        """,
    )
    ran = work.cli("run", "--once", "report")
    assert ran.code == 0, ran
    (flow,) = work.runs(job="report")
    assert flow["state"] == "succeeded"
    pairs = ["linux-1", "linux-2", "mac-1", "mac-2"]
    assert flow["result"]["sum"] == [[2, None, 6], pairs, []]
    found = states_of(work, flow["id"])
    assert [name for name, state in found.items() if state == "skipped"] == ["big", "after-big"]
    assert {"tidy-succeeded-skipped", "small", "joined", "item-1", "item-3", *pairs} <= set(marks(work))
    assert "item-2" not in marks(work)
    assert steps_of(work, flow["id"])["after-big"]["reason"] == "step `big` was skipped"
    shown = work.cli("show", str(flow["id"])).ok().out
    assert "├─ each" in shown
    assert "3 of 3 items" in shown
    assert [run["job"] for run in work.cli("runs", "--json").ok().json] == ["report"]
    assert len(work.cli("runs", "--steps", "--json", "-n", "100").ok().json) > 10


FAILING = """
    version: 1
    defaults: {{retry: false}}
    jobs:
      report:
        steps:
          a: {{call: work.mark, params: {{name: a}}}}
          b: {{call: work.fail, needs: a, on_failure: {on_failure}, params: {{name: b}}}}
          c: {{call: work.mark, needs: b, params: {{name: c}}}}
          d: {{call: work.mark, needs: a, params: {{name: d}}}}
          e: {{call: work.mark, needs: d, params: {{name: e}}}}
        finally:
          z: {{call: work.mark, params: {{name: "z-{{{{ flow.state }}}}"}}}}
"""


@pytest.mark.parametrize(
    ("on_failure", "whole", "c", "e"),
    [
        ("fail", "failed", "skipped", None),
        ("skip_dependents", "failed", "skipped", "succeeded"),
        ("continue", "succeeded", "succeeded", "succeeded"),
    ],
)
def test_what_a_failure_means(work: Project, on_failure: str, whole: str, c: str, e: str | None) -> None:
    work.write("jobs.yaml", FAILING.format(on_failure=on_failure))
    ran = work.cli("run", "--once", "report")
    (flow,) = work.runs(job="report")
    assert (flow["state"], ran.code) == (whole, 0 if whole == "succeeded" else 1)
    found = states_of(work, flow["id"])
    assert (found["b"], found["c"]) == ("failed", c)
    assert e is None or found["e"] == e
    assert f"z-{whole}" in marks(work)
    if whole == "failed":
        assert flow["reason"].startswith("step `b` failed: ValueError: b is not well")


def test_a_retry_keeps_what_succeeded(work: Project) -> None:
    work.write("jobs.yaml", FAILING.format(on_failure="skip_dependents"))
    work.cli("run", "--once", "report")
    (flow,) = work.runs(job="report")
    (failed,) = (run["id"] for run in steps_of(work, flow["id"])["b"]["runs"])
    (ended,) = (run["id"] for run in steps_of(work, flow["id"])["d"]["runs"])
    refused = work.cli("retry", str(failed))
    assert (refused.code, "the step `b` of run" in refused.err) == (1, True)
    work.write("well-b", "")
    with work.engine() as engine:
        work.cli("retry", str(flow["id"])).ok()
        engine.wait_for(lambda: state_of(work, "report") == "succeeded")
        assert sorted(marks(work)) == ["a", "c", "d", "e", "fail-b", "fail-b", "z-failed", "z-succeeded"]
        work.cli("retry", str(flow["id"]), "--from", "d").ok()
        engine.wait_for(lambda: marks(work).count("z-succeeded") == 2 and state_of(work, "report") == "succeeded")
    assert [marks(work).count(name) for name in "acde"] == [1, 1, 2, 2]
    assert states_of(work, flow["id"]) == dict.fromkeys("abcdez", "succeeded")
    refused = work.cli("retry", str(ended))
    assert (refused.code, f"an earlier try of a step of run {flow['id']}: write" in refused.err) == (1, True)
    refused = work.cli("retry", str(flow["id"]), "--from", "nope")
    assert refused.code == 2
    assert "there is no step `nope`" in refused.err


EVERYTHING = """
    version: 1
    defaults: {retry: {max_attempts: 9, delay: 0s, max_delay: 1s}}
    jobs:
      inner:
        params: {who: nobody}
        steps:
          hello: {call: work.hold, params: {name: inner}}
          bye: {call: work.mark, needs: hello, params: {name: "bye-{{ flow.params.who }}"}}
      flow:
        steps:
          first: {call: work.mark, params: {name: first}}
          slow: {call: work.hold, needs: first, params: {name: slow}}
          each: {call: work.item, needs: slow, foreach: [1, 2, 3], max_parallel: 1, params: {x: "{{ item }}"}}
          sub: {job: inner, needs: each, params: {who: "{{ steps.slow.result }}"}}
          nap: {sleep: 1s, needs: sub}
          ready: {wait_for: work.exists, every: 100ms, needs: nap, params: {name: ready-file}}
          ask: {approve: "go on?", needs: ready}
          last: {call: work.mark, needs: [ask, sub], params: {name: "{{ steps.ask.result.comment }}"}}
        finally:
          tidy: {call: work.mark, params: {name: tidy}}
"""


def test_a_workflow_goes_on_where_it_was_whatever_dies(work: Project) -> None:
    """The engine, and then a worker, is killed in the middle of each kind of step."""
    work.write("jobs.yaml", EVERYTHING)
    with work.engine() as engine:
        flow = work.cli("trigger", "flow", "--json").ok().json["id"]
        engine.wait_for(lambda: "begin-slow" in marks(work))
        engine.kill()
    with work.engine() as engine:
        engine.wait_for(lambda: marks(work).count("begin-slow") == 2)
        os.kill(int(work.read("pid-slow")), signal.SIGKILL)
        engine.wait_for(lambda: marks(work).count("begin-slow") == 3)
        work.write("go-slow", "")
        engine.wait_for(lambda: "begin-two" in marks(work))
        assert "item-3" not in marks(work)
        engine.kill()
    with work.engine() as engine:
        work.write("go-two", "")
        engine.wait_for(lambda: "begin-inner" in marks(work))
        engine.kill()
    with work.engine() as engine:
        work.write("go-inner", "")
        engine.wait_for(lambda: states_of(work, flow)["nap"] != "waiting")
        engine.kill()
    with work.engine() as engine:
        engine.wait_for(lambda: states_of(work, flow)["ready"] == "running")
        engine.kill()
    with work.engine() as engine:
        work.write("ready-file", "")
        engine.wait_for(lambda: states_of(work, flow)["ask"] == "running")
        assert f"orchestrator approve {flow} ask" in work.cli("show", str(flow)).ok().out
        engine.kill()
    work.cli("approve", str(flow), "ask", "--comment", "fine").ok()
    assert work.cli("approve", str(flow), "ask").code == 1
    with work.engine() as engine:
        engine.wait_for(lambda: state_of(work, "flow") == "succeeded")
    found = marks(work)
    once = ["first", "slow", "item-1", "two", "item-3", "inner", "bye-slow", "fine", "tidy"]
    assert [name for name in found if not name.startswith("begin-")] == once
    assert states_of(work, flow) == dict.fromkeys(
        ["first", "slow", "each", "sub", "nap", "ready", "ask", "last", "tidy"], "succeeded"
    )


def test_cancel_reaches_everything_inside(work: Project) -> None:
    work.write("jobs.yaml", EVERYTHING)
    work.write("go-slow", "")
    work.write("go-two", "")
    with work.engine() as engine:
        flow = work.cli("trigger", "flow", "--json").ok().json["id"]
        engine.wait_for(lambda: "begin-inner" in marks(work))
        work.cli("cancel", str(flow)).ok()
        engine.wait_for(lambda: state_of(work, "flow") == "cancelled")
    assert state_of(work, "inner") == "cancelled"
    assert state_of(work, "inner/hello") == "cancelled"
    assert "tidy" in marks(work)
    assert "inner" not in marks(work)
    assert states_of(work, flow)["nap"] == "cancelled"


def test_a_rejection_fails_the_step_and_a_question_has_its_time(work: Project) -> None:
    work.write(
        "jobs.yaml",
        """
        version: 1
        jobs:
          flow:
            steps:
              ask: {approve: "really?"}
              late: {approve: "now?", timeout: 500ms, on_failure: skip_dependents}
              go: {call: work.mark, needs: ask, params: {name: go}}
            finally:
              tidy: {call: work.mark, params: {name: "{{ steps.ask.reason }}"}}
          follower: {call: work.mark, params: {name: followed}, after: {job: flow, on: failure}}
        """,
    )
    with work.engine() as engine:
        flow = work.cli("trigger", "flow", "--json").ok().json["id"]
        engine.wait_for(lambda: states_of(work, flow)["late"] == "failed")
        assert states_of(work, flow)["ask"] == "running"
        work.cli("approve", str(flow), "ask", "--reject", "--comment", "not today").ok()
        engine.wait_for(lambda: state_of(work, "flow") == "failed" and "followed" in marks(work))
    steps = steps_of(work, flow)
    assert steps["late"]["reason"] == "nobody answered in time"
    assert steps["ask"]["reason"].endswith(": not today")
    assert steps["go"]["state"] == "skipped"


def test_a_deadline_ends_the_whole_workflow(work: Project) -> None:
    work.write(
        "jobs.yaml",
        """
        version: 1
        jobs:
          flow:
            deadline: 2s
            steps:
              hold: {call: work.hold, params: {name: hold}, timeout: none}
              next: {call: work.mark, needs: hold, params: {name: next}}
            finally:
              tidy: {call: work.mark, params: {name: tidy}}
        """,
    )
    with work.engine() as engine:
        work.cli("trigger", "flow").ok()
        engine.wait_for(lambda: state_of(work, "flow") == "failed")
    (flow,) = work.runs(job="flow")
    assert flow["reason"] == "its deadline passed before it could finish"
    assert states_of(work, flow["id"]) == {"hold": "cancelled", "next": "cancelled", "tidy": "succeeded"}


def test_items_of_another_job_have_a_condition_and_the_keys_of_their_parameters(work: Project) -> None:
    work.write(
        "jobs.yaml",
        """
        version: 1
        queues:
          mail: {per_key: {by: "{{ params.name }}", concurrency: 1}}
        jobs:
          plain: {call: work.mark, queue: mail, params: {name: none, value: null}}
          flow:
            steps:
              list: {call: work.collect, params: {day: 1}}
              fixed: {job: plain, foreach: [1, 2, 3], when: item > 1, params: {value: "{{ item }}"}}
              narrow:
                job: plain
                needs: list
                foreach: "{{ steps.list.result.list }}"
                when: item != steps.list.result.day
                max_parallel: 1
                params: {name: "{{ ['a', 'b'][6 // (item - 1) % 2] }}", value: "{{ item * 10 }}"}
              none: {job: plain, foreach: [1], when: item > 1, params: {name: never}}
              after-none: {call: work.mark, needs: none, params: {name: never}}
              sum:
                call: work.mark
                needs: [fixed, narrow]
                params: {name: sum, value: ["{{ steps.fixed.result }}", "{{ steps.narrow.result }}"]}
        """,
    )
    ran = work.cli("run", "--once", "flow")
    assert ran.code == 0, ran
    (flow,) = work.runs(job="flow")
    assert flow["result"]["sum"] == [[None, 2, 3], [None, 20, 30]]
    steps = steps_of(work, flow["id"])
    assert [run["state"] for run in steps["narrow"]["runs"][1:]] == ["skipped", "succeeded", "succeeded"]
    assert (steps["none"]["state"], steps["none"]["reason"]) == ("skipped", "its condition was false")
    assert steps["after-none"]["reason"] == "step `none` was skipped"
    assert "never" not in marks(work)
    listed = work.cli("runs", "--job", "plain", "--steps", "--key", "b", "--json").ok().json
    assert [run["params"] for run in listed] == [{"name": "b", "value": 30}]
