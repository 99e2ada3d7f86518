"""The engines under test: started, killed, frozen and stopped, each in a place that is filled again when empty."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

from soak.project import Project
from soak.wrapping import Options, command

STOP_WITHIN = 40.0
"""Seconds for a graceful stop: `shutdown_grace`, closing, and a machine that is busy."""
HOPELESS = 5
"""Engines that ended unasked after which no other is started in their place."""
_WORKER = b"orchestrator.worker"


class Place:
    """Where one engine works, is killed, and is replaced."""

    def __init__(self, project: Project, number: int, options: Options) -> None:
        self._project = project
        self._options = options
        self._number = number
        self._starts = 0
        self._log = self._next_log()
        self._asked: set[int] = set()
        self.process: subprocess.Popen[bytes] | None = None
        self.rest_until = 0.0
        """Until this time (monotonic) the place stays empty."""
        self.frozen_until: float | None = None
        self._was_misled = False
        """Whether the jobs file was spoiled at some time since the engine was put here."""
        self.failures: list[str] = []
        """Engines that ended though nobody asked them to."""
        self.events: Counter[str] = Counter()
        """What the engines that have left told."""

    @property
    def alive(self) -> bool:
        """Whether an engine is here."""
        return self.process is not None and self.process.poll() is None

    @property
    def working(self) -> bool:
        """Whether the engine that is here has started."""
        return self.alive and b'"engine.started"' in self._log.read_bytes()

    def start(self) -> None:
        """Put an engine here."""
        self._log = self._next_log()
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                command(self._options, "run", "--log-format", "json"),
                cwd=self._project.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def tend(self, now: float, *, spoiled: bool = False) -> None:
        """Thaw what was frozen long enough, note who ended unasked, and fill the place again. An engine that finds the
        jobs file `spoiled` when it starts is right to end; one that has started goes on with what it has."""
        self._was_misled |= spoiled
        if self.frozen_until is not None and now >= self.frozen_until:
            self.thaw()
        if self.alive:
            return
        if self.process is not None:
            self._note_end(self.process)
            self.process, self.frozen_until = None, None
        if now >= self.rest_until and len(self.failures) < HOPELESS:
            self._was_misled = spoiled
            self.start()

    def signal(self, number: signal.Signals) -> bool:
        """Send a signal; gives whether there was somebody to hear it."""
        if not self.alive or self.process is None:
            return False
        if number in (signal.SIGKILL, signal.SIGTERM):
            self._asked.add(self.process.pid)
        self.process.send_signal(number)
        return True

    def freeze(self, seconds: float) -> bool:
        """Let time pass without the engine."""
        if self.frozen_until is not None or not self.signal(signal.SIGSTOP):
            return False
        self.frozen_until = time.monotonic() + seconds
        return True

    def thaw(self) -> None:
        """Let the engine go on."""
        self.frozen_until = None
        self.signal(signal.SIGCONT)

    def workers(self) -> list[int]:
        """The worker processes of the engine that is here."""
        return _children(self.process.pid) if self.process is not None and self.alive else []

    def stop(self) -> None:
        """Ask the engine to stop, and wait for it."""
        if self.process is None:
            return
        self.thaw()
        self.signal(signal.SIGTERM)
        try:
            self.process.wait(STOP_WITHIN)
        except subprocess.TimeoutExpired:
            self.failures.append(f"it did not stop within {STOP_WITHIN:g} s of SIGTERM")
            self.process.kill()
            self.process.wait()
        self._note_end(self.process)
        self.process = None

    def kill(self) -> None:
        """End whatever is here."""
        if self.process is not None:
            self.thaw()
            self.signal(signal.SIGKILL)
            self.process.wait()
            self._note_end(self.process, killed=True)
            self.process = None

    def _next_log(self) -> Path:
        self._starts += 1
        return self._project.folder / f"engine-{self._number}-{self._starts}.log"

    def _note_end(self, process: subprocess.Popen[bytes], *, killed: bool = False) -> None:
        text = self._log.read_text("utf-8", "replace")
        self.events.update(re.findall(r'"event":"([\w.]+)"', text))
        # Before it has begun to listen to signals, SIGTERM ends any process so.
        started = "engine.started" in text
        orderly = (-signal.SIGKILL, 0) if started else (-signal.SIGKILL, -signal.SIGTERM, 0)
        asked = process.pid in self._asked
        if killed or (self._was_misled and not started) or (asked and process.returncode in orderly):
            self._log.unlink()
            return
        why = "after SIGTERM" if asked else "by itself"
        self.failures.append(f"an engine ended {why} with status {process.returncode}: {_tail(self._log)}")


def _children(parent: int) -> list[int]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            # The command's name is in parentheses and may contain anything; the parent is the second field after it.
            fields = process.joinpath("stat").read_bytes().rpartition(b")")[2].split()
            if int(fields[1]) == parent and _WORKER in process.joinpath("cmdline").read_bytes():
                found.append(int(process.name))
    return sorted(found)


def kill_process(pid: int) -> bool:
    """SIGKILL; gives whether there was such a process."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def _tail(log: Path) -> str:
    return " / ".join(log.read_text("utf-8", "replace").splitlines()[-6:])[-1500:]
