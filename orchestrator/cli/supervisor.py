"""How does systemd, or whatever supervises this process, hear how it is doing? By datagrams to $NOTIFY_SOCKET.

The protocol is that of sd_notify(3): https://www.freedesktop.org/software/systemd/man/latest/sd_notify.html
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import MutableMapping
from contextlib import suppress
from typing import TYPE_CHECKING

from orchestrator.core.errors import StoreError

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from orchestrator.store.store import Store

_VARIABLES = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")


class Supervisor:
    """Where to send word; nowhere, if nobody asked for it. Nothing here blocks or raises."""

    def __init__(self, address: str = "", watchdog_seconds: float | None = None) -> None:
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self.watchdog_seconds = watchdog_seconds
        """How long the supervisor waits for a sign of life; None if it doesn't."""

    @classmethod
    def from_environment(cls, environment: MutableMapping[str, str] | None = None) -> Supervisor:
        """What the environment says. It is taken out there, so that no child speaks in our name."""
        environment = os.environ if environment is None else environment
        address, microseconds, pid = (environment.pop(name, "") for name in _VARIABLES)
        watched = microseconds.isdecimal() and int(microseconds) > 0 and pid in ("", str(os.getpid()))
        return cls(address, int(microseconds) / 1e6 if watched and address else None)

    def ready(self, status: str) -> None:
        """The engine works."""
        self._send("READY=1", f"STATUS={status}")

    def reloading(self) -> None:
        """The configuration is being read again; `ready` follows."""
        now = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._send("RELOADING=1", f"MONOTONIC_USEC={now}", "STATUS=reading the configuration again")

    def stopping(self, status: str) -> None:
        """The engine is winding down."""
        self._send("STOPPING=1", f"STATUS={status}")

    async def keep_alive(self, store: Store) -> None:
        """Give a sign of life twice per watchdog period, as long as this loop and the store's writer answer."""
        if self.watchdog_seconds is None:
            return
        while True:
            next_sign = time.monotonic() + self.watchdog_seconds / 2
            # A refusal is an answer: a full disk is no reason to be killed, and a restart would not mend it.
            with suppress(StoreError):
                await store.submit(_answer)
            self._send("WATCHDOG=1")
            await asyncio.sleep(max(0.0, next_sign - time.monotonic()))

    def _send(self, *assignments: str) -> None:
        if not self._address:
            return
        message = "\n".join(line.replace("\n", " ") for line in assignments)
        with suppress(OSError, ValueError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.setblocking(False)  # noqa: FBT003 - takes it no other way
            sender.sendto(message.encode(errors="replace"), self._address)


def _answer(connection: Connection) -> None:
    connection.exec_driver_sql("SELECT 1").fetchone()
