"""Where do `print`, `sys.stderr` and `logging` lead in a worker? To the attempt that runs in the current context."""

from __future__ import annotations

import io
import logging
import os
import sys
from collections.abc import Callable, Iterable
from typing import Any

from orchestrator.worker.capture import CURRENT, Capture


def _of_context() -> Capture | None:
    return CURRENT.get()


class Streams:
    """Puts captured streams in place of the process's own. `current` finds the attempt that is running."""

    def __init__(self, current: Callable[[], Capture | None] = _of_context) -> None:
        self.current = current

    def install(self) -> None:
        """Replace stdout and stderr, and send all logging records here."""
        for name, fd in (("stdout", 1), ("stderr", 2)):
            stream = CapturedStream(name, fd, self)
            setattr(sys, name, stream)
            setattr(sys, f"__{name}__", stream)
        os.register_at_fork(after_in_child=self._after_fork)
        logging.captureWarnings(capture=True)
        root = logging.getLogger()
        root.addHandler(_Handler(self))
        root.setLevel(logging.INFO)

    def _after_fork(self) -> None:
        """A forked child has no line to the engine: it writes to the descriptors, like any child process."""
        self.current = lambda: None


class CapturedStream(io.TextIOBase):
    """A text stream that gives its lines to the running attempt, or to the process's descriptor when there is none."""

    def __init__(self, name: str, fd: int, streams: Streams) -> None:
        self.name = name
        self.mode = "w"
        self._fd = fd
        self._streams = streams
        self.buffer = _CapturedBytes(self)

    encoding = "utf-8"
    errors = "backslashreplace"
    newlines = None
    line_buffering = True

    def write(self, text: str) -> int:
        capture = self._streams.current()
        if capture is None:
            _write_all(self._fd, text.encode("utf-8", "backslashreplace"))
        elif capture.full:
            capture.heard()
        else:
            if not isinstance(text, str):
                raise TypeError(f"write() argument must be str, not {type(text).__name__}")
            capture.write(self.name, text)
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:  # type: ignore[override]
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        if (capture := self._streams.current()) is not None:
            capture.flush()

    def fileno(self) -> int:
        return self._fd

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return False

    def reconfigure(self, **options: Any) -> None:
        """Programs set an encoding here; what is captured is text already."""

    def close(self) -> None:
        """The worker outlives the callable that closes its stream."""


class _CapturedBytes(io.RawIOBase):
    """What `sys.stdout.buffer` is."""

    def __init__(self, text: CapturedStream) -> None:
        self._text = text

    def write(self, data: Any) -> int:
        view = memoryview(data)
        self._text.write(bytes(view).decode("utf-8", "backslashreplace"))
        return view.nbytes

    def fileno(self) -> int:
        return self._text.fileno()

    def writable(self) -> bool:
        return True

    def flush(self) -> None:
        self._text.flush()

    def close(self) -> None:
        """As for the text stream."""


class _Handler(logging.Handler):
    """Sends records to the running attempt with their level; without one, to stderr."""

    def __init__(self, streams: Streams) -> None:
        super().__init__()
        self._streams = streams

    def emit(self, record: logging.LogRecord) -> None:
        capture = self._streams.current()
        if capture is not None and capture.full:
            capture.heard()
            return
        try:
            text = self.format(record)
        except Exception:  # noqa: BLE001 - wrong arguments of a log call must not end the attempt
            text = f"{record.msg!r} % {record.args!r} can't be formatted"
        if capture is None:
            _write_all(2, f"{record.levelname} {record.name}: {text}\n".encode("utf-8", "backslashreplace"))
        else:
            capture.record(record.levelname, text)


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
