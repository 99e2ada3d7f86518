"""What does a process tree cost? CPU seconds and resident memory, as the operating system counts them."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import psutil


@dataclass(frozen=True)
class Cpu:
    """CPU seconds used so far."""

    engine: float
    tree: float
    """The engine, its workers, and their children that have ended."""

    def since(self, before: Cpu, seconds: float) -> Cpu:
        """Percent of one core between two readings."""
        return Cpu(100 * (self.engine - before.engine) / seconds, 100 * (self.tree - before.tree) / seconds)


def read_cpu(process: psutil.Process) -> Cpu:
    """The CPU time of a process and of its tree, exact to the kernel's tick of 10 ms a process."""
    times = process.cpu_times()
    engine = times.user + times.system
    return Cpu(engine, engine + _of_reaped(times) + sum(map(_tree_part, process.children(recursive=True))))


def _tree_part(process: psutil.Process) -> float:
    with suppress(psutil.NoSuchProcess):
        times = process.cpu_times()
        return float(times.user + times.system + _of_reaped(times))
    return 0.0


def _of_reaped(times: Any) -> float:
    return float(getattr(times, "children_user", 0.0) + getattr(times, "children_system", 0.0))


def resident(process: psutil.Process) -> int:
    """Bytes of memory that the process alone occupies."""
    return int(process.memory_info().rss)


def resident_tree(process: psutil.Process) -> int:
    """Bytes of the process and its descendants; pages that they share are counted for each."""
    total = resident(process)
    for child in process.children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            total += resident(child)
    return total
