"""The plugin of a soak: callables that keep a journal of their own, some slow, some failing, some killing their worker.

It is copied into the project's plugins folder. What an attempt does is drawn from the seed, the run and the attempt.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from pathlib import Path

from orchestrator import Context, job

_journal = os.open(Path(__file__).parents[1] / "journal.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)


def _note(mark: str, context: Context) -> None:
    line = f"{mark} {context.run_id} {context.attempt} {os.getpid()} {time.monotonic_ns()} {context.job}\n"
    os.write(_journal, line.encode())


def _pause(context: Context, seed: int, slow: float, fail: float, die: float) -> float:
    """Begin: gives for how long to work on, and ends the attempt or its whole worker if it drew that."""
    _note("start", context)
    drawn = random.Random(f"{seed}/{context.run_id}/{context.attempt}")
    if drawn.random() < die:
        os.kill(os.getpid(), signal.SIGKILL)
    if drawn.random() < fail:
        raise RuntimeError("it drew a failure")
    return drawn.uniform(0.1, 0.8) if drawn.random() < slow else 0.0


@job
def plain(context: Context, seed: int = 0, slow: float = 0.0, fail: float = 0.0, die: float = 0.0) -> None:
    """Works alone in a process."""
    time.sleep(_pause(context, seed, slow, fail, die))
    _note("end", context)


@job(isolation="thread")
def threaded(context: Context, seed: int = 0, slow: float = 0.0, fail: float = 0.0, die: float = 0.0) -> None:
    """Works in a thread among others."""
    time.sleep(_pause(context, seed, slow, fail, die))
    _note("end", context)


@job
async def looping(context: Context, seed: int = 0, slow: float = 0.0, fail: float = 0.0, die: float = 0.0) -> None:
    """Works on the async worker's loop."""
    if pause := _pause(context, seed, slow, fail, die):
        await asyncio.sleep(pause)
    _note("end", context)
