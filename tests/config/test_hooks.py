"""Hooks, notifiers and limits as they are written: what they become, and what is wrong with them."""

from __future__ import annotations

import importlib.util
from datetime import timedelta
from typing import Any

import pytest

from orchestrator.core.hooks import Hook, HookKind, Sla

HEAD = """\
version: 1
notifiers:
  ops: {urls: "json://localhost/x"}
"""
JOBS = "jobs:\n  a: {call: m.f}\n  b:\n    call: m.f\n"


def test_hooks_are_texts_mappings_or_lists_of_both(load_text: Any) -> None:
    loaded = load_text(
        HEAD + JOBS + "    on_failure: a\n"
        "    on_dead: [{notify: ops}, {job: a, params: {who: '{{ event.job }}', days: 3}}, b]\n"
    )
    assert loaded.diagnostics == ()
    marker = {"$template": "{{ event.job }}"}
    assert loaded.plan.jobs["b"].hooks == {
        HookKind.FAILURE: (Hook(job="a"),),
        HookKind.DEAD: (Hook(notify="ops"), Hook(job="a", params={"who": marker, "days": 3}), Hook(job="b")),
    }
    assert loaded.plan.jobs["a"].hooks == {}


def test_a_jobs_hooks_take_the_place_of_the_defaults(load_text: Any) -> None:
    defaults = (
        "defaults:\n  on_failure: {job: a, params: {what: '{{ event.reason }}'}}\n  on_dead: a\n"
        "  sla: {start_within: 5m, success_every: 1d}\n"
    )
    loaded = load_text(
        HEAD + defaults + JOBS + "    on_failure: {notify: ops}\n    on_dead: []\n    sla: {start_within: 1m}\n"
    )
    assert loaded.diagnostics == ()
    a, b = loaded.plan.jobs["a"], loaded.plan.jobs["b"]
    assert set(a.hooks) == {HookKind.FAILURE, HookKind.DEAD}
    assert b.hooks == {HookKind.FAILURE: (Hook(notify="ops"),)}
    assert a.sla == Sla(start_within=timedelta(minutes=5), success_every=timedelta(days=1))
    assert b.sla == Sla(start_within=timedelta(minutes=1), success_every=timedelta(days=1))


def test_a_notifier_is_a_hidden_job(load_text: Any) -> None:
    text = """\
        version: 1
        secrets: {token: {env: TOKEN}}
        notifiers:
          ops:
            urls: ["slack://{{ secrets.token }}", "json://localhost"]
            subject: "{{ count }} × {{ event.kind }}"
            group: {size: 10, wait: 30s}
            throttle: 5m
        jobs: {}
        """
    loaded = load_text("\n".join(line[8:] for line in text.splitlines()), environ={"TOKEN": "T1/T2/T3"})
    assert loaded.diagnostics == ()
    notifier = loaded.plan.notifiers["ops"]
    assert (notifier.size, notifier.wait, notifier.throttle) == (10, timedelta(seconds=30), timedelta(minutes=5))
    job = loaded.plan.jobs[notifier.delivery]
    assert (job.name, job.hidden) == ("notify/ops", True)
    assert job.params["urls"] == [{"$template": "slack://{{ secrets.token }}"}, "json://localhost"]
    assert "$template" in job.params["body"]
    assert loaded.plan.declared == []


# fmt: off
MISTAKES = [
    ("an unknown job", JOBS + "    on_failure: aa\n",
     "unknown-job", "8:17", "there is no job `aa`", "did you mean `a`?"),
    ("an unknown notifier", JOBS + "    on_failure: [a, {notify: opps}]\n",
     "unknown-notifier", "8:30", "there is no notifier `opps`", "did you mean `ops`?"),
    ("a notifier that is nowhere", JOBS + "    on_failure: {notify: everyone}\n",
     "unknown-notifier", "8:26", "there is no notifier `everyone`", "declare it: `notifiers: {everyone: {urls: […]}}`"),
    ("both", JOBS + "    on_failure: {notify: ops, job: a}\n",
     "bad-hook", "8:17", "a hook needs exactly one of `job` and `notify`", "write a job's name, or {notify: NAME}"),
    ("parameters of a message", JOBS + "    on_failure: {notify: ops, params: {a: 1}}\n",
     "bad-hook", "8:17", "`params` are a job's", "remove them"),
    ("a hook's key", JOBS + "    on_failure: {notifi: ops}\n",
     "unknown-key", "8:18", "unknown key `notifi`", "did you mean `notify`?"),
    ("event in a job's own parameters", JOBS + "    params: {x: '{{ event.job }}'}\n",
     "undefined-name", "8:17", "`event` can't be used here", "a hook's `params`"),
    ("a typo in event", JOBS + "    on_failure: {job: a, params: {x: '{{ event.jbo }}'}}\n",
     "undefined-name", "8:38", "there is no `event.jbo`", "did you mean `event.job`?"),
    ("an sla's key", JOBS + "    sla: {finish: 5m}\n",
     "unknown-key", "8:11", "unknown key `finish`", "did you mean `finish_within`?"),
    ("a late finish before a late start", JOBS + "    sla: {finish_within: 5m, start_within: 10m}\n",
     "odd-sla", "8:26", "`finish_within` is shorter", ""),
    ("a circle through a hook", JOBS + "  c: {call: m.f, after: a, on_failure: a}\n",
     "after-circle", "8:25", "c after a (a hook) after c", "remove one `after` of them"),
]
# fmt: on


@pytest.mark.parametrize(
    ("text", "code", "place", "message", "hint"),
    [row[1:] for row in MISTAKES],
    ids=[row[0] for row in MISTAKES],
)
def test_a_mistake_is_told_at_its_place_with_a_mend(
    load_text: Any, only: Any, text: str, code: str, place: str, message: str, hint: str
) -> None:
    found = only(load_text(HEAD + text))
    assert (found.code, f"{found.line}:{found.column}") == (code, place)
    assert message in found.message
    assert hint in (found.hint or "")


def test_hooks_alone_make_no_circle_because_hook_runs_fire_none(load_text: Any) -> None:
    assert (
        load_text(HEAD + "jobs:\n  a: {call: m.f, on_failure: b}\n  b: {call: m.f, on_failure: a}\n").diagnostics == ()
    )


@pytest.mark.parametrize(
    ("notifier", "code", "message"),
    [
        ("{urls: 'slak://x'}", "bad-url", "the address `slak://…` can't be used"),
        ("{urls: [nonsense]}", "bad-url", "no URL of a service"),
        ("{urls: []}", "bad-value", "`urls` is an empty list"),
        ("{subject: x}", "missing-key", "`ops` has no `urls`"),
        ("{urls: 'json://x', body: '{{ secrets.s }}'}", "undefined-name", "`secrets` can't be used here"),
        ("{urls: 'json://x', body: '{{ event.jobb }}'}", "undefined-name", "there is no `event.jobb`"),
        ("{urls: 'json://x', body: '{% for e in events %}{{ e.job }}'}", "template-syntax", "endfor"),
        ("{urls: 'json://x', group: {size: 0}}", "bad-value", "`size` should be at least 1"),
        ("{urls: 'json://x', grup: {size: 1}}", "unknown-key", "unknown key `grup`"),
    ],
)
def test_a_notifiers_mistakes(load_text: Any, only: Any, notifier: str, code: str, message: str) -> None:
    text = f"version: 1\nsecrets: {{s: {{env: S}}}}\nnotifiers: {{ops: {notifier}}}\njobs: {{}}\n"
    found = only(load_text(text, environ={"S": "hidden!"}))
    assert (found.code, found.line) == (code, 3)
    assert message in found.message


def test_without_apprise_a_notifier_says_what_to_install(load_text: Any, only: Any, monkeypatch: Any) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name == "apprise" else find(name, *a))
    found = only(load_text(HEAD + "jobs: {}\n"))
    assert (found.code, found.hint) == ("missing-extra", "pip install 'orchestrator[notify]'")
    assert load_text("version: 1\njobs: {}\n").ok
