"""The runs of a batch, and their ends, as they go to a worker and come back."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from orchestrator.core.result_files import ResultFile
from orchestrator.core.runs import ErrorInfo, Outcome


class BatchItem(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """A run of a batch: what of it differs from the first, which the order is named after."""

    run_id: int
    attempt: int
    number: int
    params: dict[str, Any]
    cause: str
    fire_time: datetime | None


class ItemEnd(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """How one run of a batch ended, where the callable came to its own end."""

    run_id: int
    outcome: Outcome
    result: Any = None
    error: ErrorInfo | None = None
    retry_after: float | None = None
    give_up: bool = False
    result_file: ResultFile | None = None
