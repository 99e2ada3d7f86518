"""Pauses between attempts, and which exceptions are retried."""

from __future__ import annotations

import random
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.policies import Backoff, Jitter, Retry

SECONDS = st.floats(0, 1e6).map(lambda seconds: timedelta(seconds=seconds))
RETRIES = st.builds(
    Retry, backoff=st.sampled_from(Backoff), delay=SECONDS, max_delay=SECONDS, jitter=st.sampled_from(Jitter)
)


@given(RETRIES, st.integers(1, 10_000), st.integers())
def test_a_pause_is_never_longer_than_the_longest(retry: Retry, attempt: int, seed: int) -> None:
    assert timedelta(0) <= retry.pause(attempt, random.Random(seed)) <= retry.max_delay


@given(RETRIES, st.integers(1, 100))
def test_without_jitter_pauses_never_shrink(retry: Retry, attempt: int) -> None:
    steady = Retry(backoff=retry.backoff, delay=retry.delay, max_delay=retry.max_delay, jitter=Jitter.NONE)
    assert steady.pause(attempt) <= steady.pause(attempt + 1)


@pytest.mark.parametrize(
    ("backoff", "pauses"),
    [
        (Backoff.CONSTANT, [2, 2, 2, 2]),
        (Backoff.LINEAR, [2, 4, 6, 8]),
        (Backoff.EXPONENTIAL, [2, 4, 8, 9]),
    ],
)
def test_pauses_grow_as_declared(backoff: Backoff, pauses: list[int]) -> None:
    retry = Retry(backoff=backoff, delay=timedelta(seconds=2), max_delay=timedelta(seconds=9), jitter=Jitter.NONE)
    assert [retry.pause(attempt).total_seconds() for attempt in (1, 2, 3, 4)] == pauses


@pytest.mark.parametrize(
    ("fields", "names", "covered"),
    [
        ({}, ("ValueError", "Exception"), True),
        ({"on": ("OSError",)}, ("ConnectionError", "OSError", "Exception"), True),
        ({"on": ("OSError",)}, ("ValueError", "Exception"), False),
        ({"on": ("builtins.ValueError",)}, ("ValueError",), True),
        ({"give_up_on": ("smtplib.SMTPRecipientsRefused",)}, ("smtplib.SMTPRecipientsRefused", "OSError"), False),
        ({"give_up_on": ("SMTPRecipientsRefused",)}, ("smtplib.SMTPRecipientsRefused", "OSError"), False),
        ({"give_up_on": ("other.SMTPRecipientsRefused",)}, ("smtplib.SMTPRecipientsRefused",), True),
        ({"on": ("OSError",), "give_up_on": ("TimeoutError",)}, ("TimeoutError", "OSError"), False),
    ],
)
def test_exceptions_are_matched_by_their_names_and_their_bases(
    fields: dict[str, tuple[str, ...]], names: tuple[str, ...], covered: bool
) -> None:
    assert Retry(**fields).covers(names) is covered  # type: ignore[arg-type]
