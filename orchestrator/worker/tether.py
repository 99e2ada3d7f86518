"""How does a child end together with who started it, even if that one is killed? By the end of a pipe that it holds.

The child need not be able to do anything: the kernel sends the signal when the pipe's last writer is gone.
"""

from __future__ import annotations

import fcntl
import os
import signal
import threading
from types import TracebackType
from typing import Self


class Tether:
    """The parent's end: `fd` is for the child, which ends when this one is closed, by whatever means."""

    def __init__(self) -> None:
        self.fd, self._held = os.pipe()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.handed_over()
        os.close(self._held)

    def handed_over(self) -> None:
        """The child has been started: its end is its own."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


def hold_on(fd: int) -> None:
    """From now on this process, a leader of its group, is killed with the whole group once the other end is gone."""
    os.set_inheritable(fd, False)  # noqa: FBT003 - takes it no other way
    if not hasattr(fcntl, "F_SETSIG"):
        threading.Thread(target=_read_to_the_end, args=(fd,), name="tether", daemon=True).start()
        return
    fcntl.fcntl(fd, fcntl.F_SETSIG, signal.SIGKILL)
    fcntl.fcntl(fd, fcntl.F_SETOWN, -os.getpid())
    fcntl.fcntl(fd, fcntl.F_SETFL, fcntl.fcntl(fd, fcntl.F_GETFL) | os.O_ASYNC | os.O_NONBLOCK)
    try:
        gone = os.read(fd, 1) == b""
    except BlockingIOError:
        return
    if gone:  # before anybody was told
        os.killpg(os.getpid(), signal.SIGKILL)


def _read_to_the_end(fd: int) -> None:
    os.read(fd, 1)
    os.killpg(os.getpid(), signal.SIGKILL)
