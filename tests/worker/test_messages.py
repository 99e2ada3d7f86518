"""Frames and messages between the engine and a worker."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.batches import ItemEnd
from orchestrator.core.runs import Outcome
from orchestrator.worker.messages import (
    LONG_FRAME,
    MAX_FRAME,
    Cancel,
    Finished,
    Frames,
    FromWorker,
    ItemEnded,
    Logged,
    LongMessageError,
    Noted,
    Stop,
    ToWorker,
    Voided,
    frame,
    from_worker,
    parted,
    to_worker,
)

MOMENT = datetime(2024, 2, 29, 12, tzinfo=UTC)
TEXT = st.text(st.characters(exclude_categories=["Cs"]))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)


@given(st.lists(st.lists(st.integers(1, 2**40), max_size=4), max_size=5), st.data())
def test_frames_survive_being_cut_anywhere(batches: list[list[int]], data: st.DataObject) -> None:
    sent: list[list[ToWorker]] = [[Cancel(sequence=n) for n in batch] for batch in batches]
    stream = b"".join(frame(batch) for batch in sent)
    frames, bodies = Frames(), []
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        bodies += frames.feed(stream[:size])
        stream = stream[size:]
    assert [to_worker(body) for body in bodies] == sent


@given(JSON, st.sampled_from(Outcome))
def test_results_arrive_as_they_were_sent(result: object, outcome: Outcome) -> None:
    sent: list[FromWorker] = [
        Finished(
            run_id=1, attempt=2, sequence=3, outcome=outcome, started_at=MOMENT, finished_at=MOMENT, result=result
        ),
        Logged(run_id=1, attempt=2, at=MOMENT, stream="stdout", text="\0\n"),
        Voided(sequence=9),
    ]
    (body,) = Frames().feed(frame(sent))
    assert from_worker(body) == sent


def test_a_length_that_no_honest_peer_sends_is_refused() -> None:
    with pytest.raises(ValueError, match="a frame of"):
        Frames().feed((MAX_FRAME + 1).to_bytes(4, "big"))


def test_a_message_of_the_other_direction_is_refused() -> None:
    (body,) = Frames().feed(frame([Stop()]))
    with pytest.raises(ValueError, match="Stop"):
        from_worker(body)


@given(st.lists(st.integers(1, 600_000), min_size=1, max_size=6))
def test_messages_share_a_frame_only_while_it_is_short(lengths: list[int]) -> None:
    sent: list[FromWorker] = [Noted(stream="stdout", text="x" * length) for length in lengths]
    bodies = Frames().feed(frame(sent))
    assert [message for body in bodies for message in from_worker(body)] == sent
    assert len(bodies) in (1, len(sent))
    assert all(len(body) <= LONG_FRAME for body in bodies)


def test_a_message_that_no_frame_can_take_is_refused_before_it_is_sent() -> None:
    with pytest.raises(LongMessageError, match=r"64MiB are possible"):
        frame([Stop(), Noted(stream="stdout", text="x" * MAX_FRAME)])


@given(st.lists(st.integers(0, 400_000), max_size=6))
def test_the_end_of_a_batch_is_sent_in_parts_where_it_is_long(lengths: list[int]) -> None:
    ends = tuple(ItemEnd(run_id=n, outcome=Outcome.SUCCEEDED, result="x" * length) for n, length in enumerate(lengths))
    whole = Finished(
        run_id=7, attempt=2, sequence=3, outcome=Outcome.SUCCEEDED, started_at=MOMENT, finished_at=MOMENT, items=ends
    )
    *ahead, last = parted(whole)
    assert isinstance(last, Finished)
    told = [part.end for part in ahead if isinstance(part, ItemEnded) and (part.run_id, part.attempt) == (7, 2)]
    assert (*told, *last.items) == ends
    assert len(told) == len(ahead)
    assert all(len(body) <= LONG_FRAME for body in Frames().feed(frame([*ahead, last])))
