"""Is the database sound, and do the engines that work on it do so?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from orchestrator.cli.engines import is_well, named
from orchestrator.cli.findings import Finding, fail, ok, warn
from orchestrator.cli.sizes import in_bytes
from orchestrator.cli.times import coarse

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from orchestrator.client.place import Place
    from orchestrator.store.instances import Instance
    from orchestrator.store.result_check import ResultCheck

TOO_LONG = timedelta(minutes=5)
"""A run that has been due for so long should have been started by an engine that lives."""
CLOCK_TOLERANCE = timedelta(seconds=5)
LARGE_LOG = 256 * 2**20
_RESTORE = "stop the engine, and put a backup in its place (`orchestrator backup` makes them; docs/deploy.md)"


class _State(msgspec.Struct, frozen=True, kw_only=True):
    """What the store says, all of the same moment."""

    engines: list[Instance]
    abandoned: list[int]
    overdue: int
    dead: Mapping[str, int]
    latest: datetime | None


def check_state(place: Place, *, full: bool) -> Iterator[Finding]:
    """Everything about the state database."""
    from orchestrator.core.errors import StoreError
    from orchestrator.store.database import Database
    from orchestrator.store.soundness import examine

    path = Database(place.url).path
    if not path.is_file():
        yield ok("database", f"{path} will be made by the first `orchestrator run`")
        return
    sound = examine(path, full=full)
    if sound.problems:
        yield fail("database", f"{path}: {sound.problems[0]}", _RESTORE)
        return
    yield _size(path)
    if sound.too_new:
        mend = "upgrade orchestrator, or name another database with --db"
        yield fail("schema", f"revision {sound.revision} is newer than {sound.newest_revision}", mend)
    elif sound.revision is None:
        yield warn("schema", "there are no tables yet", "the next `orchestrator run` makes them")
    elif sound.outdated:
        mend = "the next `orchestrator run` brings it up to date; make a backup first"
        yield warn("schema", f"revision {sound.revision} is older than {sound.newest_revision}", mend)
    else:
        yield ok("schema", f"revision {sound.revision}")
        try:
            yield from _check_work(place, full=full)
        except StoreError as error:
            yield fail("database", str(error), "see who uses the file: `fuser` names processes")


def _size(path: Path) -> Finding:
    log = Path(f"{path}-wal")
    waiting = log.stat().st_size if log.exists() else 0
    what = f"{path} is sound, {in_bytes(path.stat().st_size)}"
    if waiting > LARGE_LOG:
        mend = "a reader holds it back: see who has the file open"
        return warn("database", f"{what}, but {in_bytes(waiting)} wait in its log", mend)
    return ok("database", what)


def _check_work(place: Place, *, full: bool) -> Iterator[Finding]:
    from orchestrator.store.result_check import check_results
    from orchestrator.store.store import Store

    now = datetime.now(UTC)
    store = Store(place.url, create=False)
    try:
        state = store.read(_gather, now - TOO_LONG)
        results = check_results(store, full=full)
    finally:
        store.close()
    living = any(is_well(engine, now) for engine in state.engines)
    if state.latest is not None and state.latest - now > CLOCK_TOLERANCE:
        behind = coarse(state.latest - now)
        mend = "set the clock right; fires that were served before are not served again"
        yield fail("clock", f"it is {behind} behind what engines have written down", mend)
    yield from _engines(state.engines, now)
    yield _stuck(state, living=living)
    yield _dead(state.dead)
    yield _results(results)


def _gather(connection: Connection, before: datetime) -> _State:
    from orchestrator.store import dead, health, instances

    return _State(
        engines=instances.living(connection),
        abandoned=health.abandoned(connection),
        overdue=health.count_due(connection, before),
        dead=dead.count_dead(connection),
        latest=health.latest_instant(connection),
    )


def _engines(engines: list[Instance], now: datetime) -> Iterator[Finding]:
    for engine in engines:
        if not is_well(engine, now):
            what = f"{named(engine)} gave its last sign of life {coarse(now - engine.heartbeat_at)} ago"
            mend = "if its process hangs, end it; the next engine to start, or any other, recovers its runs"
            yield warn("engines", what, mend)
        elif engine.config_error is not None:
            what = f"{named(engine)} goes on with its earlier configuration: {engine.config_error}"
            yield fail("engines", what, "mend the file; it is applied as soon as it is right")
        else:
            yield ok("engines", f"{named(engine)} works, up {coarse(now - engine.started_at)}")
    if not engines:
        yield warn("engines", "none is running", "start one: `orchestrator run`")


def _stuck(state: _State, *, living: bool) -> Finding:
    if state.abandoned:
        first = ", ".join(map(str, state.abandoned[:5])) + (", ..." if len(state.abandoned) > 5 else "")
        what = f"runs {first} are held by engines that are gone"
        if living:
            return fail("runs", what, "the living engine should recover them in seconds: restart it, and report this")
        return warn("runs", what, "`orchestrator run` recovers them when it starts")
    if state.overdue and living:
        what = f"{state.overdue} have been due for more than {coarse(TOO_LONG)}"
        mend = "look for limits that hold them back (concurrency, workers): `orchestrator status`, `orchestrator runs`"
        return warn("runs", what, mend)
    if state.overdue:
        return warn("runs", f"{state.overdue} are due and wait", "start an engine: `orchestrator run`")
    return ok("runs", "none is stuck")


def _dead(counts: Mapping[str, int]) -> Finding:
    if not counts:
        return ok("dead letters", "none")
    most = sorted(counts, key=lambda job: (-counts[job], job))[:5]
    what = ", ".join(f"{job} {counts[job]}" for job in most) + (", ..." if len(counts) > len(most) else "")
    return warn("dead letters", what, "`orchestrator dead list`, then `dead retry` or `dead drop`")


def _results(found: ResultCheck) -> Finding:
    """The files of large results."""
    if found.lost:
        more = f" (and {len(found.lost) - 1} more)" if len(found.lost) > 1 else ""
        mend = "put the file back from a backup's FILE.results, or `orchestrator retry` the run"
        return fail("results", f"{found.lost[0]}{more}", mend)
    if not found.count:
        return ok("results", "none is so large that it has a file")
    return ok("results", f"{found.count} in files, {in_bytes(found.size)}")
