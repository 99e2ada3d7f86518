"""Loops over chunks: what each attempt of a run is handed out, wherever the ones before it ended."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator import Context
from tests.plugins.continuing import Killed, Run

KEYS = st.sampled_from(["$orchestrator", "value", "a"])


async def _slowly(items: list[int]) -> AsyncIterator[int]:
    for item in items:
        await asyncio.sleep(0)
        yield item


def _pages(items: list[int], most: int) -> Callable[[int, int], list[int]]:
    """Fetches no more than `most` at once, as some interfaces do."""
    return lambda offset, size: items[offset : offset + min(size, most)]


async def _fetch(items: list[int], offset: int, size: int) -> list[int]:
    await asyncio.sleep(0)
    return items[offset : offset + size]


SOURCES: dict[str, Callable[[list[int]], Any]] = {
    "sequence": list,
    "range": lambda items: range(len(items)),
    "iterator": iter,
    "sized": dict.fromkeys,
    "fetch": lambda items: _pages(items, 3),
}
ASYNC_SOURCES: dict[str, Callable[[list[int]], Any]] = {
    **{name: source for name, source in SOURCES.items() if name != "fetch"},
    "async iterator": _slowly,
    "async fetch": lambda items: lambda offset, size: _fetch(items, offset, size),
}


def _handed_out(context: Context, source: Any, size: int) -> Iterator[list[int]]:
    yield from context.chunked(source, size)


def _handed_out_async(context: Context, source: Any, size: int) -> Iterator[list[int]]:
    """The same of a coroutine, step by step."""
    steps = context.achunked(source, size)
    with asyncio.Runner() as runner:

        async def step() -> list[int]:
            return await anext(steps)

        while True:
            try:
                yield runner.run(step())
            except StopAsyncIteration:
                return


@settings(deadline=None, max_examples=60)
@given(
    count=st.integers(0, 25),
    source=st.sampled_from([*[(False, name) for name in SOURCES], *[(True, name) for name in ASYNC_SOURCES]]),
    ends=st.lists(st.tuples(st.integers(0, 8), st.integers(1, 7), st.integers(0, 2), st.booleans()), max_size=6),
)
def test_however_often_it_is_interrupted_each_item_is_handed_out_and_none_that_was_saved(
    count: int, source: tuple[bool, str], ends: list[tuple[int, int, int, bool]]
) -> None:
    """An attempt ends after some chunks, of any size, by a kill in the middle of one or by being asked to stop after
    it; the last few saves may not have reached the disk."""
    is_async, name = source
    items = list(range(count))
    make = (ASYNC_SOURCES if is_async else SOURCES)[name]
    handed_out = _handed_out_async if is_async else _handed_out
    run = Run()
    seen: set[int] = set()
    for after, size, lost, asked in [*ends, (99, 4, 0, False)]:
        context = run.attempt(max(0, len(run.stored) - lost))
        begins = expected = _done(run)
        run.asked = False
        chunks = handed_out(context, make(items), size)
        try:
            for number, chunk in enumerate(chunks):
                assert chunk == items[expected : expected + len(chunk)]
                assert 1 <= len(chunk) <= size
                assert _done(run) == expected, "what is handed out is not saved yet, and all before it is"
                expected += len(chunk)
                seen |= set(chunk)
                if number == after:
                    run.asked = asked
                    if not asked:
                        break
        except Killed:
            assert asked
            assert _done(run) == expected
        chunks.close()
        assert begins <= _done(run) <= expected
    assert seen == set(items)
    assert _done(run) == count


def _done(run: Run) -> int:
    place = run.attempt().checkpoint.place.inner.get("")
    return place.done if place else 0


def test_progress_is_told_after_each_chunk_of_the_whole_where_that_is_known() -> None:
    run = Run()
    assert list(run.attempt().chunked(range(5), 2)) == [[0, 1], [2, 3], [4]]
    assert run.progress == [(2, 5), (4, 5), (5, 5)]
    assert list(run.attempt().chunked(range(5), 2)) == []
    assert run.progress[3:] == [(5, 5)], "where the next attempt begins"
    run = Run()
    assert list(run.attempt().chunked(iter("abc"), 2)) == [["a", "b"], ["c"]]
    assert run.progress == [(2, None), (3, None)]


def test_the_callables_own_checkpoint_is_what_it_was() -> None:
    run = Run()
    context = run.attempt()
    context.checkpoint.save({"mine": 1})
    assert run.stored == [b'{"mine":1}']
    chunks = context.chunked("abcd", 1)
    assert [next(chunks), next(chunks)] == [["a"], ["b"]]
    context = run.attempt()
    assert context.checkpoint.load() == {"mine": 1}
    context.checkpoint.save("two")
    context = run.attempt()
    assert context.checkpoint.load() == "two"
    assert list(context.chunked("abcd", 2)) == [["b", "c"], ["d"]]
    context.checkpoint.save(None)
    assert run.attempt().checkpoint.load("nothing") == "nothing"
    assert list(run.attempt().chunked("abcd", 2)) == []


@given(st.recursive(st.none() | st.text(max_size=3), lambda inner: st.dictionaries(KEYS, inner), max_leaves=4))
def test_whatever_a_callable_saves_it_loads(value: Any) -> None:
    run = Run()
    run.attempt().checkpoint.save(value)
    assert run.attempt().checkpoint.load() == value
    list(run.attempt().chunked([1], 1))
    assert run.attempt().checkpoint.load() == value


def test_loops_of_the_same_callable_have_names() -> None:
    run = Run()

    def both(context: Context) -> Iterator[list[str]]:
        yield from context.chunked("abc", 2, name="first")
        yield from context.chunked("xyz", 2, name="second")

    steps = both(run.attempt())
    assert [next(steps) for _ in range(3)] == [["a", "b"], ["c"], ["x", "y"]]
    assert list(both(run.attempt())) == [["x", "y"], ["z"]]
    context = run.attempt()
    assert list(context.chunked("ab", 1)) == [["a"], ["b"]]
    with pytest.raises(ValueError, match="a second loop over chunks without a name: give each its own"):
        list(context.chunked("cd", 1))


def test_a_loop_within_a_loop_belongs_to_the_chunk_of_the_outer_one() -> None:
    run = Run()

    def grid(context: Context) -> Iterator[str]:
        for letters in context.chunked("abc", 1):
            for digits in context.chunked("123", 1):
                yield letters[0] + digits[0]

    steps = grid(run.attempt())
    assert [next(steps) for _ in range(5)] == ["a1", "a2", "a3", "b1", "b2"]
    assert list(grid(run.attempt())) == ["b2", "b3", "c1", "c2", "c3"]
    assert run.progress[-1] == (3, 3), "the outer loop's progress is the run's"


def test_a_loop_that_was_left_early_is_not_around_the_next_one() -> None:
    run = Run()
    context = run.attempt()
    for _ in context.chunked("abc", 1, name="left"):
        break
    assert list(context.chunked("xy", 1, name="next")) == [["x"], ["y"]]
    context = run.attempt()
    assert list(context.chunked("xy", 1, name="next")) == []
    assert list(context.chunked("abc", 1, name="left")) == [["a"], ["b"], ["c"]]


def test_mistakes_are_told_before_anything_is_handed_out() -> None:
    context = Run().attempt()
    with pytest.raises(ValueError, match="at least one item, not 0"):
        context.chunked([1], 0)
    with pytest.raises(TypeError, match="a set has another order in each process"):
        context.chunked({"a"}, 1)
    with pytest.raises(TypeError, match="a set has another order in each process"):
        context.achunked(frozenset("a"), 1)
