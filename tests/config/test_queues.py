"""What a queue says: how its limits and keys are written, what its jobs take over, and every way to get it wrong."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.config.key_texts import compile_key
from orchestrator.config.rates import parse_rate
from orchestrator.core.keys import KeyPath, make_key
from orchestrator.core.plan import Queue
from orchestrator.core.policies import Order, PerKey, RateLimit
from orchestrator.core.units import format_duration

QUEUE = "version: 1\njobs: {}\nqueues:\n  mail: %s\n"
JOB = 'version: 1\nqueues: {mail: {per_key: {by: "{{ params.tenant }}"}}}\njobs:\n  a: {call: m.f, queue: mail, %s}\n'
TENANT = (KeyPath(("tenant",)),)


def queue_of(load_text, text: str) -> Queue:
    loaded = load_text(QUEUE % text, environ={"RATE": "7/2h"})
    assert loaded.diagnostics == ()
    return loaded.plan.queues["mail"]


def test_every_key_of_a_queue_is_in_the_plan(load_text):
    text = (
        "{concurrency: 10, order: lifo, aging: 1m, rate_limit: 100/1m, "
        'per_key: {by: "{{ params.tenant }}", concurrency: 2, rate_limit: 10/1h}}'
    )
    assert queue_of(load_text, text) == Queue(
        name="mail",
        concurrency=10,
        order=Order.LIFO,
        aging=timedelta(minutes=1),
        rate_limit=RateLimit(count=100, period=timedelta(minutes=1)),
        per_key=PerKey(by=TENANT, concurrency=2, rate_limit=RateLimit(count=10, period=timedelta(hours=1))),
    )


def test_rate_limit_by_is_short_for_a_rate_of_each_key(load_text):
    rate = RateLimit(count=5, period=timedelta(seconds=1))
    short = queue_of(load_text, '{rate_limit: 5/s, rate_limit_by: "{{ params.tenant }}"}')
    assert short == Queue(name="mail", per_key=PerKey(by=TENANT, rate_limit=rate))
    both = '{rate_limit: 5/s, rate_limit_by: "{{ params.tenant }}", per_key: {by: "{{params.tenant}}", concurrency: 1}}'
    assert queue_of(load_text, both).per_key == PerKey(by=TENANT, concurrency=1, rate_limit=rate)


def test_settings_of_a_queue_may_be_templates(load_text):
    rate = 'rate_limit: "{{ env.RATE }}"'
    made = queue_of(load_text, f'{{{rate}, per_key: {{by: "{{{{ params.a }}}}", {rate}}}}}')
    assert made.rate_limit == made.per_key.rate_limit == RateLimit(count=7, period=timedelta(hours=2))


def test_a_job_takes_over_what_its_queue_says(load_text):
    text = """
        version: 1
        queues: {mail: {order: lifo, aging: 1h, per_key: {by: "{{ params.to.host }}/{{ params.kind }}"}}}
        defaults: {queue: mail, expires_in: 1h}
        jobs:
          a: {call: m.f}
          b: {call: m.f, queue: default, expires_in: none}
    """
    loaded = load_text(text.replace("\n        ", "\n"))
    assert loaded.diagnostics == ()
    a, b = loaded.plan.jobs["a"], loaded.plan.jobs["b"]
    assert (a.order, a.aging, a.expires_in) == (Order.LIFO, timedelta(hours=1), timedelta(hours=1))
    assert make_key(a.group_by, {"to": {"host": "x.org"}, "kind": 3}) == "x.org/3"
    assert (b.order, b.aging, b.expires_in, b.group_by) == (Order.FIFO, timedelta(minutes=5), None, None)


@given(st.integers(1, 1_000_000), st.timedeltas(timedelta(milliseconds=1), timedelta(days=30)))
def test_a_rate_that_is_written_is_read_back(count: int, period: timedelta):
    period = timedelta(milliseconds=period // timedelta(milliseconds=1))
    assert parse_rate(f" {count} / {format_duration(period)} ") == RateLimit(count=count, period=period)


NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,8}", fullmatch=True)
LITERALS = st.text(alphabet=st.characters(exclude_characters="{}%#", codec="utf-8"), max_size=5)


@given(st.lists(st.tuples(LITERALS, st.lists(NAMES, min_size=1, max_size=3)), min_size=1, max_size=4), LITERALS)
def test_a_key_is_its_text_with_the_parameters_in_their_places(parts, end):
    text = "".join(f"{literal}{{{{ params.{'.'.join(names)} }}}}" for literal, names in parts) + end
    params: dict = {}
    for _, names in parts:
        inner = params
        for name in names[:-1]:
            inner = inner.setdefault(name, {})
            if not isinstance(inner, dict):
                return  # one path goes through the value of another
        if isinstance(inner.get(names[-1]), dict):
            return
        inner[names[-1]] = "v"
    assert make_key(compile_key(text), params) == "".join(f"{literal}v" for literal, _ in parts) + end


# What, the value of `mail`, code, line:column, what the message and the hint have in them.
# fmt: off
MISTAKES = [
    ("an unknown key", "{rate_limits: 1/s}", "unknown-key", "4:10", "unknown key `rate_limits`",
     "did you mean `rate_limit`?"),
    ("BullMQ's limiter", "{limiter: 1/s}", "unknown-key", "4:10", "unknown key `limiter`",
     "did you mean `rate_limit`?"),
    ("a policy of jobs", "{expires_in: 1m}", "unknown-key", "4:10", "unknown key `expires_in`",
     "`expires_in` belongs under a job under `jobs`"),
    ("no order", "{order: random}", "bad-choice", "4:17", "`order` should be `fifo` or `lifo`", ""),
    ("no time to age", "{aging: 0s}", "bad-duration", "4:17", "`aging`: the duration must be longer than 0", ""),
    ("an age to age", "{aging: 900d}", "bad-value", "4:3", "`aging` may be at most 365d", ""),
    ("no concurrency", "{concurrency: 0}", "bad-value", "4:23", "`concurrency` should be at least 1, not 0", ""),
    ("a rate without a period", "{rate_limit: 100}", "bad-rate", "4:22",
     "the number 100 is not a rate: it has no period",
     "write 100/1m for a minute"),
    ("a rate of nothing", "{rate_limit: 0/1m}", "bad-rate", "4:22", "a rate of 0 would let nothing start",
     "orchestrator queue pause"),
    ("a rate of too much", "{rate_limit: 9000000/1d}", "bad-rate", "4:22", "at most 1,000,000 starts",
     "choose a shorter period"),
    ("a rate in words", "{rate_limit: 100 per minute}", "bad-rate", "4:22", '"100 per minute" is not a rate',
     "write it like 100/1m, 5/s or 1000/24h"),
    ("a rate of no duration", "{rate_limit: 5/min}", "bad-rate", "4:22", '"5/min" is not a rate: "min" is no duration',
     "write it like 100/1m"),
    ("a rate of no time", "{rate_limit: 5/0s}", "bad-rate", "4:22", "the period of a rate must be longer than 0",
     "write it like"),
    ("a rate in parts", "{rate_limit: {count: 5}}", "bad-rate", "4:22", "a mapping is not a rate", "write it like"),
    ("keys without a rate", '{rate_limit_by: "{{ params.a }}"}', "missing-key", "4:3",
     "`rate_limit_by` needs a `rate_limit`",
     "add one: `rate_limit: 10/1m`"),
    ("limits without a key", "{per_key: {concurrency: 1}}", "missing-key", "4:10", "`per_key` has no `by`",
     'say what makes the key: `by: "{{ params.tenant }}"`'),
    ("limits of nothing", "{per_key: 3}", "wrong-type", "4:19", "`per_key` should be a mapping, not 3", ""),
    ("an unknown limit of a key", '{per_key: {by: "{{ params.a }}", rate: 1/s}}', "unknown-key",
     "4:42", "unknown key `rate`",
     "did you mean `rate_limit`?"),
    ("a key that is the same for all", "{per_key: {by: tenant}}", "bad-key-text", "4:24", '"tenant" names no parameter',
     "write text and parameters, like {{ params.tenant }}"),
    ("a key of no text", "{per_key: {by: 3}}", "bad-key-text", "4:24",
     "3 is no text with a parameter in it", "write text"),
    ("a key of everything", '{per_key: {by: "{{ params }}"}}', "bad-key-text", "4:24", "is all parameters together",
     "name one: {{ params.NAME }}"),
    ("a key with a filter", '{per_key: {by: "{{ params.a | lower }}"}}', "bad-key-text", "4:24",
     '"{{ params.a | lower }}" can\'t be part of a key', "write text and parameters"),
    ("a key of something else, too", '{per_key: {by: "{{ params.a }}{{ job.name }}"}}', "bad-key-text", "4:24",
     '"{{ job.name }}" can\'t be part of a key', "write text and parameters"),
    ("a key with a condition", '{per_key: {by: "{% if params.a %}b{% endif %}"}}', "bad-key-text", "4:24",
     "can't be part of a key", "write text and parameters"),
    ("a key that isn't finished", '{per_key: {by: "{{ params.a"}}', "template-syntax", "4:24", "template syntax",
     "every `{{` needs its `}}`"),
    ("a key of the run", '{per_key: {by: "{{ run.id }}"}}', "undefined-name", "4:24", "`run` can't be used here", ""),
    ("a parameter in another setting", '{concurrency: "{{ params.a }}"}', "undefined-name",
     "4:23", "`params` can't be used here",
     "a run's parameters can be used in `unique`, and in `by` and `rate_limit_by` of a queue, only"),
    ("two rates of a key",
     '{rate_limit: 1/s, rate_limit_by: "{{ params.a }}", per_key: {by: "{{ params.a }}", rate_limit: 1/s}}',
     "rate-twice", "4:3", "are two rates for the same thing", "leave out `rate_limit_by`"),
    ("two keys", '{rate_limit: 1/s, rate_limit_by: "{{ params.a }}", per_key: {by: "{{ params.b }}"}}',
     "keys-differ", "4:3",
     "make different keys; a queue has one kind", "make them the same"),
]
# fmt: on


@pytest.mark.parametrize(
    ("text", "code", "place", "message", "hint"), [row[1:] for row in MISTAKES], ids=[row[0] for row in MISTAKES]
)
def test_a_mistake_is_told_at_its_place_with_a_mend(load_text, only, text, code, place, message, hint):
    found = only(load_text(QUEUE % text))
    assert (found.severity, found.code, f"{found.line}:{found.column}") == ("error", code, place)
    assert message in found.message
    assert hint in (found.hint or "")


def test_many_mistakes_are_told_in_one_go(load_text):
    text = QUEUE % "{rate_limit: 5, aging: 0s, order: x, per_key: {by: y, concurrency: 0, rate_limit: 0/s}}"
    codes = [found.code for found in load_text(text).diagnostics]
    assert codes == ["bad-rate", "bad-duration", "bad-choice", "bad-key-text", "bad-value", "bad-rate"]


@pytest.mark.parametrize(
    ("text", "code", "place", "message"),
    [
        ("every: hour", "no-key", "4:3", "job `a` has no `params.tenant`, by which queue `mail` keeps runs apart"),
        ("on_start: true, params: {tenant: ''}", "no-key", "4:3", "job `a` has no `params.tenant`"),
        ("params: {tenant: '{{ run.id }}'}", "late-key", "4:48", "`params.tenant`, by which queue `mail`"),
        (
            "expires_in: 1h, deadline: 10m",
            "expiry-over-deadline",
            "4:43",
            "`expires_in` (1h) is not shorter than `deadline`",
        ),
    ],
)
def test_what_probably_is_not_meant_is_a_warning(load_text, only, text, code, place, message):
    found = only(load_text(JOB % text))
    assert (found.severity, found.code, f"{found.line}:{found.column}") == ("warning", code, place)
    assert message in found.message


def test_a_batch_would_mix_keys(load_text, only):
    found = only(load_text(JOB % "batch: {size: 5}"))
    assert (found.severity, found.code) == ("error", "batch-of-keys")


@pytest.mark.parametrize(
    "text", ["every: hour, params: {tenant: x}", "params: {other: 1}", "expires_in: 1m, deadline: 1h"]
)
def test_a_job_that_fits_its_queue_is_not_complained_of(load_text, text):
    assert load_text(JOB % text).diagnostics == ()


def test_a_step_whose_key_is_known_only_when_it_starts_is_told_how_it_gets_one(load_text, only):
    text = """
        version: 1
        queues: {mail: {per_key: {by: "{{ params.tenant }}"}}}
        defaults: {queue: mail}
        jobs:
          send: {call: m.f, params: {tenant: null}}
          flow:
            steps:
              call: {call: m.f, foreach: [a], params: {tenant: "{{ item }}"}}
              job: {job: send, foreach: [a], params: {tenant: "{{ item }}"}}
    """
    found = only(load_text(text.replace("\n        ", "\n")))
    assert (found.severity, found.code) == ("warning", "late-key")
    assert found.message.endswith("is known only when they start: the limits of a key don't hold for them")
    assert found.hint == "make the call a job of its own with `queue: mail`, and run it by a step with `job`"
