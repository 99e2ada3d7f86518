"""Runs one process that reads plugins, listens until it is done, dead or stuck, and leaves nothing of it behind."""

from __future__ import annotations

import os
import secrets
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from enum import Enum

import msgspec

from orchestrator.core.catalogue import Inspection
from orchestrator.core.errors import PluginError
from orchestrator.executors.captured import Captured
from orchestrator.worker.inspection_messages import Announced, Found, Request, decode_answer, encode
from orchestrator.worker.messages import Frames
from orchestrator.worker.tether import Tether

TRACE_KEPT = 64_000
PATIENCE = 5.0
"""Seconds beyond a step's timeout after which the reader, which should have ended itself, is killed."""
START = 30.0
"""Seconds that a loaded machine may need to start an interpreter."""


class End(Enum):
    """How a reader stopped talking."""

    OWN = "own"
    """It finished or died."""
    STUCK = "stuck"
    """It said nothing for too long."""
    LEFT = "left"
    """It lives, but can't talk any more."""


@dataclass
class Reading:
    """What became of one reader."""

    inspection: Inspection | None = None
    last: Announced | None = None
    """The step during which it ended, when there are no findings."""
    trace: str = ""
    status: int = 0
    end: End = End.OWN
    printed: dict[Announced | None, str] = field(default_factory=dict)
    """The last of what each step printed; None is before the first."""


def read_plugins(request: Request) -> Reading:
    """Start a reader and listen to it. Its whole process group is gone when this returns."""
    captured = Captured(mark := b"\0%s\0" % secrets.token_hex(8).encode())
    request = msgspec.structs.replace(request, mark=mark)
    with tempfile.TemporaryFile() as question, tempfile.TemporaryFile() as trace, Tether() as tether:
        question.write(encode(request))
        question.seek(0)
        reply, reply_end = os.pipe()
        try:
            process = _start(question.fileno(), (reply_end, trace.fileno(), tether.fd), request.root)
        except OSError as error:
            os.close(reply)
            raise PluginError(f"the reader of plugins can't be started in {request.root}: {error}") from error
        finally:
            os.close(reply_end)
        tether.handed_over()
        reading = Reading()
        listener = _Listener(process, reply, request.timeout, reading, captured)
        try:
            listener.listen()
        finally:
            reading.status = _end(process)
            os.close(reply)
        trace.seek(max(0, trace.seek(0, os.SEEK_END) - TRACE_KEPT))
        reading.printed = {step: captured.text(number) for number, step in enumerate([None, *listener.steps])}
        reading.trace = trace.read().decode("ascii", "replace")
    return reading


def _start(question: int, passed: tuple[int, int, int], root: str) -> subprocess.Popen[bytes]:
    """`-P`: the project's folder must not shadow the standard library; `-u`: a crash must not lose what was printed."""
    command = [sys.executable, "-P", "-u", "-m", "orchestrator.worker.inspection", *map(str, passed)]
    return subprocess.Popen(  # noqa: S603 - our own interpreter
        command,
        stdin=question,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd=root or None,
        pass_fds=passed,
        start_new_session=True,
    )


def _end(process: subprocess.Popen[bytes]) -> int:
    """Kill the reader and whatever it started; its exit status if it had ended by itself."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):  # macOS refuses when only a zombie is left
        process.kill()
    if process.stdout is not None:
        process.stdout.close()
    return process.wait()


class _Listener:
    def __init__(
        self, process: subprocess.Popen[bytes], reply: int, timeout: float, reading: Reading, captured: Captured
    ) -> None:
        self._process = process
        self._reply = reply
        self._output = process.stdout.fileno() if process.stdout else -1
        self._timeout = timeout
        self._reading = reading
        self._frames = Frames()
        self._captured = captured
        self.steps: list[Announced] = []

    def listen(self) -> None:
        """Until there are findings, the process has ended, or nothing was heard for too long."""
        os.set_blocking(self._reply, False)
        os.set_blocking(self._output, False)
        deadline = time.monotonic() + START + self._timeout
        with selectors.DefaultSelector() as selector:
            selector.register(self._reply, selectors.EVENT_READ)
            selector.register(self._output, selectors.EVENT_READ)
            while self._reading.inspection is None:
                # A process that the plugin forked may hold the pipes open, so their end can't be relied on.
                ended = self._process.poll() is not None
                ready = {key.fd for key, _ in selector.select(0 if ended else 0.05)}
                if self._output in ready and not self._take_output():
                    selector.unregister(self._output)
                if self._reply in ready:
                    if not self._take_reply():
                        return self._await_end()
                    deadline = time.monotonic() + self._timeout + PATIENCE
                elif ended:
                    break
                elif time.monotonic() > deadline:
                    self._reading.end = End.STUCK
                    break
        self._take_output()
        return None

    def _await_end(self) -> None:
        """The pipe is closed: the process is ending, has closed it, or became another program."""
        try:
            self._process.wait(timeout=1)
        except subprocess.TimeoutExpired:
            self._reading.end = End.LEFT
        self._take_output()

    def _take_output(self) -> bool:
        """Read what was printed, up to a pipe's fill, and keep the last of it; false at its end."""
        try:
            data = os.read(self._output, 2**17)
        except BlockingIOError:
            return True
        self._captured.feed(data)
        return bool(data)

    def _take_reply(self) -> bool:
        data = os.read(self._reply, 2**20)
        try:
            for body in self._frames.feed(data):
                message = decode_answer(body)
                if isinstance(message, Found):
                    self._reading.inspection = message.inspection
                else:
                    self.steps.append(message)
                    self._reading.last = message
        except (ValueError, msgspec.MsgspecError) as error:
            raise PluginError(f"the reader of plugins said something that can't be understood: {error}") from error
        return bool(data)
