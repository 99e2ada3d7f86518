"""Which processes stem from a test, and what do they listen on? Read from /proc, so Linux only.

Every command of a project gets a mark in its environment that whatever it starts inherits, however it hides.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
MARK = "FAULTS_FAMILY"
DEADLINE = 30.0
_PROC = Path("/proc")
_LISTEN = "0A"


def family(mark: str) -> dict[int, str]:
    """Command lines of the living processes that carry the mark."""
    wanted = f"{MARK}={mark}".encode()
    found: dict[int, str] = {}
    for folder in _PROC.iterdir():
        if folder.name.isdigit():
            try:
                environment = (folder / "environ").read_bytes().split(b"\0")
                command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            if wanted in environment:
                found[int(folder.name)] = command
    return found


def workers(mark: str) -> dict[int, str]:
    """Those of the family that execute attempts."""
    return {pid: command for pid, command in family(mark).items() if "-m orchestrator.worker" in command}


def children(pid: int) -> list[int]:
    """Direct children of a process that lives; zombies too."""
    found: list[int] = []
    for folder in _PROC.iterdir():
        if folder.name.isdigit():
            try:
                fields = (folder / "stat").read_text(errors="replace").rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[1]) == pid:
                found.append(int(folder.name))
    return found


def listening(pids: set[int]) -> set[str]:
    """Addresses of TCP sockets on which one of the processes listens, as /proc/net/tcp writes them."""
    inodes = {inode for pid in pids for inode in _sockets(pid)}
    addresses: set[str] = set()
    for table in ("tcp", "tcp6"):
        for line in (_PROC / "net" / table).read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == _LISTEN and fields[9] in inodes:
                addresses.add(fields[1])
    return addresses


def _sockets(pid: int) -> set[str]:
    inodes = set()
    try:
        for entry in (_PROC / str(pid) / "fd").iterdir():
            target = os.readlink(entry)  # noqa: PTH115 - the target is no path
            if target.startswith("socket:["):
                inodes.add(target[8:-1])
    except OSError:
        return inodes
    return inodes


def eventually(fact: Callable[[], T], deadline: float = DEADLINE) -> T:
    """Wait until a fact is true, and give it."""
    until = time.monotonic() + deadline
    while not (found := fact()):
        assert time.monotonic() < until, f"not within {deadline} s"
        time.sleep(0.02)
    return found


def nobody_left(mark: str) -> bool:
    """Whether the whole family ends soon; shows who doesn't."""
    until = time.monotonic() + 10
    while (left := family(mark)) and time.monotonic() < until:
        time.sleep(0.02)
    assert not left, f"still there: {left}"
    return True
