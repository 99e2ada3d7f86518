"""Starts the guard, a small process that ends the workers if the engine itself is killed, and keeps it informed."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from orchestrator.core import kin
from orchestrator.worker.guard import GOODBYE

_PROGRAM = """\
import sys
sys.path.insert(0, sys.argv[3])
from orchestrator.worker.guard import main
main(int(sys.argv[1]), sys.argv[2])
"""
_PACKAGES = str(Path(__file__).parent.parent.parent)
_REAP_WITHIN = 2.0


class Guardian:
    """The engine's end of the guard's pipe."""

    def __init__(self, mark: str) -> None:
        self._mark = mark
        self._groups: set[int] = set()
        self._process: subprocess.Popen[bytes] | None = None
        self._pipe = -1

    def start(self) -> None:
        """Start the guard. Raises `OSError` if that can't be done."""
        self._process, self._pipe = _start(self._mark)

    def add(self, group: int) -> None:
        """A worker was started."""
        self._groups.add(group)
        self._tell(f"+{group}")

    def remove(self, group: int) -> None:
        """A worker is gone, and its number may become somebody else's."""
        self._groups.discard(group)
        self._tell(f"-{group}")

    def check(self) -> None:
        """Replace the guard if somebody killed it; if that can't be done now, at the next check."""
        if self._process is not None and self._process.poll() is not None:
            with suppress(OSError):
                started = _start(self._mark)
                os.close(self._pipe)
                self._process, self._pipe = started
                for group in self._groups:
                    self._tell(f"+{group}")

    def dismiss(self) -> None:
        """All workers are gone in an orderly way. Without a guard, or a second time, it does nothing."""
        if self._process is None:
            return
        self._tell(GOODBYE.decode())
        os.close(self._pipe)
        process, self._process = self._process, None
        try:
            process.wait(_REAP_WITHIN)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _tell(self, line: str) -> None:
        with suppress(BrokenPipeError):
            os.write(self._pipe, line.encode() + b"\n")


def _start(mark: str) -> tuple[subprocess.Popen[bytes], int]:
    reader, writer = os.pipe()
    environ = {name: value for name, value in os.environ.items() if name != kin.MARK}
    try:
        process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            [sys.executable, "-I", "-S", "-c", _PROGRAM, str(reader), mark, _PACKAGES],
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=(reader,),
            start_new_session=True,
            env=environ,
        )
    except BaseException:
        os.close(writer)
        raise
    finally:
        os.close(reader)
    return process, writer
