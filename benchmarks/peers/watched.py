"""A peer's window of measurement: when it begins and ends, and the CPU used within."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import psutil

from benchmarks.costs import Cpu, read_cpu
from benchmarks.peers.peer import Answer, Fire, Task


def watch(task: Task, fires: list[Fire], wait: Callable[[float], None]) -> Answer:
    """Let the peer work through warm-up, window and settling; `wait` lasts until an instant, in seconds since 1970."""
    myself = psutil.Process()
    wait(time.time() + task.warm_up)
    since = math.floor(time.time()) + 1
    until = since + round(task.window)
    wait(since - 0.1)
    before, began = read_cpu(myself), time.time()
    wait(until - 0.1)
    cpu: Cpu = read_cpu(myself).since(before, time.time() - began)
    wait(until + task.settle)
    return Answer(fires=list(fires), since=since, until=until, scheduler_cpu=cpu.engine, tree_cpu=cpu.tree)


def sleep_until(instant: float) -> None:
    """Leave the work to other threads."""
    time.sleep(max(0.0, instant - time.time()))
