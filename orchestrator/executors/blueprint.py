"""How are the workers of a lane made under a plan?"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from orchestrator.core.plan import Workers
from orchestrator.worker.messages import Setup

if TYPE_CHECKING:
    from orchestrator.executors.lane import Lane
    from orchestrator.executors.worker import Worker


class Blueprint(NamedTuple):
    """How a lane's workers are made under a plan."""

    setup: Setup
    most: int
    warm: int
    limits: Workers
    start: Callable[[Setup, Lane], Worker]
    """Starts one; raises `OSError` if that can't be done."""
    ended: Callable[[Worker], None]
    """Takes note that one is gone."""
