"""How a peer is asked: a program that is told what to do in JSON and leaves its answer in a file."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.trials import TrialError

_HERE = Path(__file__).parent.parent.parent


class Fire(msgspec.Struct, frozen=True, array_like=True):
    """An execution: of which job, for which fire time, and when it began. In seconds since 1970."""

    job: str
    due: float
    started: float


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """What a peer is to do."""

    answer: str
    """The file that it is to write."""
    folder: str
    """For its database."""
    count: int
    """Jobs, or runs."""
    store: str = ""
    pool: str = ""
    warm_up: float = 0.0
    window: float = 0.0
    settle: float = 0.0


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What it did. The window is in whole seconds since 1970."""

    fires: list[Fire]
    since: float = 0.0
    until: float = 0.0
    seen: float = 0.0
    """When it knew of the last end."""
    scheduler_cpu: float = 0.0
    """Percent of one core within the window: the process that schedules."""
    tree_cpu: float = 0.0


def ask_peer(name: str, folder: Path, *, seconds: float, **task: Any) -> Answer:
    """Run a program of this package. Raises `TrialError` if it fails or takes longer than `seconds`."""
    with tempfile.TemporaryDirectory(prefix="peer-", dir=folder, ignore_cleanup_errors=True) as root:
        answer = Path(root, "answer.json")
        wanted = msgspec.json.encode(Task(answer=str(answer), folder=root, **task)).decode()
        command = [sys.executable, "-m", f"benchmarks.peers.{name}", wanted]
        try:
            done = subprocess.run(command, cwd=_HERE, capture_output=True, text=True, timeout=seconds, check=False)
        except subprocess.TimeoutExpired:
            raise TrialError(f"not finished within {seconds:.0f} s") from None
        if done.returncode or not answer.exists():
            raise TrialError(f"it ended with status {done.returncode}: {done.stderr.strip()[-300:]}")
        return msgspec.json.decode(answer.read_bytes(), type=Answer)


def read_task() -> Task:
    """In a peer's process: what it was asked."""
    return msgspec.json.decode(sys.argv[1].encode(), type=Task)


def give(task: Task, answer: Answer) -> None:
    """In a peer's process: the answer."""
    Path(task.answer).write_bytes(msgspec.json.encode(answer))
