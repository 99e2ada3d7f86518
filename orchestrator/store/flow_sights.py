"""What do the attempts of steps see of their workflows? Read with the claim, for all that were claimed at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, bindparam, select

from orchestrator.core.flows import StepSight
from orchestrator.core.result_files import ResultFile
from orchestrator.core.runs import RunState
from orchestrator.store.chunks import chunked
from orchestrator.store.flow_results import Results, step_results
from orchestrator.store.flow_rows import FlowRow, load_flows
from orchestrator.store.flow_rules import outcome
from orchestrator.store.tables import runs


def load_sights(connection: Connection, reads: Mapping[int, Sequence[str]]) -> dict[int, StepSight]:
    """By run of a step: its item, its workflow, and what the steps that its templates read came to."""
    places = _rows(connection, _PLACES, list(reads))
    flow_ids = sorted({row["flow_id"] for row in places.values()})
    flows = load_flows(connection, flow_ids)
    wholes = _rows(connection, _WHOLES, flow_ids)
    results = {
        flow_id: step_results(connection, flow, sorted(wanted))
        for flow_id, flow in flows.items()
        if (wanted := _wanted(places, reads, flow))
    }
    return {
        run_id: _sight(row, wholes[row["flow_id"]], flows[row["flow_id"]], results.get(row["flow_id"]), reads[run_id])
        for run_id, row in places.items()
        if row["flow_id"] in flows and row["flow_id"] in wholes
    }


def _sight(row: Any, whole: Any, flow: FlowRow, results: Results | None, reads: Sequence[str]) -> StepSight:
    found = results.by_step if results is not None else {}
    return StepSight(
        flow_id=flow.id,
        flow_job=flow.job,
        fire_time=whole["fire_time"],
        params=whole["params"] or {},
        state=_state(flow),
        steps={name: _seen(flow, name, found[name]) for name in reads if name in found},
        files=tuple(_seen_at(file) for file in results.files if file.at[0] in reads) if results is not None else (),
        too_large=results.too_large if results is not None else None,
        item=row["item"],
        index=row["item_index"],
    )


_PLACES = select(runs.c.id, runs.c.flow_id, runs.c.item_index, runs.c.item).where(
    runs.c.id.in_(bindparam("ids", expanding=True)), runs.c.flow_id.is_not(None)
)
_WHOLES = select(runs.c.id, runs.c.job, runs.c.fire_time, runs.c.params).where(
    runs.c.id.in_(bindparam("ids", expanding=True))
)


def _rows(connection: Connection, statement: Any, ids: Sequence[int]) -> dict[int, Any]:
    found: dict[int, Any] = {}
    for chunk in chunked(ids):
        found.update((row["id"], row) for row in connection.execute(statement, {"ids": chunk}).mappings())
    return found


def _wanted(places: Mapping[int, Any], reads: Mapping[int, Sequence[str]], flow: FlowRow) -> set[str]:
    ours = (run_id for run_id, row in places.items() if row["flow_id"] == flow.id)
    return {name for run_id in ours for name in reads[run_id] if name in flow.steps}


def _state(flow: FlowRow) -> str:
    """How the workflow would end if nothing else went wrong: what steps under `finally` want to know."""
    return outcome(flow)[0].value


def _seen_at(file: ResultFile) -> ResultFile:
    """The file, where its value belongs among what is seen of the steps."""
    step, *rest = file.at
    return msgspec.structs.replace(file, at=(step, "result", *rest))


def _seen(flow: FlowRow, name: str, result: Any) -> dict[str, Any]:
    step = flow.steps[name]
    state = RunState.FAILED if step.state is RunState.CANCELLED and flow.stopped is None else step.state
    return {"state": state.value, "result": result, "reason": step.reason}
