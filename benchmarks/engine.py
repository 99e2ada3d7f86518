"""`orchestrator run` as a user starts it: a process of its own, watched from outside and stopped by a signal."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from benchmarks.trials import TrialError

STOP_SECONDS = 40.0
START_SECONDS = 120.0
LOOK_EVERY = 0.003
BANNER = re.compile(rb"^orchestrator \S+, pid \d+$", re.MULTILINE)
OWN_VARIABLES = ("ORCHESTRATOR_CONFIG", "ORCHESTRATOR_DB")


def orchestrator() -> str:
    """The command, from the environment that runs the benchmarks."""
    beside = Path(sys.executable).with_name("orchestrator")
    found = str(beside) if beside.exists() else shutil.which("orchestrator")
    if found is None:
        raise TrialError("the command `orchestrator` is not installed here")
    return found


class RunningEngine:
    """As a context: running within its block. `started_at` is in seconds since 1970."""

    def __init__(self, root: Path) -> None:
        self._root = root
        # A file, not a pipe: a reader that wakes up for each line would compete for the cores that are measured.
        self._said = root / "output.txt"
        self.started_at = 0.0

    def __enter__(self) -> Self:
        environment = {name: value for name, value in os.environ.items() if name not in OWN_VARIABLES}
        with self._said.open("wb") as output:
            self.started_at = time.time()
            self._process = subprocess.Popen(
                [orchestrator(), "run"],
                cwd=self._root,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
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
        if status and error is None:
            raise TrialError(f"`orchestrator run` ended with status {status}: {self._last_words()}")

    def wait_for_banner(self) -> float:
        """Seconds from the start of the process to the banner."""
        deadline = self.started_at + START_SECONDS
        while time.time() < deadline and self._process.poll() is None:
            seen_at = time.time()
            if BANNER.search(self._said.read_bytes()):
                return seen_at - self.started_at
            time.sleep(LOOK_EVERY)
        raise TrialError(f"`orchestrator run` did not come up: {self._last_words()}")

    def _last_words(self) -> str:
        return self._said.read_text(errors="replace")[-500:].strip() or "(it said nothing)"
