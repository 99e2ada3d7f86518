"""What the reader of plugins is asked, and what it says: while it works, what it is about to do; then its findings."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import msgspec

from orchestrator.core.catalogue import Inspection, ParamCheck
from orchestrator.core.plan import PluginSources


class Step(StrEnum):
    """What user code is about to run."""

    IMPORT = "import"
    CHECK = "check"


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """Read these plugins and check these parameters."""

    sources: PluginSources
    checks: list[ParamCheck]
    resources: dict[str, str]
    root: str
    timeout: float
    """Seconds that one step may take; the reader ends itself after that, whatever the step does."""
    mark: bytes = b""
    """Written to standard output at each step, so that what is printed can be told apart by step."""
    unchecked: tuple[str, ...] = ()
    """Calls whose parameters are not to be checked, because that hung or crashed before."""


class Announced(msgspec.Struct, frozen=True, tag=True):
    """User code is about to run: a module's import, or the checks of one callable's parameters."""

    step: Step
    name: str


class Found(msgspec.Struct, frozen=True, tag=True):
    """All that was asked; the last message."""

    inspection: Inspection


FromInspection = Announced | Found
encode = msgspec.msgpack.Encoder().encode
decode_request = msgspec.msgpack.Decoder(Request).decode
decode_checks = msgspec.msgpack.Decoder(list[ParamCheck]).decode
_decode: msgspec.msgpack.Decoder[FromInspection] = msgspec.msgpack.Decoder(FromInspection)


def decode_answer(body: bytes) -> FromInspection:
    """Decode and check what the reader sent."""
    return _decode.decode(body)


def framed(message: FromInspection) -> bytes:
    """A message with its length before it, as `worker.messages.Frames` reads it. Text from plugins may hold
    surrogates (the file name or message was no UTF-8), which no message can; they are replaced."""
    try:
        body = encode(message)
    except UnicodeEncodeError:
        body = encode(msgspec.convert(_printable(msgspec.to_builtins(message)), type(message)))
    return len(body).to_bytes(4, "big") + body


def _printable(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {_printable(key): _printable(item) for key, item in value.items()}
    return [_printable(item) for item in value] if isinstance(value, (list, tuple)) else value
