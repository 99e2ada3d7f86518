"""`orchestrator result`: what did a run give?"""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec

from orchestrator.cli.opening import opened_store
from orchestrator.cli.options import ConfigOption, DbOption, RunArgument
from orchestrator.client.place import find_place
from orchestrator.core.errors import ConflictError
from orchestrator.core.runs import Run, RunState


def result(run: RunArgument, *, config: ConfigOption = None, db: DbOption = None) -> None:
    """Print what a run gave, as JSON on one line.

    Exit status 1 for a run that hasn't succeeded, and for a large result whose file is missing or damaged.
    """
    from orchestrator.store import queries

    with opened_store(find_place(config, db)) as store:
        found = store.read(queries.get_run, run)
        folder = store.database.results
    if found.state is not RunState.SUCCEEDED:
        why = f": {found.reason}" if found.reason else ""
        raise ConflictError(f"run {run} of {found.job} has no result, it is {found.state.value}{why}")
    sys.stdout.buffer.write(_json(found, folder) + b"\n")


def _json(run: Run, folder: Path) -> bytes:
    from orchestrator.core.result_files import read, whole

    files = run.result_files or ()
    if len(files) == 1 and not files[0].at:
        return read(folder, files[0])  # as it is: it may be hundreds of mebibytes
    return msgspec.json.encode(whole(run.result, files, folder))
