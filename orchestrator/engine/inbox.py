"""How this engine hears that another process changed the store: a Unix datagram socket beside the database.

The socket is also the sign of life: the system closes it however the engine dies.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import socket
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

LONGEST_PATH = 100
"""Unix socket paths are limited to 104 bytes on macOS and 108 on Linux."""


class Inbox:
    """An open socket; `on_wake` is called on the loop, once for however many messages have come."""

    def __init__(self, folder: Path, on_wake: Callable[[], None]) -> None:
        self.path = _path(folder)
        self._on_wake = on_wake
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)  # noqa: FBT003 - the name says it
        self._socket.bind(str(self.path))
        self.path.chmod(0o600)
        asyncio.get_running_loop().add_reader(self._socket, self._read)

    def _read(self) -> None:
        try:
            while self._socket.recv(16):
                pass
        except BlockingIOError:
            pass
        self._on_wake()

    def close(self) -> None:
        """Stop listening and leave nothing behind."""
        asyncio.get_running_loop().remove_reader(self._socket)
        self._socket.close()
        self.path.unlink(missing_ok=True)


def remove_left(path: str) -> None:
    """Remove the socket file of an engine that died. Only a socket: the path comes out of the shared state."""
    with suppress(OSError):
        if Path(path).is_socket():
            Path(path).unlink()


def _path(folder: Path) -> Path:
    """Beside the database, or where the path is short enough: a folder of temporary files can be deep, too."""
    name = f"engine-{os.getpid()}-{os.urandom(3).hex()}.sock"
    elsewhere = f"orchestrator-{hashlib.blake2b(os.fsencode(folder), digest_size=6).hexdigest()}-{name}"
    # The name is nobody else's, and only its owner may write to it.
    last = Path("/tmp") / elsewhere  # noqa: S108 # nosec B108
    candidates = (folder / name, Path(tempfile.gettempdir()) / elsewhere)
    return next((path for path in candidates if len(os.fsencode(path)) <= LONGEST_PATH), last)
