"""Which engines work on this state, and which of them can be reached from here?"""

from __future__ import annotations

import socket
from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orchestrator.store.instances import Instance


def is_here(engine: Instance) -> bool:
    """Whether the engine runs on this machine (or in this container)."""
    return engine.host == socket.gethostname()


def has_process(engine: Instance) -> bool | None:
    """Whether the engine's process is there; None if that can't be told from here."""
    from orchestrator.store.wake import is_listening

    return is_listening(engine.wake_path) if is_here(engine) and engine.wake_path else None


def lives(engine: Instance, now: datetime) -> bool:
    """Whether the engine is there as far as can be told: its process, or else its lease."""
    process = has_process(engine)
    return engine.lease_until > now if process is None else process


def is_well(engine: Instance, now: datetime) -> bool:
    """Whether it is there and has renewed its lease: a process that hangs or is stopped has not."""
    return has_process(engine) is not False and engine.lease_until > now


def named(engine: Instance) -> str:
    """`engine 3 (pid 4711)`, with its host if that is another one."""
    return f"engine {engine.id} (pid {engine.pid}{'' if is_here(engine) else f' on {engine.host}'})"
