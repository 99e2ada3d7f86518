"""When is the disk full? While a file says so: SQLite then lets the database take no page more, and refuses with the
error of a full disk wherever a statement needs one."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

LOOK_EVERY = 0.01
"""Seconds."""
_ALL = 2**32 - 2
"""Pages that SQLite lets a database have by default."""


class Flag:
    """Whether a file is there, looked at no more often than it can have changed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._looked_at = float("-inf")
        self._up = False

    def is_up(self) -> bool:
        """Whether it is there now."""
        if time.monotonic() - self._looked_at > LOOK_EVERY:
            self._looked_at = time.monotonic()
            self._up = self._path.exists()
        return self._up


def follow(path: Path) -> None:
    """Let this process's writer find the disk full while the file is there."""
    from orchestrator.store import writer

    perform, flag = writer._perform, Flag(path)
    limited = False

    def perform_limited(connection: Any, request: Any) -> None:
        nonlocal limited
        if flag.is_up() != limited:
            limited = not limited
            pages = connection.exec_driver_sql("PRAGMA page_count").scalar() if limited else _ALL
            connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
        perform(connection, request)

    writer._perform = perform_limited
