"""What goes on in a worker beside its attempts: one thread that reads the process's own stdout and stderr (written by
C code and child processes), sends output that was kept back, and ends everything when the engine is gone."""

from __future__ import annotations

import codecs
import fcntl
import os
import select
import socket
import termios
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn, Protocol

from orchestrator.core import kin
from orchestrator.worker.capture import Capture
from orchestrator.worker.line import Line

_CHUNK = 256 * 1024
_KEPT_BACK = 0.04
"""Seconds that flooding output may wait to become one message."""
_NOTE_LIMIT = 64 * 1024
"""Bytes of output outside attempts that one worker reports; import-time chatter is not worth more."""


class Delayed(Protocol):
    """Something that was kept back for a moment."""

    def flush(self) -> None:
        """Send it."""


class Watch:
    """The side thread. `pipes` are the read ends of what descriptors 1 and 2 write to, with their streams' names."""

    def __init__(
        self, line: Line, sock: socket.socket, pipes: dict[int, str], current: Callable[[], Capture | None], mark: str
    ) -> None:
        self._line = line
        self._socket = sock
        self._pipes = pipes
        self._current = current
        self._mark = mark
        self._lock = threading.RLock()
        self._decoders = {fd: codecs.getincrementaldecoder("utf-8")("backslashreplace") for fd in pipes}
        self._waiting: set[Delayed] = set()
        self._wake_reader, self._wake_writer = os.pipe()
        self._notes_left = _NOTE_LIMIT
        self._available = bytearray(4)

    def start(self) -> None:
        """Watch from now on."""
        for fd in (*self._pipes, self._wake_reader, self._wake_writer):
            os.set_blocking(fd, False)
        threading.Thread(target=self._run, name="orchestrator-watch", daemon=True).start()

    def later(self, news: Delayed) -> None:
        """Flush this output, or this progress, soon, if nothing else does."""
        if news not in self._waiting:
            self._waiting.add(news)
            with suppress(BlockingIOError):
                os.write(self._wake_writer, b".")

    def forget(self, news: Delayed) -> None:
        """The attempt is over and flushes it itself."""
        self._waiting.discard(news)

    def drain(self) -> None:
        """Take all that descriptors 1 and 2 were given up to now. Called at an attempt's end, before it is reported."""
        with self._lock:
            for fd in self._pipes:
                fcntl.ioctl(fd, termios.FIONREAD, self._available)
                if any(self._available):
                    self._take(fd, everything=True)
                    self._give(fd, self._decoders[fd].decode(b"", final=True))

    def _run(self) -> None:
        poll = select.poll()
        for fd in self._pipes:
            poll.register(fd, select.POLLIN)
        poll.register(self._wake_reader, select.POLLIN)
        poll.register(self._socket.fileno(), 0)  # only the other end's disappearance
        while True:
            for fd, events in poll.poll():
                if fd in self._pipes:
                    with self._lock:
                        self._take(fd)
                elif fd == self._wake_reader:
                    self._flush_waiting()
                elif events & (select.POLLHUP | select.POLLERR):
                    self.end()

    def _take(self, fd: int, *, everything: bool = False) -> None:
        """Read what is there; `everything` of it, or one chunk. A flood that never pauses is left after a while."""
        patience = 64
        while patience:
            patience -= 1
            try:
                data = os.read(fd, _CHUNK)
            except BlockingIOError:
                return
            if not self._deaf():
                self._give(fd, self._decoders[fd].decode(data))
            if not everything:
                return

    def _deaf(self) -> bool:
        """Whether what comes now is dropped: then it isn't even decoded."""
        if (capture := self._current()) is None:
            return self._notes_left <= 0
        if capture.full:
            capture.heard()
        return capture.full

    def _give(self, fd: int, text: str) -> None:
        capture = self._current()
        if capture is not None:
            capture.write(self._pipes[fd], text)
        elif text:
            self._line.note(self._pipes[fd], text[: self._notes_left])
            self._notes_left -= len(text)

    def _flush_waiting(self) -> None:
        time.sleep(_KEPT_BACK)
        with suppress(BlockingIOError):
            os.read(self._wake_reader, 4096)
        for news in list(self._waiting):
            self._waiting.discard(news)
            news.flush()

    def end(self) -> NoReturn:
        """The engine is gone: so is everything that it started through this worker."""
        if self._line.mine and os.getpgrp() == os.getpid():
            kin.end(self._mark, (os.getpid(),))
            kin.kill_group(os.getpid())
        os._exit(1)
