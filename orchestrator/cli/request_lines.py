"""How a file of requests is read: JSON Lines with what `enqueue` takes; every bad line is told with its number."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path

import msgspec

from orchestrator.client.preparing import Fault
from orchestrator.client.requests import Wanted, read_request
from orchestrator.core.errors import RequestError

STDIN = "-"


def read_lines(source: str, now: datetime, default_job: str | None) -> tuple[list[tuple[int, Wanted]], list[Fault]]:
    """The requests of a file (`-`: of standard input) by line, and what can't be read. Empty lines are passed over.

    Raises `RequestError` if there is no such file.
    """
    wanted: list[tuple[int, Wanted]] = []
    faults: list[Fault] = []
    for number, line in enumerate(_lines(source), 1):
        if not line.strip():
            continue
        try:
            wanted.append((number, read_request(_object(line), now, default_job)))
        except RequestError as error:
            faults.append(Fault(number, str(error), error.hint))
    return wanted, faults


def in_words(faults: Iterable[Fault]) -> Iterator[str]:
    """`line 3: there is no job 'x' …`, one for each fault."""
    for fault in faults:
        yield f"line {fault.place}: {fault.message}" + (f" ({fault.hint})" if fault.hint else "")


def _lines(source: str) -> Iterator[bytes]:
    if source == STDIN:
        yield from sys.stdin.buffer
        return
    try:
        with Path(source).open("rb") as file:
            yield from file
    except OSError as error:
        raise RequestError(f"{source} can't be read: {error.strerror}") from None


def _object(line: bytes) -> dict[str, object]:
    try:
        found = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RequestError(f"not JSON: {error}") from None
    except RecursionError:
        raise RequestError("not JSON that can be used: it is nested too deeply") from None
    if not isinstance(found, dict):
        raise RequestError("it is no JSON object", 'write it like {"params": {"to": "a@example.org"}}')
    return found
