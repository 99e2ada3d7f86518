"""`orchestrator run` as a user starts it: a process of its own, watched from outside and stopped by a signal."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import psutil

from benchmarks.trials import TrialError

STOP_SECONDS = 40.0
START_SECONDS = 120.0
OWN_VARIABLES = ("ORCHESTRATOR_CONFIG", "ORCHESTRATOR_DB")


def orchestrator() -> str:
    """The command, from the environment that runs the benchmarks."""
    beside = Path(sys.executable).with_name("orchestrator")
    found = str(beside) if beside.exists() else shutil.which("orchestrator")
    if found is None:
        raise TrialError("the command `orchestrator` is not installed here")
    return found


class RunningEngine:
    """As a context: running within its block. `started_at` and `banner_at` are seconds since 1970."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._banner = threading.Event()
        self.started_at = 0.0
        self.banner_at = 0.0
        self.said = root / "output.txt"

    def __enter__(self) -> Self:
        environment = {name: value for name, value in os.environ.items() if name not in OWN_VARIABLES}
        self.started_at = time.time()
        self._process = subprocess.Popen(
            [orchestrator(), "run"],
            cwd=self._root,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        assert self._process.stdout is not None
        self._reader = threading.Thread(target=self._read, args=(self._process.stdout,), daemon=True)
        self._reader.start()
        self.process = psutil.Process(self._process.pid)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        try:
            status = self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            status = self._process.wait()
        self._reader.join(STOP_SECONDS)
        if status and error is None:
            raise TrialError(f"`orchestrator run` ended with status {status}: {self._last_words()}")

    def wait_for_banner(self) -> float:
        """Seconds from the start of the process to the first line that it printed."""
        if not self._banner.wait(START_SECONDS) or not self.banner_at:
            raise TrialError(f"`orchestrator run` did not come up: {self._last_words()}")
        return self.banner_at - self.started_at

    def alive(self) -> bool:
        """Whether it still runs."""
        return self._process.poll() is None

    def _read(self, stream: IO[bytes]) -> None:
        first = stream.readline()
        if first.startswith(b"orchestrator "):
            self.banner_at = time.time()
        self._banner.set()
        with self.said.open("wb") as kept:
            kept.write(first)
            while block := os.read(stream.fileno(), 2**16):
                kept.write(block)

    def _last_words(self) -> str:
        self._reader.join(1.0)
        return self.said.read_text(errors="replace")[-500:].strip() if self.said.exists() else "(it said nothing)"
