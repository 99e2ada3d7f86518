"""Printing never holds up the engine, and never ends it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TextIO

import pytest

from orchestrator.cli.event_printer import MAX_WAITING, EventPrinter


@pytest.fixture
def pipe() -> Iterator[tuple[int, TextIO]]:
    reading, writing = os.pipe()
    with os.fdopen(writing, "w", encoding="utf-8") as stream:
        yield reading, stream


def read_all(descriptor: int) -> str:
    with os.fdopen(descriptor, encoding="utf-8") as stream:
        return stream.read()


def test_everything_put_is_printed_in_order_by_the_end(pipe: tuple[int, TextIO]) -> None:
    reading, writing = pipe
    with EventPrinter(writing, str) as printer:
        for number in range(500):
            printer.put(f"line {number}")
    writing.close()
    assert read_all(reading).splitlines() == [f"line {number}" for number in range(500)]


def test_a_reader_that_stands_still_blocks_nobody_and_what_is_left_out_is_counted(pipe: tuple[int, TextIO]) -> None:
    reading, writing = pipe
    with EventPrinter(writing, str) as printer:
        for number in range(MAX_WAITING * 4):
            printer.put(f"{number:0100}")
        printed = b""
        while b"left out" not in printed:
            printed += os.read(reading, 2**20)
    assert b"read too slowly" in printed
    os.close(reading)


def test_a_reader_that_has_gone_ends_the_printing_only(pipe: tuple[int, TextIO]) -> None:
    reading, writing = pipe
    os.close(reading)
    with EventPrinter(writing, str) as printer:
        for number in range(1000):
            printer.put(f"line {number}")


def test_what_the_encoding_lacks_is_escaped() -> None:
    reading, writing = os.pipe()
    with os.fdopen(writing, "w", encoding="ascii") as stream, EventPrinter(stream, str) as printer:
        printer.put("naïve")
    assert read_all(reading) == "na\\xefve\n"
