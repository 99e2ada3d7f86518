"""Which processes stem from a worker or a command, and how are all of them ended? Also those that a double fork hid.

A worker is started with a mark in its environment that everything below it inherits, whatever session or parent it
moves to. On Linux the mark is read from /proc; elsewhere the process group and the line of parents have to do.
Only the standard library is used: the guard process runs without installed packages.
"""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

MARK = "ORCHESTRATOR_WORKER"
_ROUNDS = 40
_PROC = Path("/proc")


def end(mark: str, groups: Iterable[int]) -> int:
    """Kill every process whose mark starts with `mark`, in one of the process `groups`, or below such a process.

    Looks again until nothing is left, because what is being killed may be forking. Says how many were killed.
    Raises `OSError` where no descriptor can be had to look with.
    """
    groups = frozenset(groups)
    killed: set[int] = set()
    for _ in range(_ROUNDS):
        found = [pid for pid in _find(mark, groups) if pid != os.getpid()]
        if not found:
            break
        for pid in found:
            kill(pid)
        killed.update(found)
        time.sleep(0.002)
    return len(killed)


def kill(pid: int) -> None:
    """SIGKILL, if it is still there."""
    try:
        os.kill(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return


def kill_group(group: int) -> None:
    """SIGKILL a whole process group, if there is one."""
    try:
        os.killpg(group, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return


def _find(mark: str, groups: frozenset[int]) -> list[int]:
    table = list(_linux() if _PROC.joinpath("self/environ").exists() else _elsewhere())
    wanted = f"{MARK}={mark}".encode()
    chosen = {
        pid for pid, _, group, session, environ in table if group in groups or session in groups or wanted in environ
    }
    size = -1
    while size != len(chosen):
        size = len(chosen)
        chosen |= {pid for pid, parent, *_ in table if parent in chosen or (parent in groups and parent > 1)}
    return list(chosen)


def _linux() -> Iterator[tuple[int, int, int, int, bytes]]:
    """Process id, parent, group, session and environment of every living process."""
    for name in os.listdir(_PROC):  # noqa: PTH208 - hundreds of entries, looked at while something is being killed
        if not name.isdigit():
            continue
        try:
            # The command's name is in parentheses and may contain anything; the fields follow the last one.
            fields = _PROC.joinpath(name, "stat").read_bytes().rpartition(b")")[2].split()
            environ = b"" if fields[0] == b"Z" else _environ(name)
        except IndexError:
            continue
        except OSError as error:
            _unless_short(error)
            continue
        if fields[0] not in (b"Z", b"X"):
            yield int(name), int(fields[1]), int(fields[2]), int(fields[3]), environ


def _environ(name: str) -> bytes:
    try:
        return _PROC.joinpath(name, "environ").read_bytes()
    except OSError as error:  # another user's, or gone
        _unless_short(error)
        return b""


def _unless_short(error: OSError) -> None:
    """A process that can't be looked at for want of a descriptor may well be one of those that are looked for."""
    if error.errno in (errno.EMFILE, errno.ENFILE):
        raise error


def _elsewhere() -> Iterator[tuple[int, int, int, int, bytes]]:
    listing = subprocess.run(["/bin/ps", "-axo", "pid=,ppid=,pgid=,stat="], capture_output=True, check=False)
    for line in listing.stdout.decode(errors="replace").splitlines():
        pid, parent, group, state = line.split()[:4]
        if not state.startswith("Z"):
            yield int(pid), int(parent), int(group), int(group), b""
