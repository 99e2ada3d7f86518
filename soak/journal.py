"""What did the callables really do? Their journal, which no part of the product writes or reads."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple


class Entry(NamedTuple):
    """An attempt began (`start`) or came to its good end (`end`), at a time of the machine's monotonic clock."""

    mark: str
    run_id: int
    number: int
    """What the callable knows as its attempt: 1 for the first that is charged."""
    pid: int
    at: int
    """Nanoseconds."""
    job: str


def read_journal(path: Path) -> Iterator[Entry]:
    """The entries in the order written; each was one `write`, so none is torn."""
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            mark, run_id, number, pid, at, job = line.split()
            yield Entry(mark, int(run_id), int(number), int(pid), int(at), job)


def read_acknowledged(path: Path) -> list[int]:
    """The ids of accepted runs. A line that a kill cut off was told to nobody."""
    text = path.read_text("utf-8")
    return [int(word) for line in text.splitlines(keepends=True) if line.endswith("\n") for word in line.split()]
