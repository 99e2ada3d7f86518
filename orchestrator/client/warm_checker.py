"""Asks callables without starting a process each time: one reader that has the plugins imported, for as long as it is
wanted. Whatever goes wrong with it, the question is asked anew, of a fresh process that says what is wrong."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence

import msgspec

from orchestrator.client.checks import FreshChecker
from orchestrator.client.survey import Ground, Survey, changed_files, forget_bytecode, survey
from orchestrator.core.catalogue import ParamCheck, ParamProblem
from orchestrator.core.plan import Plan
from orchestrator.worker.inspection_messages import Found, Request, decode_answer, encode
from orchestrator.worker.messages import Frames

START = 30.0
"""Seconds that a loaded machine may need to start an interpreter."""
PATIENCE = 5.0
"""Seconds beyond a step's timeout; the reader should have ended itself by then."""
AT_ONCE = 1_000
"""Checks in one message."""
LOOK_EVERY = 1.0
"""Seconds between looks at the plugins' files."""


class WarmChecker:
    """A `Checker` whose reader lives until `close`, until its plugins change, or until this process ends."""

    def __init__(self) -> None:
        self._asking = threading.Lock()
        self._reader: _Reader | None = None
        self._looked = 0.0
        self._seen = Survey({}, frozenset())

    def problems(self, plan: Plan, checks: list[ParamCheck]) -> Sequence[ParamProblem]:
        with self._asking:
            try:
                reader = self._reader_for(plan)
                found: list[ParamProblem] = []
                for start in range(0, len(checks), AT_ONCE):
                    found += reader.ask(checks[start : start + AT_ONCE])
            except (OSError, EOFError, ValueError, msgspec.MsgspecError):
                self._end()
            else:
                return found
        return FreshChecker().problems(plan, checks)

    def close(self) -> None:
        """End the reader."""
        with self._asking:
            self._end()

    def disown(self) -> None:
        """After a fork: the reader is the parent's, this process only lets go of it."""
        if self._reader is not None:
            self._reader.disown()
            self._reader = None

    def _reader_for(self, plan: Plan) -> _Reader:
        uses = {resource.name: resource.use for resource in plan.resources.values()}
        seconds = (plan.sources.import_timeout or plan.workers.import_timeout).total_seconds()
        request = Request(sources=plan.sources, checks=[], resources=uses, root=plan.root, timeout=seconds)
        if self._reader is not None and (self._reader.request != request or self._plugins_changed(plan)):
            self._end()
        if self._reader is None:
            self._seen, self._looked = self._survey(plan), time.monotonic()
            self._reader = _Reader(request)
            self._reader.start()
        return self._reader

    def _plugins_changed(self, plan: Plan) -> bool:
        if time.monotonic() - self._looked < LOOK_EVERY:
            return False
        self._looked = time.monotonic()
        changed = changed_files(self._seen, self._survey(plan))
        forget_bytecode(changed)
        return bool(changed)

    def _survey(self, plan: Plan) -> Survey:
        return survey(Ground(frozenset(), (), plan.sources.folders))

    def _end(self) -> None:
        if self._reader is not None:
            self._reader.end()
            self._reader = None


class _Reader:
    """The process, and the line to it."""

    def __init__(self, request: Request) -> None:
        self.request = request
        ours, theirs = socket.socketpair()
        self._line = ours
        self._frames = Frames()
        with theirs:
            try:
                self._process = _launch(theirs.fileno(), request.root)
            except OSError:
                ours.close()
                raise

    def start(self) -> None:
        """Wait until the plugins are imported."""
        self._send(encode(self.request))
        self._answer(START + self.request.timeout)

    def ask(self, checks: list[ParamCheck]) -> Sequence[ParamProblem]:
        self._send(encode(checks))
        return self._answer(self.request.timeout).inspection.param_problems

    def end(self) -> None:
        self._line.close()
        self._process.kill()
        self._process.wait()

    def disown(self) -> None:
        self._line.close()
        self._process.returncode = 0  # not ours to wait for

    def _send(self, body: bytes) -> None:
        self._line.settimeout(START + PATIENCE)
        self._line.sendall(len(body).to_bytes(4, "big") + body)

    def _answer(self, seconds: float) -> Found:
        """Each word of the reader gives it new time."""
        self._line.settimeout(seconds + PATIENCE)
        while True:
            data = self._line.recv(2**20)
            if not data:
                raise EOFError("the reader of plugins has ended")
            for body in self._frames.feed(data):
                message = decode_answer(body)
                if isinstance(message, Found):
                    return message


def _launch(fd: int, root: str) -> subprocess.Popen[bytes]:
    """In a session of its own: Ctrl-C is not for it. What plugins print is nobody's business here."""
    command = [sys.executable, "-P", "-m", "orchestrator.worker.checking", str(fd)]
    return subprocess.Popen(  # noqa: S603 - our own interpreter
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=root or None,
        pass_fds=(fd,),
        start_new_session=True,
    )
