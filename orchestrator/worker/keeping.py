"""Where do the results of an attempt go? Small ones with the report of its end, large ones to files before that."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from orchestrator.core.result_files import INLINE, LARGEST, ResultFile, whole, write
from orchestrator.worker.masking import Mask
from orchestrator.worker.messages import Assignment
from orchestrator.worker.results import encode, measured


class Large(NamedTuple):
    """A result that is to be written."""

    run_id: int
    attempt: int
    value: Any


class Keeping:
    """The results of one attempt: its own or, of a batch, one for each run."""

    def __init__(self, folder: str, mask: Mask) -> None:
        self._folder = folder
        self._mask = mask
        self.large: list[Large] = []
        """What `write` is still to write: it takes as long as the disk takes."""
        self.files: dict[int, ResultFile] = {}
        """By run, what was written."""
        self.errors: dict[int, Exception] = {}
        """By run, why it couldn't be."""

    def small(self, run_id: int, attempt: int, value: Any) -> Any:
        """The JSON value of a result; None for one that goes to a file. Raises `NotJson`."""
        found = measured(value, LARGEST)
        if found.size <= INLINE:
            return found.value
        self.large.append(Large(run_id, attempt, found.value))
        return None

    def write(self) -> None:
        """Write what is large, without secrets. It is on the disk when this returns, or there is an error to tell."""
        while self.large:
            run_id, attempt, value = self.large.pop()
            try:
                self.files[run_id] = write(Path(self._folder), run_id, attempt, encode(self._mask.value(value)))
            except Exception as error:  # noqa: BLE001 - there may be no memory, too
                self.errors[run_id] = error


def with_results(assignment: Assignment, folder: str) -> Assignment:
    """The attempt of a step, with the large results that it reads. Raises `ResultFileError`."""
    sight = assignment.sight
    assert sight is not None  # noqa: S101 - only steps read results
    steps = whole(sight.steps, sight.files, Path(folder))
    return msgspec.structs.replace(assignment, sight=msgspec.structs.replace(sight, steps=steps, files=()))
