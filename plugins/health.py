"""Is the machine well? Measures memory and disk, and warns when a limit is passed."""

from __future__ import annotations

import os
import resource
import shutil
import sys
from pathlib import Path
from typing import Any

from orchestrator import Context, Size, job


@job
def check_system(ctx: Context, limit: Size = 500 * 2**20, disk_free: Size = 2**30, path: str = ".") -> dict[str, Any]:
    """Warn if the worker uses more memory than `limit`, or the disk of `path` has less than `disk_free` left."""
    disk = shutil.disk_usage(path)
    figures = {
        "memory_used": memory_used(),
        "memory_available": memory_available(),
        "disk_free": disk.free,
        "disk_total": disk.total,
        "load": round(os.getloadavg()[0], 2),
    }
    warnings = []
    if figures["memory_used"] > limit:
        warnings.append(f"high memory usage: {_mib(figures['memory_used'])}, the limit is {_mib(limit)}")
    if disk.free < disk_free:
        warnings.append(f"little disk space: {_mib(disk.free)} left, the limit is {_mib(disk_free)}")
    for warning in warnings:
        ctx.log.warning(warning)
    if not warnings:
        ctx.log.info("all is well: memory %s, disk %s free", _mib(figures["memory_used"]), _mib(disk.free))
    return {**figures, "warnings": warnings}


def memory_used() -> int:
    """The memory of this worker process in bytes: what it uses now or, where /proc doesn't say (macOS), its peak."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return pages * os.sysconf("SC_PAGE_SIZE")


def memory_available() -> int | None:
    """The bytes that programs could still use; None where the system doesn't say (macOS)."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    found = next((line for line in lines if line.startswith("MemAvailable:")), None)
    return int(found.split()[1]) * 1024 if found else None


def _mib(count: int) -> str:
    return f"{count / 2**20:,.0f} MiB"
