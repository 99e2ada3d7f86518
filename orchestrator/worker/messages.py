"""What the engine's process and a worker say to each other: msgpack structs, many to a frame.

A frame is a 4-byte big-endian length and then a msgpack array of messages. JSON values only: nothing is pickled.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from datetime import datetime
from typing import Any

import msgspec

from orchestrator.core.batches import BatchItem, ItemEnd
from orchestrator.core.flows import StepSight
from orchestrator.core.plan import PluginSources, Resource, Secret
from orchestrator.core.policies import Isolation
from orchestrator.core.result_files import ResultFile
from orchestrator.core.runs import ErrorInfo, Outcome
from orchestrator.core.units import format_size


class Message(msgspec.Struct, frozen=True, kw_only=True, array_like=True, tag=True):
    """Common shape: an array that starts with the message's name."""


class Setup(Message, frozen=True):
    """First to a worker: what it is and everything that it needs to be warm."""

    isolation: Isolation
    sources: PluginSources
    calls: tuple[str, ...]
    """Every `call:` of the plan that runs in this isolation; resolved while warming up."""
    resources: dict[str, Resource]
    vars: dict[str, Any]
    secrets: dict[str, Secret]
    root: str
    results: str
    """The folder for the files of large results."""
    limit: int = 1
    """Attempts at once: 1 in a process worker."""


class Assignment(Message, frozen=True):
    """An attempt to execute. `sequence` is the executor's own counter per worker, ascending from 1; `place` is where
    in the worker's slot the attempt notes how far it is."""

    run_id: int
    attempt: int
    number: int
    job: str
    call: str
    params: dict[str, Any]
    cause: str
    fire_time: datetime | None
    timezone: str
    max_attempts: int
    checkpoint: Any = None
    log_limit: int = 2**20
    heartbeat: float | None = None
    """Seconds within which the engine wants a sign of life; none if it doesn't listen for any."""
    sequence: int = 0
    place: int = 0
    items: tuple[BatchItem, ...] = ()
    """The runs of a batch; empty for a run that is executed by itself."""
    sight: StepSight | None = None
    """Of a step of a workflow: what its templates may read, and whether it is only to be prepared."""


class Cancel(Message, frozen=True):
    """Wakes the async worker to cancel the task of an attempt that was asked to stop.

    The ask itself is in the slot, where it reaches a worker that reads no messages; a process worker's main thread is
    woken by a signal, and a thread looks when it reads `Context.cancelled`.
    """

    sequence: int


class Stop(Message, frozen=True):
    """Finish what runs, start nothing more, close the resources, exit."""


class Ready(Message, frozen=True):
    """The worker has imported its plugins. `problems` maps a `call` that can't be resolved to the reason."""

    pid: int
    problems: dict[str, str] = {}


class Finished(Message, frozen=True):
    """An attempt's end. Never sent twice for the same attempt."""

    run_id: int
    attempt: int
    sequence: int
    outcome: Outcome
    started_at: datetime
    finished_at: datetime
    result: Any = None
    result_file: ResultFile | None = None
    """Where the result is, if it is large."""
    error: ErrorInfo | None = None
    retry_after: float | None = None
    """Seconds that the callable asked for with `Retry(delay=…)`."""
    give_up: bool = False
    """The callable raised `GiveUp`: no further attempt."""
    memory: int = 0
    """Bytes of the worker's resident memory after the attempt; 0 where unknown."""
    short_of_files: bool = False
    """The worker has hardly any file descriptors left."""
    asked: bool = False
    """It had been asked to stop, and that had reached it."""
    items: tuple[ItemEnd, ...] = ()
    """How each run of a batch ended; empty where the attempt was cancelled as a whole."""


class Voided(Message, frozen=True):
    """An assignment that was revoked before it began: it was not executed and never will be by this worker."""

    sequence: int


class Logged(Message, frozen=True):
    """Output of a running attempt."""

    run_id: int
    attempt: int
    at: datetime
    stream: str
    text: str
    level: str | None = None


class Progressed(Message, frozen=True):
    """What a callable said of its progress."""

    run_id: int
    attempt: int
    done: int
    total: int | None


class Checkpointed(Message, frozen=True):
    """Progress to hand to the run's next attempt."""

    run_id: int
    attempt: int
    value: Any


class Noted(Message, frozen=True):
    """Output of the worker that belongs to no attempt: prints at import, warnings of its own."""

    stream: str
    text: str


class ItemEnded(Message, frozen=True):
    """How one run of a batch ended, sent ahead where all of them together would make a long frame. It counts only once
    the batch has `Finished`."""

    run_id: int
    attempt: int
    """Of the batch."""
    end: ItemEnd


ToWorker = Setup | Assignment | Cancel | Stop
FromWorker = Ready | Finished | ItemEnded | Logged | Progressed | Checkpointed | Voided | Noted

_LENGTH = struct.Struct(">I")
MAX_FRAME = 64 * 2**20
LONG_FRAME = 2**20
"""Bytes above which messages don't share a frame."""
_encode = msgspec.msgpack.Encoder().encode
_decode_to_worker = msgspec.msgpack.Decoder(list[ToWorker]).decode
_decode_from_worker = msgspec.msgpack.Decoder(list[FromWorker]).decode


class LongMessageError(ValueError):
    """One message alone is longer than any frame may be."""


def frame(messages: Iterable[ToWorker | FromWorker]) -> bytes:
    """Encode messages as one frame; where that would be long, as one for each. Raises `LongMessageError`."""
    together = list(messages)
    body = _encode(together)
    if len(body) > LONG_FRAME and len(together) > 1:
        return b"".join(frame([message]) for message in together)
    if len(body) > MAX_FRAME:
        raise LongMessageError(f"{format_size(len(body))}, and at most {format_size(MAX_FRAME)} are possible")
    return _LENGTH.pack(len(body)) + body


def parted(message: FromWorker) -> Iterable[FromWorker]:
    """The message; the end of a batch in parts, where it is long."""
    if not isinstance(message, Finished) or len(message.items) < 2 or len(_encode(message)) <= LONG_FRAME:
        return (message,)
    run_id, attempt = message.run_id, message.attempt
    ends = [ItemEnded(run_id=run_id, attempt=attempt, end=end) for end in message.items]
    return (*ends, msgspec.structs.replace(message, items=()))


class Frames:
    """Cuts a byte stream into bodies of frames. Raises `ValueError` on a length no honest peer sends."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """Take what arrived; give the bodies that are complete."""
        buffer = self._buffer
        buffer += data
        bodies = []
        start = 0
        while len(buffer) - start >= 4:
            (length,) = _LENGTH.unpack_from(buffer, start)
            if length > MAX_FRAME:
                raise ValueError(f"a frame of {length} bytes")
            if len(buffer) - start - 4 < length:
                break
            bodies.append(bytes(buffer[start + 4 : start + 4 + length]))
            start += 4 + length
        del buffer[:start]
        return bodies


def to_worker(body: bytes) -> list[ToWorker]:
    """Decode and check a frame that a worker received."""
    return _decode_to_worker(body)


def from_worker(body: bytes) -> list[FromWorker]:
    """Decode and check a frame that a worker sent."""
    return _decode_from_worker(body)
