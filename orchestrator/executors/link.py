"""The engine's end of a worker's socket: sends without waiting, hands over the frames of each wake-up together."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress

from orchestrator.worker.messages import Frames, ToWorker, frame

_CHUNK = 256 * 1024


class Link:
    """Reads and writes on the event loop. `on_bodies` gets the bodies of the frames that arrived together, `on_broken`
    why nothing more can come: the other end was closed, which a dying worker does too, or it sent no frames."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        sock: socket.socket,
        on_bodies: Callable[[list[bytes]], None],
        on_broken: Callable[[str], None],
    ) -> None:
        self._loop = loop
        self._socket = sock
        self._fd = sock.fileno()
        self._on_bodies = on_bodies
        self._on_broken = on_broken
        self._frames = Frames()
        self._unsent = bytearray()
        self._open = True
        loop.add_reader(self._fd, self._on_readable)

    def send(self, messages: list[ToWorker]) -> None:
        """Send; what the socket doesn't take now follows when it can. To a dead worker: nothing.

        Raises `LongMessageError`; then nothing was sent.
        """
        data = frame(messages)
        if not self._open:
            return
        if self._unsent:
            self._unsent += data
            return
        sent = self._try(data)
        if sent < len(data) and self._open:
            self._unsent += data[sent:]
            self._loop.add_writer(self._fd, self._on_writable)

    def close(self) -> list[bytes]:
        """Read what the worker said last, then close."""
        bodies: list[bytes] = []
        with suppress(ValueError):
            while self._open and (data := self._receive()):
                bodies += self._frames.feed(data)
        self._detach()
        self._socket.close()
        return bodies

    def _on_readable(self) -> None:
        data = self._receive()
        if data is None:
            return
        try:
            bodies = self._frames.feed(data)
        except ValueError as error:
            self._detach()
            self._on_broken(f"it sent {error}")
            return
        if not data:
            self._detach()
            self._on_broken("it closed its line to the engine")
        elif bodies:
            self._on_bodies(bodies)

    def _receive(self) -> bytes | None:
        try:
            return self._socket.recv(_CHUNK)
        except BlockingIOError:
            return None
        except ConnectionError:
            return b""

    def _on_writable(self) -> None:
        del self._unsent[: self._try(self._unsent)]
        if not self._unsent and self._open:
            self._loop.remove_writer(self._fd)

    def _try(self, data: bytes | bytearray) -> int:
        try:
            return self._socket.send(data)
        except BlockingIOError:
            return 0
        except (ConnectionError, BrokenPipeError):
            self._loop.remove_writer(self._fd)
            return len(data)

    def _detach(self) -> None:
        if self._open:
            self._open = False
            self._loop.remove_reader(self._fd)
            self._loop.remove_writer(self._fd)
