"""How is a worker process started? As a clean interpreter in a session of its own, sharing descriptors with us."""

from __future__ import annotations

import fcntl
import os
import socket
import subprocess
import sys
from typing import NamedTuple

from orchestrator.core import kin
from orchestrator.worker.slot import Slot, new_file

_PIPE_SIZE = 2**20
"""Large, because the worker reads these pipes itself, and C code that prints may hold the interpreter's lock."""


class Launched(NamedTuple):
    """A process that has been started, and the engine's ends of what it shares."""

    process: subprocess.Popen[bytes]
    socket: socket.socket
    slot: Slot
    dump: int
    """A file that faulthandler writes to."""
    pipes: dict[int, str]
    """The reading ends of its stdout and stderr; the worker reads them while it lives."""
    mark: str


def launch(places: int, folder: str, mark: str) -> Launched:
    """Start `python -m orchestrator.worker` in `folder`. Raises `OSError` if that can't be done."""
    ours, theirs = socket.socketpair()
    slot_fd, dump_fd = new_file(Slot.size(places)), new_file(0)
    (out_reader, out_writer), (err_reader, err_writer) = _pipe(), _pipe()
    passed = (theirs.fileno(), slot_fd, dump_fd, out_reader, err_reader)
    try:
        process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            [sys.executable, "-P", "-m", "orchestrator.worker", *map(str, passed)],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=out_writer,
            stderr=err_writer,
            pass_fds=passed,
            start_new_session=True,
            env={**os.environ, kin.MARK: mark},
        )
    except BaseException:
        ours.close()
        for fd in (dump_fd, out_reader, err_reader):
            os.close(fd)
        raise
    finally:
        theirs.close()
        slot = Slot(slot_fd, places)
        for fd in (slot_fd, out_writer, err_writer):
            os.close(fd)
    ours.setblocking(False)  # noqa: FBT003 - takes it no other way
    return Launched(process, ours, slot, dump_fd, {out_reader: "stdout", err_reader: "stderr"}, mark)


def _pipe() -> tuple[int, int]:
    reader, writer = os.pipe()
    if (resize := getattr(fcntl, "F_SETPIPE_SZ", None)) is not None:
        try:
            fcntl.fcntl(writer, resize, _PIPE_SIZE)
        except OSError:  # the user's share of pipe memory is used up: a small one does, too
            return reader, writer
    return reader, writer
