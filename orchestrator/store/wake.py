"""How a process that changed the store tells the engines at once: a datagram to each engine's Unix socket."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from contextlib import suppress

from orchestrator.store.instances import Instance


def wake(engines: Iterable[Instance]) -> int:
    """Tell these engines to look at the store now; gives how many heard. One that doesn't looks within a second."""
    with suppress(OSError):
        return sum(1 for engine in engines if engine.wake_path is not None and _send(engine.wake_path))
    return 0


def is_listening(path: str) -> bool:
    """Whether an engine of this machine still holds the socket: the system closes it however the engine died.

    Raises `OSError` where no socket can be had to ask with: that says nothing about the engine.
    """
    return _send(path)


def _send(path: str) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.settimeout(0)
        try:
            sender.sendto(b"w", path)
        except BlockingIOError:
            return True  # its inbox is full: it is about to look anyway
        except OSError:
            return False
    return True
