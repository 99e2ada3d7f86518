"""How does anything in the worker reach the engine? One socket, one lock, each message sent as soon as it exists."""

from __future__ import annotations

import os
import socket
import threading
from typing import Any

from orchestrator.worker.interrupt import Interrupt
from orchestrator.worker.masking import Mask
from orchestrator.worker.messages import FromWorker, Noted, frame, parted


class Line:
    """The sending side of a worker's socket; any thread may use it."""

    def __init__(self, sock: socket.socket, interrupt: Interrupt) -> None:
        self._socket = sock
        self._interrupt = interrupt
        self._lock = threading.Lock()
        self.mask = Mask()
        self.pid = os.getpid()

    @property
    def mine(self) -> bool:
        """Whether this is the worker itself, not a process that a callable forked off it."""
        return os.getpid() == self.pid

    def send(self, *messages: FromWorker) -> None:
        """Hand messages to the engine, whole and in order. A forked child's are dropped."""
        data = frame(part for message in messages for part in parted(self.mask.hide(message)))
        if not self.mine:
            return
        with self._interrupt.held_off(), self._lock:
            self._socket.sendall(data)

    def note(self, stream: str, text: str) -> None:
        """Output that belongs to no attempt."""
        self.send(Noted(stream=stream, text=text))


def clean(text: Any) -> str:
    """Text that can be encoded: lone surrogates become escapes."""
    said = str(text)
    return said if said.isascii() else said.encode("utf-8", "backslashreplace").decode("utf-8")
