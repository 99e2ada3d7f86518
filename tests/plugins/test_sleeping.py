"""How long a sleep is in the attempt after the one that it was interrupted in."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from orchestrator import Context
from tests.plugins.continuing import Run


class WallClock:
    """Stands still until it is shifted."""

    now = 1_000_000.0

    def shift(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> WallClock:
    clock = WallClock()
    monkeypatch.setattr("time.time", lambda: clock.now)
    return clock


def cool_down(context: Context) -> None:
    context.sleep(60)


def twice(context: Context) -> None:
    context.sleep(60)
    context.sleep(timedelta(minutes=2))


def test_the_next_attempt_sleeps_what_is_left(clock: WallClock) -> None:
    run = Run()
    cool_down(run.attempt())
    clock.shift(45)
    cool_down(run.attempt())
    clock.shift(45)
    cool_down(run.attempt())
    assert run.waits == [60, 15, -30]


def test_each_line_has_its_own(clock: WallClock) -> None:
    run = Run()
    twice(run.attempt())
    clock.shift(70)
    twice(run.attempt())
    assert run.waits == [60, 120, -10, 50]


def test_in_a_loop_only_the_first_one_is_shorter(clock: WallClock) -> None:
    run = Run()

    def polls(context: Context, times: int) -> None:
        for _ in range(times):
            context.sleep(60)
            clock.shift(40)

    polls(run.attempt(), 3)
    assert run.waits == [60] * 3
    polls(run.attempt(), 3)
    assert run.waits[3:] == [20, 60, 60]


def test_what_is_saved_is_done_and_so_are_the_sleeps_before_it(clock: WallClock) -> None:
    run = Run()
    context = run.attempt()
    cool_down(context)
    context.checkpoint.save("cool")
    cool_down(run.attempt())
    context = run.attempt()
    list(context.chunked("ab", 1))
    cool_down(run.attempt())
    assert run.waits == [60, 60, 0, 0, 0, 60]
    assert run.attempt().checkpoint.load() == "cool"


def test_a_wall_clock_that_was_set_back_prolongs_nothing(clock: WallClock) -> None:
    run = Run()
    cool_down(run.attempt())
    clock.shift(-3600)
    cool_down(run.attempt())
    assert run.waits == [60, 60]


def test_short_and_strange_durations_are_not_remembered(clock: WallClock) -> None:
    run = Run()
    for duration in (0.5, 0, -3, float("nan"), timedelta(milliseconds=250)):
        run.attempt().sleep(duration)
    assert run.waits == [0.5, 0, 0, 0, 0.25]
    assert run.stored == []
    run.attempt().sleep(float("inf"))
    assert run.waits[-1] == 3650 * 86400


def test_the_same_in_coroutines(clock: WallClock) -> None:
    run = Run()

    async def cool(context: Context) -> None:
        await context.asleep(60)

    asyncio.run(cool(run.attempt()))
    clock.shift(45)
    asyncio.run(cool(run.attempt()))
    assert run.waits == [60, 15]
