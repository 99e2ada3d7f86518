"""What the tests of built-in callables share: a run's context without a worker, and marks of processes."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from orchestrator.builtins import BUILTINS
from orchestrator.plugins.context import Context
from orchestrator.plugins.signature import Binder
from tests.faults.conftest import mark

__all__ = ["mark"]


class Bed:
    """Calls built-in callables as a worker does: parameters as YAML gives them, checked and bound."""

    def __init__(self) -> None:
        self.checkpoint: Any = None
        self.resources: dict[str, Any] = {}
        self.is_cancelled: Callable[[], bool] = lambda: False
        self.attempt = 1
        self.beats = 0

    def progressed(self, done: int, total: int | None) -> None:
        """Nobody looks."""

    def beat(self) -> None:
        self.beats += 1

    def saved(self, value: Any) -> None:
        self.checkpoint = value

    def arguments(self, name: str, params: dict[str, Any]) -> tuple[Callable[..., Any], dict[str, Any]]:
        binder = Binder(name, BUILTINS[name].load(), tuple(self.resources), offer=BUILTINS[name])
        context = Context(
            job="nightly",
            run_id=7,
            attempt=self.attempt,
            max_attempts=3,
            fire_time=datetime(2026, 1, 2, 3, tzinfo=UTC),
            timezone="UTC",
            checkpoint=self.checkpoint,
            line=self,
            cancelled=self.is_cancelled,
            resource=self.resources.__getitem__,
        )
        return binder.function, binder.bind(params, context, self.resources)

    def call(self, name: str, /, **params: Any) -> Any:
        function, arguments = self.arguments(name, params)
        return function(**arguments)

    def mistakes(self, name: str, /, **params: Any) -> list[str]:
        """What validation says."""
        binder = Binder(name, BUILTINS[name].load(), tuple(self.resources), offer=BUILTINS[name])
        return [fault.message for fault in binder.problems(params)]


@pytest.fixture
def bed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bed:
    """In an empty folder."""
    monkeypatch.chdir(tmp_path)
    return Bed()


needs_proc = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
