"""The output of one attempt on its way to the engine."""

from __future__ import annotations

import os
import socket

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.worker.capture import Capture
from orchestrator.worker.interrupt import Interrupt
from orchestrator.worker.line import Line
from orchestrator.worker.messages import Frames, Logged, from_worker
from orchestrator.worker.slot import Slot, new_file


class Ears:
    """An attempt's capture, and what the engine hears of it."""

    def __init__(self) -> None:
        fd = new_file(Slot.size(1))
        self.engine, worker = socket.socketpair()
        self.engine.setblocking(False)
        interrupt = Interrupt(Slot(fd, 1))
        os.close(fd)
        self.line = Line(worker, interrupt)
        self.interrupt = interrupt
        self.delayed: list[Capture] = []
        self.frames = Frames()

    def capture(self, limit: int = 1000) -> Capture:
        return Capture(self.line, self.interrupt, 1, 1, limit, self.delayed.append)

    def heard(self) -> list[Logged]:
        found = []
        while True:
            try:
                data = self.engine.recv(65536)
            except BlockingIOError:
                return found
            for body in self.frames.feed(data):
                found += [message for message in from_worker(body) if isinstance(message, Logged)]


@pytest.fixture
def ears() -> Ears:
    return Ears()


def test_a_line_is_sent_when_it_is_whole(ears: Ears) -> None:
    capture = ears.capture()
    capture.write("stdout", "hel")
    assert ears.heard() == []
    capture.write("stdout", "lo\n")
    assert [message.text for message in ears.heard()] == ["hello\n"]


def test_another_stream_or_a_flush_sends_what_is_unfinished(ears: Ears) -> None:
    capture = ears.capture()
    capture.write("stdout", "a")
    capture.write("stderr", "b")
    capture.flush()
    capture.flush()
    assert [(m.stream, m.text) for m in ears.heard()] == [("stdout", "a"), ("stderr", "b")]


def test_a_record_keeps_its_place_among_prints(ears: Ears) -> None:
    capture = ears.capture()
    capture.write("stdout", "before")
    capture.record("ERROR", "record")
    capture.write("stdout", "after\n")
    assert [(m.text, m.level) for m in ears.heard()] == [("before", None), ("record", "ERROR"), ("after\n", None)]


def test_a_flood_becomes_few_messages_and_is_flushed_later(ears: Ears) -> None:
    capture = ears.capture(limit=10**6)
    for number in range(5000):
        capture.write("stdout", f"{number}\n")
    first = ears.heard()
    assert len(first) < 1000
    assert capture in ears.delayed
    capture.flush()
    text = "".join(message.text for message in first + ears.heard())
    assert text == "".join(f"{number}\n" for number in range(5000))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(["stdout", "stderr"]), st.text(max_size=60)), max_size=20), st.integers(0, 200)
)
def test_no_more_than_the_limit_is_ever_sent_and_then_it_says_so(pieces: list[tuple[str, str]], limit: int) -> None:
    ears = Ears()
    capture = ears.capture(limit)
    for stream, text in pieces:
        capture.write(stream, text)
    capture.flush()
    heard = [m for m in ears.heard() if not m.text.startswith("log limit of")]
    size = sum(len(message.text.encode()) for message in heard)
    assert size <= limit
    wanted = sum(len(text.encode("utf-8", "backslashreplace")) for _, text in pieces)
    assert capture.full == (wanted > limit)
    if not capture.full:
        assert size == wanted


def test_a_warning_of_the_worker_is_always_heard(ears: Ears) -> None:
    capture = ears.capture(limit=1)
    capture.write("stdout", "too much\n")
    capture.warn("the result is not kept")
    assert [message.text for message in ears.heard()][-1] == "the result is not kept"
