"""What did a worker find when it prepared a step of many items? If that is in a file, it is read before the end is
written: that end creates the runs."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from orchestrator.core.errors import ResultFileError
from orchestrator.core.result_files import whole
from orchestrator.core.runs import ErrorInfo, Outcome
from orchestrator.engine.verdict import Held, prepares
from orchestrator.executors.contract import Ended, Report


async def with_items(reports: Sequence[Report], held: Mapping[int, Held], folder: Path) -> list[Report]:
    """The reports, the ends of preparations with what they found. All other results stay where they are."""
    return [await asyncio.to_thread(_loaded, one, folder) if _is_large(one, held) else one for one in reports]


def has_large(reports: Sequence[Report]) -> bool:
    """Whether there may be such a report."""
    return any(type(report) is Ended and report.result_file is not None for report in reports)


def _is_large(report: Report, held: Mapping[int, Held]) -> bool:
    if not isinstance(report, Ended) or report.result_file is None:
        return False
    return (holding := held.get(report.run_id)) is not None and prepares(holding)


def _loaded(report: Report, folder: Path) -> Report:
    assert isinstance(report, Ended)  # noqa: S101 - `_is_large` says so
    assert report.result_file is not None  # noqa: S101
    try:
        return msgspec.structs.replace(report, result=whole(None, [report.result_file], folder))
    except ResultFileError as error:
        told = ErrorInfo(type=type(error).__name__, message=str(error), names=(type(error).__name__,))
        return msgspec.structs.replace(report, outcome=Outcome.FAILED, result_file=None, error=told)
