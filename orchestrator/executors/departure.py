"""When a worker's process ends: how that is noticed, cleaned up after, and put in words."""

from __future__ import annotations

import asyncio
import os
import re
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

from orchestrator.core import kin
from orchestrator.core.shortage import is_of_files

_LAST_WORDS = 64 * 1024
_PATIENCE = 2.0


class Remains(NamedTuple):
    """What a dead worker left. `status` as in `Popen.returncode`."""

    status: int
    dump: str
    output: dict[str, str]
    """The end of what its stdout and stderr were given and nobody had read, by stream."""

    @property
    def words(self) -> str:
        """How it ended."""
        if self.status >= 0:
            return f"the worker exited with status {self.status}"
        with suppress(ValueError):
            name = signal.Signals(-self.status).name
            hint = " (by the kernel, if memory ran out)" if name == "SIGKILL" else ""
            return f"the worker was killed by {name}{hint}"
        return f"the worker was killed by signal {-self.status}"

    @property
    def thread(self) -> int | None:
        """The thread in which it crashed, if faulthandler could say."""
        match = re.search(r"^Current thread 0x([0-9a-f]+)", self.dump, re.MULTILINE)
        return int(match[1], 16) if match else None


def watch(loop: asyncio.AbstractEventLoop, process: subprocess.Popen[bytes], on_exit: Callable[[], None]) -> None:
    """Call `on_exit` once when the process has ended, without reaping it."""
    if hasattr(os, "pidfd_open"):
        fd = os.pidfd_open(process.pid)

        def ended() -> None:
            loop.remove_reader(fd)
            os.close(fd)
            on_exit()

        loop.add_reader(fd, ended)
        return

    def wait() -> None:
        _wait_for(process.pid)
        with suppress(RuntimeError):  # the loop is closed: nobody wants to know
            loop.call_soon_threadsafe(on_exit)

    threading.Thread(target=wait, name=f"exit-of-{process.pid}", daemon=True).start()


def _wait_for(pid: int) -> None:
    """Block until a child has ended, and leave it to be reaped."""
    if sys.platform == "darwin":
        queue = select.kqueue()
        event = select.kevent(pid, select.KQ_FILTER_PROC, select.KQ_EV_ADD, select.KQ_NOTE_EXIT)
        with suppress(ProcessLookupError):  # it has ended already
            queue.control([event], 1, None)
        queue.close()
    else:
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)


def bury(process: subprocess.Popen[bytes], mark: str, dump: int, pipes: dict[int, str]) -> Remains:
    """End all that the worker started, reap it, and read what it left. Blocks for some milliseconds: for a thread."""
    _end_kin(mark, process.pid)  # before the reaping: until then nobody else can get its number
    status = process.wait()
    output = {name: _rest_of(fd) for fd, name in pipes.items()}
    os.lseek(dump, 0, os.SEEK_SET)
    words = os.read(dump, _LAST_WORDS).decode("utf-8", "replace")
    for fd in (dump, *pipes):
        os.close(fd)
    return Remains(status, words, {name: text for name, text in output.items() if text})


def _end_kin(mark: str, group: int) -> None:
    """For want of a descriptor to look with, wait a while; in the end its own group has to do."""
    patience = time.monotonic() + _PATIENCE
    while True:
        try:
            kin.end(mark, (group,))
        except OSError as error:
            kin.kill_group(group)
            if not is_of_files(error) or time.monotonic() > patience:
                return
            time.sleep(0.05)
        else:
            return


def _rest_of(fd: int) -> str:
    os.set_blocking(fd, False)
    kept = b""
    with suppress(BlockingIOError):
        while data := os.read(fd, _LAST_WORDS):
            kept = (kept + data)[-_LAST_WORDS:]
    return kept.decode("utf-8", "backslashreplace")
