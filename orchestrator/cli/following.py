"""What is a run saying right now? Its output as it reaches the store, until the run is finished."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from datetime import tzinfo
from typing import TYPE_CHECKING

from orchestrator.cli.log_lines import LogLines
from orchestrator.core.runs import LogLine, Run, RunState

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from orchestrator.store.store import Store

LOOK_EVERY = 0.1
"""Seconds."""


class Follower:
    """Reads a run's output piece by piece; `look` gives what is new."""

    def __init__(self, store: Store, run_id: int) -> None:
        self._store = store
        self._run_id = run_id
        self._seen = 0

    def look(self) -> tuple[Run, list[LogLine]]:
        """The run, and its output since the last look; nothing of a finished run comes later."""
        run, pieces = self._store.read(_snapshot, self._run_id, self._seen)
        if pieces:
            self._seen = pieces[-1][0]
        return run, [piece for _, piece in pieces]


def _snapshot(connection: Connection, run_id: int, after_id: int) -> tuple[Run, list[tuple[int, LogLine]]]:
    from orchestrator.store import queries

    return queries.get_run(connection, run_id), queries.list_logs(connection, run_id, after_id=after_id)


def follow(store: Store, run_id: int, show: Callable[[LogLine], None]) -> Run:
    """Show a run's output as it comes; gives the run once it is finished."""
    follower = Follower(store, run_id)
    while True:
        run, pieces = follower.look()
        for piece in pieces:
            show(piece)
        if run.state.finished:
            return run
        time.sleep(LOOK_EVERY)


class OutputPrinter:
    """Prints output to stdout at once; `finish` ends a line that the run left unfinished."""

    def __init__(self, zone: tzinfo | None = None) -> None:
        """Times are in `zone`, or as the machine has them."""
        self._lines = LogLines(sys.stdout, zone)

    def show(self, piece: LogLine) -> None:
        """Print one piece."""
        sys.stdout.write(self._lines.text(piece))
        sys.stdout.flush()

    def finish(self) -> None:
        """Nothing more comes."""
        sys.stdout.write(self._lines.end())
        sys.stdout.flush()


def exit_status(run: Run) -> int:
    """0 for a run that did its work, 1 for any other end."""
    return 0 if run.state is RunState.SUCCEEDED else 1
