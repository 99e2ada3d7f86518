"""How is a worker process started? As a clean interpreter in a session of its own, sharing descriptors with us."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import subprocess
import sys
from contextlib import ExitStack
from typing import NamedTuple

from orchestrator.core import kin
from orchestrator.core.shortage import lacks_files, words_for
from orchestrator.worker.slot import Slot, new_file

_PIPE_SIZE = 2**20
"""Large, because the worker reads these pipes itself, and C code that prints may hold the interpreter's lock."""
FILES_OF_A_START = 12
"""Descriptors that a start takes at its peak; a worker that runs keeps half of them."""
FILES_KEPT = 16
"""Descriptors that no worker gets: for the database, a reload, a look at /proc."""


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

    def undo(self) -> None:
        """Leave nothing of it: it can't be looked after."""
        self.process.kill()
        self.process.wait()
        self.socket.close()
        self.slot.close()
        for fd in (self.dump, *self.pipes):
            os.close(fd)


def launch(places: int, folder: str, mark: str) -> Launched:
    """Start `python -m orchestrator.worker` in `folder`. Raises `OSError` if that can't be done, or could be done only
    with the descriptors that the engine needs for its own work."""
    if lacks_files(FILES_OF_A_START + FILES_KEPT):
        raise OSError(errno.EMFILE, words_for(errno.EMFILE))
    with ExitStack() as ours, ExitStack() as theirs:
        socket_here, socket_there = socket.socketpair()
        ours.enter_context(socket_here)
        theirs.enter_context(socket_there)
        slot_fd, dump = _kept(theirs, new_file(Slot.size(places))), _kept(ours, new_file(0))
        (out_reader, out_writer), (err_reader, err_writer) = _pipe(ours, theirs), _pipe(ours, theirs)
        slot = Slot(slot_fd, places)
        ours.callback(slot.close)
        passed = (socket_there.fileno(), slot_fd, dump, out_reader, err_reader)
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
        ours.pop_all()
    socket_here.setblocking(False)  # noqa: FBT003 - takes it no other way
    return Launched(process, socket_here, slot, dump, {out_reader: "stdout", err_reader: "stderr"}, mark)


def _kept(stack: ExitStack, fd: int) -> int:
    stack.callback(os.close, fd)
    return fd


def _pipe(ours: ExitStack, theirs: ExitStack) -> tuple[int, int]:
    reader, writer = os.pipe()
    _kept(ours, reader)
    _kept(theirs, writer)
    if (resize := getattr(fcntl, "F_SETPIPE_SZ", None)) is not None:
        try:
            fcntl.fcntl(writer, resize, _PIPE_SIZE)
        except OSError:  # the user's share of pipe memory is used up: a small one does, too
            return reader, writer
    return reader, writer
