"""When does something happen in the folders of a configuration? A thread waits for the system's word."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from watchfiles._rust_notify import RustNotify

GATHER_MS = 400
"""Events that follow each other are told as one, but not later than this after the first."""
QUIET_MS = 200
"""A pause this long ends a series of events; also how often the thread looks whether it is still wanted."""
LOOK_EVERY_MS = 10_000
"""Without any event, it is time for a look all the same: network and container file systems don't always tell."""
POLL_MS = 1_000
"""How often to look where the system can't watch at all."""


class Watcher:
    """Calls `on_stir` on the running loop when something may have happened. One set of folders at a time."""

    def __init__(self, on_stir: Callable[[], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._on_stir = on_stir
        self._unwanted = threading.Event()
        self._folders: frozenset[str] = frozenset()

    async def watch(self, folders: frozenset[str], may_concern: Callable[[str], bool]) -> str | None:
        """Watch these folders, without what is below them, instead of those before. Once this returns, nothing that
        happens is missed. Gives the reason if the system can't watch them; then time itself is the event."""
        self.close()
        self._unwanted = unwanted = threading.Event()
        ready: asyncio.Future[str | None] = self._loop.create_future()
        thread = threading.Thread(
            target=self._work, args=(sorted(folders), may_concern, unwanted, ready), name="config-watcher", daemon=True
        )
        thread.start()
        self._folders = folders
        return await ready

    @property
    def folders(self) -> frozenset[str]:
        """What is watched."""
        return self._folders

    def close(self) -> None:
        """Watch nothing any more; the thread ends soon."""
        self._unwanted.set()

    def _work(
        self,
        folders: list[str],
        may_concern: Callable[[str], bool],
        unwanted: threading.Event,
        ready: asyncio.Future[str | None],
    ) -> None:
        try:
            notify = _subscribe(folders)
        except (ImportError, OSError, RuntimeError) as error:
            self._tell(partial(_settle, ready, str(error)))
            while not unwanted.wait(POLL_MS / 1000):
                self._tell(self._on_stir)
            return
        self._tell(partial(_settle, ready, None))
        with notify:
            while not unwanted.is_set():
                found = notify.watch(GATHER_MS, QUIET_MS, LOOK_EVERY_MS, unwanted)
                if found == "timeout" or (isinstance(found, set) and any(may_concern(path) for _, path in found)):
                    self._tell(self._on_stir)

    def _tell(self, what: Callable[[], None]) -> None:
        try:
            self._loop.call_soon_threadsafe(what)
        except RuntimeError:
            self.close()  # the loop has ended


def _subscribe(folders: list[str]) -> RustNotify:
    # It brings anyio along: imported here, in a thread, that holds up nobody.
    from watchfiles._rust_notify import RustNotify

    polling = bool(os.environ.get("WATCHFILES_FORCE_POLLING"))
    return RustNotify(folders, False, polling, POLL_MS, False, True)  # noqa: FBT003 - takes no keywords


def _settle(ready: asyncio.Future[str | None], value: str | None) -> None:
    if not ready.done():
        ready.set_result(value)
