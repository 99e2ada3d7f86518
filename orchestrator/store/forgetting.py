"""How finished runs are deleted with all that is theirs: as much in one transaction as keeps no other writer waiting.

The parts of a workflow go before it: whatever dies half-way, the workflow is still there to be found, and gone on with.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from sqlalchemy import BindParameter, Connection, bindparam, delete, func, select, update

from orchestrator.store.chunks import chunked
from orchestrator.store.result_rows import own_names
from orchestrator.store.tables import attempts, checkpoints, flow_steps, flows, logs, notices, runs

ROWS = 500
"""Runs and steps of workflows to delete in one transaction, about: some 20 milliseconds."""
LINES = 10
"""Lines of a log that are deleted in the time of one run."""


class Gone(msgspec.Struct, frozen=True, kw_only=True):
    """What was deleted: how many of the runs that were to go, and how many with those of their steps."""

    whole: int
    deleted: int
    files: Sequence[str]
    """Of their results; they are to be deleted once this is committed."""


def forget_some(connection: Connection, run_ids: Sequence[int], rows: int = ROWS) -> Gone:
    """Delete the first of these finished runs, as far as `rows` rows reach, but something of them in any case.

    A workflow of which a part is gone can't be retried any more.
    """
    whole = deleted = 0
    files: list[str] = []
    while whole < len(run_ids) and rows > 0:
        outermost = run_ids[whole:]
        innermost = _innermost(connection, outermost, rows)
        doomed, weight = _as_many(connection, innermost, rows)
        files += _delete(connection, doomed)
        deleted += len(doomed)
        whole += len(doomed) if innermost is outermost else 0
        rows -= weight if len(doomed) == len(innermost) else rows
    for chunk in chunked(run_ids[whole:]):
        connection.execute(_DOOM, {"ids": chunk})
    return Gone(whole=whole, deleted=deleted, files=tuple(files))


def delete_runs(connection: Connection, run_ids: Sequence[int]) -> list[str]:
    """Delete runs and everything that belongs to them, however much it is; of workflows, the runs of their steps.

    Gives the names of their results' files, which are to be deleted once this is committed.
    """
    doomed, files = list(run_ids), []
    while doomed:
        files += _delete(connection, doomed)
        inner = [connection.execute(_STEPS_OF, {"ids": chunk}).scalars() for chunk in chunked(doomed)]
        doomed = [run_id for found in inner for run_id in found]
    return files


def _innermost(connection: Connection, run_ids: Sequence[int], most: int) -> Sequence[int]:
    """Runs that are no workflows with parts: some of those inside, or the runs themselves. Served by `runs_flow`."""
    while True:
        inner: list[int] = []
        for chunk in chunked(run_ids):
            inner += connection.execute(_SOME_STEPS_OF, {"ids": chunk, "most": most - len(inner)}).scalars()
        if not inner:
            return run_ids
        run_ids = inner


def _as_many(connection: Connection, run_ids: Sequence[int], rows: int) -> tuple[Sequence[int], int]:
    """As many of the runs as weigh no more than so many rows, one at least, and what they weigh."""
    weights = dict.fromkeys(run_ids, 1)
    for chunk in chunked(run_ids):
        for statement, of_a_kind in _WEIGHTS:
            for run_id, count in connection.execute(statement, {"ids": chunk}):
                weights[run_id] += count // of_a_kind
    total = 0
    for position, run_id in enumerate(run_ids):
        if position and total + weights[run_id] > rows:
            return run_ids[:position], total
        total += weights[run_id]
    return run_ids, total


def _delete(connection: Connection, run_ids: Sequence[int]) -> list[str]:
    files: list[str] = []
    for chunk in chunked(run_ids):
        for statement in _FORGET:
            connection.execute(statement, {"ids": chunk})
        files += own_names(connection.execute(_FORGET_RUNS, {"ids": chunk}))
    return files


_ids: BindParameter[int] = bindparam("ids", expanding=True)
_FORGET = [
    delete(column.table).where(column.in_(_ids))
    for column in (
        *(logs.c.run_id, attempts.c.run_id, checkpoints.c.run_id, notices.c.delivery_id),
        *(flows.c.id, flow_steps.c.flow_id),
    )
]
_FORGET_RUNS = delete(runs).where(runs.c.id.in_(_ids)).returning(runs.c.id, runs.c.result_files)
_STEPS_OF = select(runs.c.id).where(runs.c.flow_id.in_(_ids))
_SOME_STEPS_OF = _STEPS_OF.limit(bindparam("most"))
_WEIGHTS = [
    (select(column, func.count()).where(column.in_(_ids)).group_by(column), of_a_kind)
    for column, of_a_kind in ((flow_steps.c.flow_id, 1), (logs.c.run_id, LINES))
]
_DOOM = update(flows).where(flows.c.id.in_(_ids)).values(is_doomed=True)
