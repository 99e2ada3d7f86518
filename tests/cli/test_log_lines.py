"""A run's output, put together from the pieces in which it came."""

from __future__ import annotations

import io
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.cli.log_lines import LogLines
from orchestrator.core.runs import LogLine

AT = datetime(2025, 11, 24, 12, 0, 30, tzinfo=UTC)


def piece(text: str, stream: str = "stdout", level: str | None = None, attempt: int = 1) -> LogLine:
    return LogLine(run_id=1, attempt=attempt, at=AT, stream=stream, text=text, level=level)


def shown(*pieces: LogLine) -> str:
    lines = LogLines(io.StringIO(), UTC)
    return "".join(lines.text(one) for one in pieces) + lines.end()


def test_each_line_has_its_time_and_source() -> None:
    assert shown(piece("a\nb\n"), piece("careful", "log", "WARNING")) == (
        "12:00:30  stdout   a\n12:00:30  stdout   b\n12:00:30  WARNING  careful\n"
    )


def test_a_line_that_came_in_two_pieces_is_one_line() -> None:
    assert shown(piece("hel"), piece("lo\nnext\n")) == "12:00:30  stdout   hello\n12:00:30  stdout   next\n"


def test_another_stream_never_continues_an_unfinished_line() -> None:
    assert shown(piece("half"), piece("oops\n", "stderr")) == "12:00:30  stdout   half\n12:00:30  stderr   oops\n"


def test_attempts_are_told_apart() -> None:
    assert "-- next attempt --" in shown(piece("a\n"), piece("b\n", attempt=2))


@given(st.lists(st.text(alphabet="ab\n", min_size=1), max_size=6))
def test_however_output_was_cut_its_lines_are_whole(parts: list[str]) -> None:
    told = shown(*(piece(part) for part in parts))
    lines = [line.removeprefix("12:00:30  stdout   ") for line in told.split("\n")[:-1]]
    assert "\n".join(lines) == "".join(parts).removesuffix("\n")
