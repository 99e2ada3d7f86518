"""How much memory do processes hold?"""

from __future__ import annotations

import mmap
import os
import subprocess
from collections.abc import Iterable
from pathlib import Path

_PAGE = mmap.PAGESIZE


def resident(pids: Iterable[int]) -> dict[int, int]:
    """Resident bytes of each process that is still there and can be asked."""
    if Path("/proc/self/statm").exists():
        return {pid: size for pid in pids if (size := _statm(pid))}
    wanted = ",".join(map(str, pids))
    if not wanted:
        return {}
    listing = subprocess.run(["/bin/ps", "-o", "pid=,rss=", "-p", wanted], capture_output=True, check=False)  # noqa: S603
    rows = [line.split() for line in listing.stdout.decode(errors="replace").splitlines()]
    return {int(pid): int(kib) * 1024 for pid, kib in rows}


def _statm(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_bytes().split()[1]) * _PAGE
    except (OSError, IndexError):
        return 0


class OwnMemory:
    """This process's resident bytes, cheap enough to ask after every attempt; 0 where the system doesn't say."""

    def __init__(self) -> None:
        try:
            self._fd = os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            self._fd = -1

    def __call__(self) -> int:
        if self._fd < 0:
            return 0
        return int(os.pread(self._fd, 128, 0).split()[1]) * _PAGE
