"""What did the steps of a workflow result in, for those that read it, and for the workflow itself?"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec
from sqlalchemy import Connection, Text, select, type_coerce

from orchestrator.core.result_files import ResultFile
from orchestrator.core.runs import RunState
from orchestrator.store.flow_rows import FlowRow
from orchestrator.store.tables import runs

LIMIT = 2**20
"""Bytes of a workflow's result without what lies in files; a larger one is not kept, its steps' own results are."""
READABLE = 16 * 2**20
"""Bytes of results that the steps which one step reads may have together: they travel to a worker in one message."""


class Results(NamedTuple):
    """Results by step; of one that has items, a list with a place for each. What lies in files is null there; the way
    to it begins with the step. `too_large` is the step with which they became more than may be read."""

    by_step: dict[str, Any]
    files: tuple[ResultFile, ...] = ()
    too_large: str | None = None


class FlowResult(NamedTuple):
    """A workflow's result as its row has it. The files are those of its steps."""

    value: dict[str, Any] | None = None
    files: tuple[ResultFile, ...] | None = None


def flow_result(connection: Connection, flow: FlowRow) -> FlowResult:
    """The results of the steps that no other needs."""
    needed = {name for step in flow.steps.values() for name in (*step.needs, *step.needs_any)}
    last = [step.name for step in flow.steps.values() if step.name not in needed and not step.is_final]
    found = step_results(connection, flow, last, limit=LIMIT)
    return FlowResult(found.by_step, found.files or None) if found.too_large is None else FlowResult()


def step_results(connection: Connection, flow: FlowRow, names: list[str], limit: int = READABLE) -> Results:
    """Read results, no more than `limit` bytes of them, without opening files. Served by `runs_flow`."""
    results: dict[str, Any] = {name: [] if flow.steps[name].is_many else None for name in names}
    files: list[ResultFile] = []
    texts = (type_coerce(runs.c.result, Text), type_coerce(runs.c.result_files, Text))
    columns = (runs.c.step, runs.c.item_index, runs.c.state, *texts)
    statement = select(*columns).where(runs.c.flow_id == flow.id, runs.c.step.in_(names))
    left = limit
    for name, index, state, text, file_text in connection.execute(statement.order_by(runs.c.step, runs.c.item_index)):
        step = flow.steps[name]
        if step.prepares and index is None:
            continue
        succeeded = state == RunState.SUCCEEDED.value
        left -= len(text or "") + len(file_text or "") if succeeded else 0
        if left < 0:
            return Results({}, too_large=name)
        value = msgspec.json.decode(text) if succeeded and text is not None else None
        place = (name, len(results[name])) if step.is_many else (name,)
        if step.is_many:
            results[name].append(value)
        else:
            results[name] = value
        if succeeded and file_text is not None:
            files += [_within(file, place) for file in _decode_files(file_text)]
    return Results(results, tuple(files))


_decode_files = msgspec.json.Decoder(list[ResultFile]).decode


def _within(file: ResultFile, place: tuple[str | int, ...]) -> ResultFile:
    """The same file, where its value belongs in something larger."""
    return msgspec.structs.replace(file, at=(*place, *file.at))
