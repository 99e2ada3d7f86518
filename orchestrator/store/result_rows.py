"""Which result files do rows name, and which does nobody need any more?"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import Connection, bindparam, select

from orchestrator.core.result_files import ResultFile, origin
from orchestrator.core.runs import RunState
from orchestrator.store.chunks import chunked
from orchestrator.store.tables import runs


class Owned(NamedTuple):
    """A file of a run's own."""

    run_id: int
    file: ResultFile


def own_names(rows: Iterable[Any]) -> list[str]:
    """The files of these runs' own, given as ids with `result_files`: a workflow's are its steps' own."""
    return [one.file.name for one in _owned(rows)]


def needed(connection: Connection, names: Collection[str]) -> set[str]:
    """Those of the files that a run's row names, or that the end of a running attempt, which may still be on its way to
    the disk, will name."""
    ids = sorted({origin(name)[0] for name in names})
    found: set[str] = set()
    for chunk in chunked(ids):
        rows = connection.execute(_STATES, {"ids": chunk}).all()
        found |= {f"{row.id}-{row.attempt}.json" for row in rows if row.state == RunState.RUNNING.value}
        found.update(own_names((row.id, row.result_files) for row in rows if row.result_files is not None))
    return found.intersection(names)


def all_owned(connection: Connection) -> Iterator[Owned]:
    """Every file that a row names, by run: looks at all rows."""
    yield from _owned(
        connection.execute(select(runs.c.id, runs.c.result_files).where(runs.c.result_files.is_not(None)))
    )


_STATES = select(runs.c.id, runs.c.attempt, runs.c.state, runs.c.result_files).where(
    runs.c.id.in_(bindparam("ids", expanding=True))
)


def _owned(rows: Iterable[Any]) -> Iterator[Owned]:
    for run_id, files in rows:
        for file in msgspec.convert(files or (), list[ResultFile]):
            if file.run_id == run_id:
                yield Owned(run_id, file)
