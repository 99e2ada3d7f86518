"""How a run's state and times are put into words, for every command that shows runs."""

from __future__ import annotations

from datetime import datetime

from orchestrator.cli.tables import Cell
from orchestrator.cli.times import lasting, relative
from orchestrator.core.runs import Run, RunState

STYLES = {
    RunState.SUCCEEDED: "green",
    RunState.FAILED: "red",
    RunState.RUNNING: "cyan",
    RunState.CANCELLED: "yellow",
    RunState.SKIPPED: "dim",
}


def state_cell(run: Run) -> Cell:
    """The state, coloured, and how far a running one says it is."""
    return _styled(run.state, state_text(run))


def state_text(run: Run) -> str:
    """The state, and how far a running run says it is."""
    if run.state is RunState.RUNNING and run.cancel_requested:
        return "running, to be cancelled"
    if run.state is RunState.RUNNING and run.progress is not None:
        return f"running, {progress_text(*run.progress)}"
    return run.state.value


def progress_text(done: int, total: int | None) -> str:
    """`42 of 100 (42%)`, or `42 done` when nobody knows how much there is."""
    return f"{done} of {total} ({done / total:.0%})" if total else f"{done} done"


def took(run: Run, now: datetime) -> str:
    """How long the last attempt took, or has taken so far."""
    if run.started_at is None or run.state is RunState.SKIPPED:
        return ""
    return lasting((run.finished_at or now) - run.started_at)


def when(run: Run, now: datetime) -> str:
    """When the run started, or when it is due."""
    if run.state in (RunState.SCHEDULED, RunState.WAITING) and run.due_at > now:
        return relative(run.due_at, now)
    return relative(run.started_at or run.created_at, now)


def first_line(text: str | None, limit: int = 160) -> str:
    """The first line of a reason, cut to a length that fits a list."""
    lines = (text or "").strip().splitlines()
    line = lines[0] if lines else ""
    return line if len(line) <= limit else f"{line[:limit]}..."


def ending(run: Run, now: datetime) -> str:
    """How a run ended, in one line: `run 12 of system-health succeeded in 0.03s`."""
    duration = f" after {took(run, now)}" if took(run, now) else ""
    reason = f": {first_line(run.reason)}" if run.reason else ""
    return f"run {run.id} of {run.job} {run.state.value}{duration}{reason}"


def _styled(state: RunState, text: str) -> Cell:
    style = STYLES.get(state)
    return (text, style) if style else text
