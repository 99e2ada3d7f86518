"""Laws that hold for every input: nothing is raised, and what is written is what is read."""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.config.diagnostics import render
from orchestrator.config.load import load
from orchestrator.config.model_job import JobShape
from orchestrator.core.policies import Backoff, CatchUp, Jitter, Overlap, Retry
from orchestrator.core.units import format_duration

NOW = datetime(2026, 1, 1, tzinfo=UTC)
QUIET = settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow])
FOLDER = Path(tempfile.mkdtemp(prefix="laws-"))


def loaded(data: bytes):
    file = FOLDER / "jobs.yaml"
    file.write_bytes(data)
    result = load(file, environ={"A": "x"}, inspector=None, now=NOW)
    render(result.diagnostics, base=FOLDER)
    for d in result.diagnostics:
        assert d.line >= 1
        assert d.column >= 1
        assert d.end_column >= d.column
    return result


@given(st.binary(max_size=300))
@QUIET
def test_no_bytes_make_it_raise(data):
    loaded(data)


YAMLISH = st.text(
    alphabet=st.one_of(
        st.sampled_from(list("{}[]:,-&*!|>'\"%@`#?<~ \n\t.01aeyntrufl$=")), st.characters(codec="utf-8")
    ),
    max_size=200,
)


@given(YAMLISH)
@QUIET
def test_no_text_makes_it_raise(text):
    loaded(text.encode())
    loaded(("version: 1\njobs:\n  a:\n    call: m.f\n    " + text).encode())


@given(st.text(max_size=60), st.sampled_from(["{{ %s }}", "x {%% if %s %%}", "{{ vars.a %s }}", "{{ '%s' }}", "%s{{"]))
@QUIET
def test_no_template_makes_it_raise(text, form):
    import json

    value = json.dumps((form % text).encode("utf-8", "replace").decode())
    loaded(f"version: 1\nvars: {{a: [1, b]}}\njobs: {{a: {{call: m.f, params: {{x: {value}}}}}}}\n".encode())


KEYS = list(JobShape.model_fields)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["5m", "@daily", "a"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*KEYS, "job", "on"]), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=6))
@QUIET
def test_no_shape_of_a_job_makes_it_raise(job):
    import json

    data = json.dumps({"version": 1, "jobs": {"a": job}, "defaults": job}, ensure_ascii=True).encode()
    loaded(data)


DURATIONS = st.integers(min_value=1, max_value=10**9).map(lambda ms: timedelta(milliseconds=ms))
RETRIES = st.fixed_dictionaries(
    {},
    optional={
        "max_attempts": st.integers(1, 1000),
        "backoff": st.sampled_from(Backoff),
        "delay": DURATIONS,
        "max_delay": DURATIONS,
        "jitter": st.sampled_from(Jitter),
    },
).filter(lambda r: r.get("max_delay", timedelta.max) >= r.get("delay", timedelta(0)))
POLICIES = st.fixed_dictionaries(
    {},
    optional={
        "timeout": DURATIONS,
        "grace": DURATIONS,
        "catch_up_window": DURATIONS,
        "overlap": st.sampled_from(Overlap),
        "catch_up": st.sampled_from(CatchUp),
        "priority": st.integers(0, 9),
        "concurrency": st.integers(1, 100),
        "at_most_once": st.booleans(),
        "retry": RETRIES,
    },
)


def written(policies):
    import json

    def value(v):
        if isinstance(v, dict):
            return {key: value(inner) for key, inner in v.items()}
        return format_duration(v) if isinstance(v, timedelta) else v

    return json.dumps(value(policies))


@given(POLICIES, POLICIES)
@QUIET
def test_what_is_written_is_what_the_plan_says_job_before_defaults(defaults, own):
    text = f"version: 1\ndefaults: {written(defaults)}\njobs: {{a: {{call: m.f, <<: {written(own)}}}}}\n"
    result = loaded(text.encode())
    retry = {**defaults.get("retry", {}), **own.get("retry", {})}
    built_in = Retry()
    delay = retry.get("delay", built_in.delay)
    if "max_delay" in retry and retry["max_delay"] < delay:
        assert [d.code for d in result.diagnostics] == ["delay-over-max"]
        return
    job = result.plan.jobs["a"]
    for key, value in {**defaults, **own}.items():
        if key != "retry":
            assert getattr(job, key) == value
    for key, value in retry.items():
        assert getattr(job.retry, key) == value
    assert job.retry.max_delay == retry.get("max_delay", max(delay, built_in.max_delay))
