"""Result files that no row names: of attempts that died before they could tell, or came too late. They are deleted,
some at a time."""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

from orchestrator.core.clock import Clock
from orchestrator.core.errors import ResultFileError
from orchestrator.core.result_files import origin
from orchestrator.store.result_rows import needed
from orchestrator.store.store import Store

REST = 3600.0
"""Seconds from one look at the folder to the next; the first is soon after the start."""
AT_ONCE = 1000
"""Files in one sweep: some milliseconds."""
YOUNG = timedelta(hours=1)
"""So long a file is left alone, whoever may be about to name it."""


class Orphans:
    """Looks through the folder of result files now and then."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._folder = store.database.results
        self._names: list[str] = []
        self._rest_until = 0.0

    async def sweep(self) -> int:
        """Look at some files; gives how many were deleted."""
        if not self._names:
            if self._clock.monotonic() < self._rest_until:
                return 0
            self._rest_until = self._clock.monotonic() + REST
            self._names = await asyncio.to_thread(_names_in, self._folder)
        some = [self._names.pop() for _ in range(min(AT_ONCE, len(self._names)))]
        return await asyncio.to_thread(self._delete_orphans, some) if some else 0

    def _delete_orphans(self, names: list[str]) -> int:
        partial = [name for name in names if name.endswith(".partial")]
        ours = [name for name in names if _is_ours(name)]
        lost = {*partial, *ours} - (self._store.read(needed, ours) if ours else set())
        return sum(self._delete(self._folder / name) for name in lost)

    def _delete(self, path: Path) -> bool:
        young = (self._clock.now() - YOUNG).timestamp()
        with suppress(OSError):
            if path.stat().st_mtime < young:
                path.unlink()
                return True
        return False


def _names_in(folder: Path) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            return [entry.name for entry in entries]
    except OSError:  # there is none yet
        return []


def _is_ours(name: str) -> bool:
    try:
        origin(name)
    except ResultFileError:
        return False
    return True
