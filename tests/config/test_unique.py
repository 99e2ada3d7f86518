"""A key is texts and places in `params`; what is more than that is refused where it is written."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from orchestrator.core.keys import KeyPath, make_key
from orchestrator.core.policies import OnConflict, Unique

JOB = "version: 1\njobs:\n  a:\n    call: m.f\n    unique: %s\n"
PARAMS = {"user": {"id": 7, "name": "Zoë"}, "tenant": "acme", "empty": "", "list": [2, {"b": 1, "a": 2}]}


@pytest.mark.parametrize(
    ("by", "key"),
    [
        ("tenant", "acme"),
        ("[tenant]", "acme"),
        ("user.id", "7"),
        ("'{{ params.tenant }}'", "acme"),
        ("'{{params.user.id}}'", "7"),
        ("'t-{{ params.tenant }}/{{ params.user.name }}!'", "t-acme/Zoë!"),
        ("[list]", '[2,{"a":2,"b":1}]'),
        ("[empty]", None),
        ("'{{ params.nobody }}'", None),
        ("[tenant.id]", None),
        ("[tenant, nobody]", None),
    ],
)
def test_a_key_is_made_of_parameters(load_text: Any, by: str, key: str | None) -> None:
    unique = load_text(JOB % f"{{by: {by}}}").plan.jobs["a"].unique
    assert make_key(unique.by, PARAMS) == key


def test_the_parts_of_a_list_are_kept_apart(load_text: Any) -> None:
    by = load_text(JOB % "{by: [a, b]}").plan.jobs["a"].unique.by
    assert make_key(by, {"a": "1", "b": "23"}) != make_key(by, {"a": "12", "b": "3"})


@pytest.mark.parametrize(
    ("written", "unique"),
    [
        ("true", Unique()),
        ("false", None),
        ("{by: [user_id], for: 1h}", Unique(by=(KeyPath(("user_id",)),), window=timedelta(hours=1))),
        ("{by: '{{ params.u }}'}", Unique(by=(KeyPath(("u",)),))),
        ("{for: 5s, on_conflict: extend}", Unique(window=timedelta(seconds=5), on_conflict=OnConflict.EXTEND)),
    ],
)
def test_unique_is_true_or_says_by_what_and_how_long(load_text: Any, written: str, unique: Unique | None) -> None:
    loaded = load_text(JOB % written)
    assert loaded.diagnostics == ()
    assert loaded.plan.jobs["a"].unique == unique


def test_a_job_may_differ_from_the_defaults(load_text: Any) -> None:
    head = "version: 1\ndefaults: {unique: {by: '{{ params.u }}', for: 1m}}\njobs:\n"
    loaded = load_text(
        head + "  a: {call: m.f}\n  b: {call: m.f, unique: false}\n  c: {call: m.f, unique: {by: [x]}}\n"
    )
    assert loaded.diagnostics == ()
    made = {name: job.unique for name, job in loaded.plan.jobs.items()}
    assert made == {
        "a": Unique(by=(KeyPath(("u",)),), window=timedelta(minutes=1)),
        "b": None,
        "c": Unique(by=(KeyPath(("x",)),)),
    }


@pytest.mark.parametrize(
    ("written", "code", "column", "message", "hint"),
    [
        ("{by: '{{ params.a | upper }}'}", "bad-key-text", 18, "can't be part of a key", "{{ params.tenant }}"),
        ("{on_conflict: extend}", "nothing-to-extend", 13, "needs a time to extend", "add `for: 10m`"),
        ("{on_conflict: replce}", "bad-choice", 27, 'not "replce"', "did you mean `replace`?"),
        ("{by: []}", "bad-value", 18, "empty list", "name at least one"),
        ("{window: 5s}", "unknown-key", 14, "unknown key `window`", "did you mean `for`?"),
        ("", "no-value", 5, "no value", "write true"),
        ("3", "wrong-type", 13, "should be a mapping", ""),
    ],
)
def test_mistakes(load_text: Any, only: Any, written: str, code: str, column: int, message: str, hint: str) -> None:
    found = only(load_text(JOB % written))
    assert (found.code, found.line, found.column) == (code, 5, column)
    assert message in found.message
    assert hint in (found.hint or "")
