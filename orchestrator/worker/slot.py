"""Who is executing what at this moment? A page of memory that a worker and the engine share, so that each can tell
even when the other is stuck, stopped or dead.

All cells are 64-bit integers, and each has one writer. Sequences are those of `Assignment.sequence`.

The revocation protocol: the engine writes `revoked`, waits a millisecond (any store buffer is flushed by then), and
reads `claimed`. The worker writes `claimed`, then reads `revoked`, and only then begins. So whatever is later than the
`claimed` that the engine read will never begin; and the worker itself says what became of the claimed one.
"""

from __future__ import annotations

import mmap
import os
import sys
import tempfile
import time

_REVOKED, _STEPPING, _STEPPING_SINCE, _LEAVER = range(4)
_HEADER = 4
_CLAIMED, _BEGUN, _STARTED, _ASKED, _THREAD, _HEARD, _WIDTH = 0, 1, 2, 3, 4, 5, 8

REVOKE_PAUSE = 0.002
"""Seconds between writing `revoked` and reading `claimed`."""


def new_file(size: int) -> int:
    """A file without a name, of so many zeros: its descriptor."""
    if sys.platform == "linux":
        fd = os.memfd_create("orchestrator", os.MFD_CLOEXEC)
    else:
        with tempfile.TemporaryFile() as file:
            fd = os.dup(file.fileno())
    os.ftruncate(fd, size)
    return fd


class Slot:
    """One worker's page; `places` is how many attempts it executes at once."""

    def __init__(self, fd: int, places: int) -> None:
        self._map = mmap.mmap(fd, self.size(places))
        self._cells = memoryview(self._map).cast("q")

    @staticmethod
    def size(places: int) -> int:
        """Bytes that so many places need."""
        return 8 * (_HEADER + _WIDTH * places)

    def close(self) -> None:
        """Let go of the memory."""
        self._cells.release()
        self._map.close()

    # Written by the worker.

    def begin(self, place: int, sequence: int) -> bool:
        """Claim an assignment, and begin it unless it has been revoked."""
        cells, at = self._cells, _HEADER + _WIDTH * place
        cells[at + _CLAIMED] = sequence
        if cells[_REVOKED] >= sequence:
            return False
        cells[at + _STARTED] = time.monotonic_ns()
        cells[at + _BEGUN] = sequence
        return True

    def beat(self, place: int, sequence: int) -> None:
        """An attempt gives a sign of life. One that has ended gives none: its place may be another's by now."""
        cells, at = self._cells, _HEADER + _WIDTH * place
        if cells[at + _BEGUN] == sequence:
            cells[at + _HEARD] = time.monotonic_ns()

    def set_thread(self, place: int, ident: int) -> None:
        """Note which thread executes a place."""
        self._cells[_HEADER + _WIDTH * place + _THREAD] = ident

    def leave(self, ident: int) -> None:
        """Note which thread ends the process."""
        self._cells[_LEAVER] = ident

    def step(self, sequence: int) -> None:
        """An attempt's coroutine takes the loop; 0 when it gives it back."""
        cells = self._cells
        if sequence:
            cells[_STEPPING_SINCE] = time.monotonic_ns()
        cells[_STEPPING] = sequence

    def was_asked(self, place: int, sequence: int) -> bool:
        """Whether the engine has asked this attempt to stop."""
        return self._cells[_HEADER + _WIDTH * place + _ASKED] == sequence

    # Written by the engine.

    def revoke(self, sequence: int) -> None:
        """Take back every assignment up to `sequence` that hasn't begun."""
        self._cells[_REVOKED] = sequence

    def ask(self, place: int, sequence: int) -> None:
        """Ask an attempt to stop."""
        self._cells[_HEADER + _WIDTH * place + _ASKED] = sequence

    # Read by the engine.

    def claimed(self, place: int) -> int:
        """The last assignment that the worker has looked at."""
        return self._cells[_HEADER + _WIDTH * place + _CLAIMED]

    def begun(self, place: int, sequence: int) -> bool:
        """Whether an attempt has started."""
        return self._cells[_HEADER + _WIDTH * place + _BEGUN] >= sequence

    def started(self, place: int) -> float:
        """When the place's last attempt started, in seconds of `time.monotonic`."""
        return self._cells[_HEADER + _WIDTH * place + _STARTED] / 1e9

    def heard(self, place: int) -> float:
        """When the place's last attempt gave its last sign of life; its start is the first."""
        at = _HEADER + _WIDTH * place
        return max(self._cells[at + _HEARD], self._cells[at + _STARTED]) / 1e9

    def thread(self, place: int) -> int:
        """The thread that executes a place; 0 if none was noted."""
        return self._cells[_HEADER + _WIDTH * place + _THREAD]

    def leaver(self) -> int:
        """The thread that ended the process itself; 0 if none was noted."""
        return self._cells[_LEAVER]

    def stepping(self) -> tuple[int, float]:
        """The attempt whose coroutine holds the loop (0: none), and since when."""
        return self._cells[_STEPPING], self._cells[_STEPPING_SINCE] / 1e9
