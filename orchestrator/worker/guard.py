"""Who ends the workers when the engine itself is killed? This process, which does nothing else.

It waits for the end of a pipe that only the engine holds. A goodbye written before that means an orderly shutdown;
otherwise every process that carries the engine's mark is killed: also a worker stuck in C code, which couldn't notice
the engine's death itself, and what it started. Run with the standard library alone, it stays small.
"""

from __future__ import annotations

import os
import signal

from orchestrator.core import kin

GOODBYE = b"!"


def main(fd: int, mark: str) -> None:
    """Wait for the engine's end, then leave nothing of it behind.

    The pipe brings process groups as lines: `+123` for a worker that was started, `-123` for one that is gone.
    """
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, signal.SIG_IGN)
    groups: set[int] = set()
    unread = b""
    while data := os.read(fd, 4096):
        *lines, unread = (unread + data).split(b"\n")
        for line in lines:
            if line == GOODBYE:
                return
            (groups.add if line[:1] == b"+" else groups.discard)(int(line[1:]))
    kin.end(mark, groups)
