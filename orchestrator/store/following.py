"""What follows a run that ends without an attempt: cancelled, expired or too late, it fires what its end fires."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import msgspec
from sqlalchemy import Connection

from orchestrator.store.creation import NewRun, create_runs

Followers = Callable[[str], Sequence[NewRun]]
"""The runs that the end of a run of a job fires; `parent_id` is filled in by whoever ends it."""


def nothing_follows(_job: str) -> Sequence[NewRun]:
    """For ends that fire nothing."""
    return ()


def follow(connection: Connection, ended: Iterable[tuple[int, str]], followers: Followers) -> None:
    """Create what follows the runs (id, job) that have just ended."""
    following = [msgspec.structs.replace(run, parent_id=run_id) for run_id, job in ended for run in followers(job)]
    if following:
        create_runs(connection, following)
