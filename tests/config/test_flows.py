"""What a workflow in jobs.yaml becomes, and each mistake in one, at its place, with a mend."""

from __future__ import annotations

import pytest

from tests.config.conftest import Load

HEAD = "version: 1\njobs:\n  a:\n    params: {day: 1}\n    steps:\n"
# What, the steps, code, line:column, what the message and the hint have in them.
MISTAKES = [
    ("an unknown need", "      x: {call: m.f, needs: [yy]}\n      y: {call: m.f}\n",
     "unknown-step", "6:30", "there is no step `yy`", "did you mean `y`?"),
    ("a step that needs itself", "      x: {call: m.f, needs: x}\n",
     "needs-itself", "6:29", "step `x` needs itself", ""),
    ("a circle", "      x: {call: m.f, needs: y}\n      y: {call: m.f, needs: x}\n",
     "needs-circle", "6:29", "these steps need each other in a circle: x needs y needs x", "remove one"),
    ("a template of an unknown step",
     "      x: {call: m.f, params: {v: '{{ steps.yy.result }}'}}\n      y: {call: m.f}\n",
     "unknown-step", "6:34", "there is no step `yy`", "did you mean `steps.y`?"),
    ("a template of a step that isn't needed",
     "      x: {call: m.f, params: {v: '{{ steps.y.result }}'}}\n      y: {call: m.f}\n",
     "unneeded-step", "6:34", "step `x` reads `steps.y`, which it doesn't need", "needs: [y]"),
    ("a template of a name with a hyphen",
     "      x: {call: m.f, needs: y-z, params: {v: '{{ steps.y-z.result }}'}}\n      y-z: {call: m.f}\n",
     "undefined-name", "6:46", "the template's name `z` is not known", "steps['a-b']"),
    ("something that steps don't have", "      x: {call: m.f, needs: y, when: steps.y.results}\n      y: {call: m.f}\n",
     "undefined-name", "6:38", "a step has no `results`", "steps.y.result"),
    ("an unknown parameter", "      x: {call: m.f, when: flow.params.dya}\n",
     "undefined-name", "6:28", "job `a` has no parameter `dya`", "known: day"),
    ("item without foreach", "      x: {call: m.f, params: {v: '{{ item }}'}}\n",
     "undefined-name", "6:34", "step `x` has no `foreach`", ""),
    ("an unknown name of a matrix", "      x: {call: m.f, matrix: {os: [b]}, params: {v: '{{ matrix.so }}'}}\n",
     "undefined-name", "6:53", "there is no `matrix.so`", "matrix.os"),
    ("all steps at once", "      x: {call: m.f, params: {v: '{{ steps }}'}}\n",
     "unnamed-step", "6:34", "single steps", "steps.NAME.result"),
    ("steps outside of steps", "      x: {call: m.f, queue: '{{ steps.y.result }}'}\n",
     "undefined-name", "6:29", "`steps` can't be used here", "only in the steps"),
    ("two kinds", "      x: {call: m.f, sleep: 3s}\n",
     "bad-step", "6:10", "exactly one of", ""),
    ("no kind", "      x: {needs: y}\n      y: {call: m.f}\n",
     "bad-step", "6:10", "this one has none", ""),
    ("retry of a sleep", "      x: {sleep: 3s, retry: 3}\n",
     "bad-step", "6:10", "`retry` means nothing to a step with `sleep`", ""),
    ("foreach of text", "      x: {call: m.f, foreach: abc}\n",
     "bad-foreach", "6:31", "should be a list, not text", "template"),
    ("a condition that is text", "      x: {call: m.f, when: 'a {{ flow.id }}'}\n",
     "bad-when", "6:28", "one expression", ""),
    ("a condition that is no expression", "      x: {call: m.f, when: 'a b'}\n",
     "template-syntax", "6:28", "", ""),
    ("an unknown job", "      x: {job: b}\n",
     "unknown-job", "6:16", "there is no job `b`", ""),
    ("a job that runs itself", "      x: {job: a}\n",
     "job-circle", "6:16", "a runs a", ""),
    ("a parameter that the other workflow lacks",
     "      x: {job: b, params: {z: 1}}\n  b:\n    params: {v: 1}\n    steps: {x: {call: m.f}}\n",
     "unknown-param", "6:28", "the workflow `b` has no parameter `z`", "v"),
    ("an unknown queue", "      x: {call: m.f, queue: q}\n",
     "unknown-queue", "6:29", "there is no queue `q`", ""),
    ("another tool's word", "      x: {call: m.f, depends_on: y}\n",
     "unknown-key", "6:22", "unknown key `depends_on`", "did you mean `needs`?"),
    ("a trigger in a step", "      x: {call: m.f, cron: '@daily'}\n",
     "unknown-key", "6:22", "unknown key `cron`", "the job itself"),
    ("a bad name", "      'x y': {call: m.f}\n",
     "bad-name", "6:7", "can't be the name of a step", "x-y"),
    ("a normal step that needs a final one", "      x: {call: m.f, needs: z}\n    finally: {z: {call: m.f}}\n",
     "needs-final", "6:29", "runs when all others have ended", ""),
    ("a final step that needs a normal one", "      x: {call: m.f}\n    finally: {z: {call: m.f, needs: x}}\n",
     "needs-normal", "7:37", "however it did", ""),
    ("the same name twice", "      x: {call: m.f}\n    finally: {x: {call: m.f}}\n",
     "duplicate-name", "7:15", "step `x` is there twice", ""),
    ("a secret among the items",
     "      x: {call: m.f, foreach: ['{{ secrets.k }}']}\nsecrets: {k: {env: K}}\n",
     "stored-secret", "6:32", "stored and shown", ""),
    ("flow.state before the end", "      x: {call: m.f, params: {v: '{{ flow.state }}'}}\n",
     "undefined-name", "6:34", "only in steps under `finally`", ""),
]  # fmt: skip


@pytest.mark.parametrize(
    ("steps", "code", "place", "message", "hint"), [m[1:] for m in MISTAKES], ids=[m[0] for m in MISTAKES]
)
def test_a_mistake_is_told(load_text: Load, steps: str, code: str, place: str, message: str, hint: str) -> None:
    loaded = load_text(HEAD + steps, environ={"K": "k"})
    assert loaded.plan is None
    found = [d for d in loaded.diagnostics if message in d.message]
    assert found, loaded.diagnostics
    first = found[0]
    assert (first.code, f"{first.line}:{first.column}") == (code, place)
    assert len(loaded.diagnostics) == 1, loaded.diagnostics
    assert hint in (first.hint or "")


def test_a_job_has_a_call_or_steps(load_text: Load) -> None:
    both = load_text("version: 1\njobs: {a: {call: m.f, steps: {x: {call: m.f}}}}\n")
    assert [d.code for d in both.diagnostics] == ["bad-job"]
    alone = load_text("version: 1\njobs: {a: {call: m.f, finally: {x: {call: m.f}}}}\n")
    assert [d.code for d in alone.diagnostics] == ["bad-job"]


def test_steps_are_hidden_jobs_with_the_policies_of_their_job(load_text: Load) -> None:
    loaded = load_text(
        """
version: 1
queues: {q: {}, r: {}}
defaults: {timeout: 7s, retry: {delay: 3s}}
jobs:
  a:
    queue: q
    deadline: 1h
    concurrency: 2
    cron: "@daily"
    retry: {max_attempts: 5}
    steps:
      x: {call: m.f}
      y: {call: m.f, needs: x, queue: r, retry: false, timeout: 9s}
      z: {approve: "well?", needs: [x, y], timeout: 1d}
"""
    )
    assert loaded.plan is not None
    assert list(loaded.plan.jobs) == ["a", "a/x", "a/y", "a/z"]
    assert [job.name for job in loaded.plan.declared] == ["a"]
    x, y, z = (loaded.plan.jobs[f"a/{name}"] for name in "xyz")
    assert (x.queue, x.retry.max_attempts, x.retry.delay.seconds, x.deadline, x.concurrency) == ("q", 5, 3, None, None)
    assert x.timeout is not None
    assert x.timeout.seconds == 7
    assert (x.triggers, y.queue, y.retry.max_attempts) == ((), "r", 1)
    assert z.deadline is not None
    assert z.deadline.days == 1
    assert [step.needs for step in loaded.plan.jobs["a"].steps] == [(), ("x",), ("x", "y")]


def test_what_is_known_when_the_file_is_read_is_settled_then(load_text: Load) -> None:
    loaded = load_text(
        HEAD + "      x: {call: m.f, when: env.STAGE == 'prod'}\n"
        "      y: {call: m.f, foreach: ['{{ env.STAGE }}', b]}\n"
        "      z: {call: m.f, needs: y, when: steps.y.state == 'failed'}\n",
        environ={"STAGE": "test"},
    )
    assert loaded.plan is not None
    x, y, z = loaded.plan.jobs["a"].steps
    assert (x.when, y.foreach, y.prepares) == (False, ["test", "b"], False)
    assert (z.reads, z.prepares) == (("y",), False)


def test_results_are_asked_for_only_where_they_are_read(load_text: Load) -> None:
    loaded = load_text(
        HEAD + "      x: {call: m.f}\n"
        "      y: {call: m.f}\n"
        "      z: {call: m.f, needs: [x, y], when: steps.x.state == 'failed', params: {v: '{{ steps.y.result.n }}'}}\n"
        "      w: {call: m.f, needs: [x, y], params: {v: '{{ steps.x }}', w: '{{ steps.y.reason }}'}}\n",
    )
    assert loaded.plan is not None
    _, _, z, w = loaded.plan.jobs["a"].steps
    assert (z.reads, z.loads) == (("x", "y"), ("y",))
    assert (w.reads, w.loads) == (("x", "y"), ("x",))
