"""`Client`: how a program asks for runs, waits for them and hears of them. Cheap, and safe in a web application.

It has no threads, event loop or signal handlers of its own; threads may share it, and a process that is forked with it
opens everything anew.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from sqlalchemy import Connection

from orchestrator.client.outcomes import Enqueued, Timeout, completed, result_of, until_finished
from orchestrator.client.place import CONFIG_VARIABLE, DATABASE_VARIABLE, find_place
from orchestrator.client.plans import FilePlan, PlanSource, StoredPlan
from orchestrator.client.preparing import Fault, Prepared, prepare, refusal
from orchestrator.client.requests import Wanted, read_request
from orchestrator.client.stream import EventStream, Since
from orchestrator.client.transactions import create_within
from orchestrator.client.warm_checker import WarmChecker
from orchestrator.core.errors import ConfigError, RequestError
from orchestrator.core.runs import ErrorInfo, Run, RunState
from orchestrator.engine.newruns import Followers
from orchestrator.store import instances, queries, requests
from orchestrator.store.activity import Scope
from orchestrator.store.creation import Created, NewRun, create_runs
from orchestrator.store.store import Store
from orchestrator.store.wake import wake

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

T = TypeVar("T")


class Client:
    """Asks for runs of a project's jobs.

    `config` is the main file or its folder, `db` the state database, an URL or a path: by default those of the
    environment (`ORCHESTRATOR_CONFIG`, `ORCHESTRATOR_DB`), or `jobs.yaml` here and the database beside it. With `db`
    alone, no file is read: the jobs are those that the engines on that database work by. `check=False` takes
    parameters on trust; otherwise a process of its own, which has the plugins imported, says whether callables take
    them.
    """

    def __init__(
        self, config: str | os.PathLike[str] | None = None, db: str | None = None, *, check: bool = True
    ) -> None:
        config = config or (None if db else os.environ.get(CONFIG_VARIABLE))
        files = bool(config) or not db
        self._place = find_place(Path(config) if config else None, db or os.environ.get(DATABASE_VARIABLE))
        self._check = check
        self._opening = threading.Lock()
        self._opened: Store | None = None
        self._checker = WarmChecker()
        self._plans: PlanSource = FilePlan(self._place.required_config()) if files else StoredPlan(self._store)
        self._pid = os.getpid()

    def enqueue(
        self,
        job: str,
        params: Mapping[str, Any] | None = None,
        *,
        delay: float | str | timedelta | None = None,
        at: datetime | str | None = None,
        priority: int | None = None,
        key: str | None = None,
        expires_in: float | str | timedelta | None = None,
        check: bool | None = None,
        connection: Connection | None = None,
        session: Session | None = None,
    ) -> Enqueued:
        """Ask for a run. With `connection` or `session`, it exists once that transaction commits.

        Durations are seconds, text like `10m`, or timedeltas. A run that is asked for again with the same `key` is
        the one that there is. Raises `RequestError` if there is no such job or it doesn't take the parameters.
        """
        fields = {"delay": delay, "at": at, "priority": priority, "key": key, "expires_in": expires_in}
        prepared = self.prepare([{"job": job, "params": params, **fields}], check=check)
        (enqueued,) = self.create(prepared, connection=connection, session=session)
        return enqueued

    def enqueue_many(
        self,
        wanted: Iterable[Mapping[str, Any]],
        *,
        check: bool | None = None,
        connection: Connection | None = None,
        session: Session | None = None,
    ) -> list[Enqueued]:
        """Ask for many runs in one transaction: mappings of what `enqueue` takes, like `{"job": "a", "key": "k"}`.

        Raises `RequestError` with all that is wrong; then none is created.
        """
        return self.create(self.prepare(wanted, check=check), connection=connection, session=session)

    def run(self, run_id: int) -> Run:
        """A run as it is now. Raises `NotFoundError`.

        A large result is left in its files (`result_files`); `wait` and `result` read it.
        """
        return self._store().read(queries.get_run, run_id)

    def wait(self, run_id: int, timeout: Timeout = None) -> Run:
        """Wait until a run is finished, however it ends.

        Raises `WaitTimeoutError`, `NotFoundError`, and `ResultFileError` for a large result that is lost.
        """
        return _driven(self.waiting(run_id, timeout))

    def result(self, run_id: int, timeout: Timeout = None) -> Any:
        """Wait for a run and give what its callable returned. Raises `RunFailedError` if it ends otherwise."""
        return _driven(self.resulting(run_id, timeout))

    def cancel(self, run_id: int) -> RunState:
        """Cancel a run: at once if it waits; one that runs is asked to stop. Jobs that run `after` its end follow.

        Gives the state that it is left in.
        Raises `NotFoundError`, or `ConflictError` for a run that is finished.
        """
        now = datetime.now(UTC)
        state = self._store().write(requests.cancel, run_id, now, self._followers(now))
        self._wake()
        return state

    def events(
        self,
        since: Since = None,
        *,
        job: str | Sequence[str] = (),
        run: int | None = None,
        follow: bool = True,
    ) -> EventStream:
        """What happens to runs, as it happens: of all, of some jobs, or of one run (then to its end).

        It begins now or `since`: after the run of that id, with the runs created from an instant on, or at the
        `position` of an earlier stream. Without `follow` it ends once there are no more.
        """
        jobs = (job,) if isinstance(job, str) else tuple(job)
        return EventStream(self._store, Scope(jobs, run), since, follow=follow)

    def close(self) -> None:
        """Let go of everything. The client may be used again: it opens anew."""
        self._mine()
        with self._opening:
            self._checker.close()
            if self._opened is not None:
                self._opened.close()
                self._opened = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def prepare(self, wanted: Iterable[Mapping[str, Any]], *, check: bool | None = None) -> Prepared:
        """The first half of asking: read and check, and create nothing. Raises `RequestError`."""
        self._mine()
        now = datetime.now(UTC)
        plan = self._plans.current()
        readable, faults = _read(wanted, now)
        checker = self._checker if (self._check if check is None else check) else None
        prepared = prepare(plan, readable, now, checker)
        if faults or prepared.faults:
            alone = len(readable) + len(faults) == 1
            raise refusal(sorted([*faults, *prepared.faults], key=lambda fault: fault.place), alone=alone)
        return prepared

    def create(
        self, prepared: Prepared, *, connection: Connection | None = None, session: Session | None = None
    ) -> list[Enqueued]:
        """The second half: create what was prepared."""
        owner = connection if connection is not None else session
        store = self._store()
        if owner is None:
            created, engines = store.write(_create, prepared.new)
            wake(engines)
        else:
            created = create_within(owner, prepared.new, store.database.path, self._wake)
        return [Enqueued(one.id or 0, one.duplicate) for one in created]

    def waiting(self, run_id: int, timeout: Timeout) -> Generator[float, None, Run]:
        """`wait`, as pauses for whoever drives it to sleep."""
        run = yield from until_finished(lambda: self.run(run_id), timeout, time.monotonic)
        return completed(run, self._store().database.results)

    def resulting(self, run_id: int, timeout: Timeout) -> Generator[float, None, Any]:
        """`result`, likewise."""
        run = yield from self.waiting(run_id, timeout)
        return result_of(run, lambda: self._last_error(run_id))

    def _followers(self, now: datetime) -> Callable[[str], Sequence[NewRun]]:
        """What the end of a run fires. Where the jobs are not known, nothing: it can be cancelled all the same."""
        try:
            followers = Followers(self._plans.current())
        except ConfigError:
            return lambda _: ()
        return lambda job: followers.of(job, RunState.CANCELLED, now)

    def _last_error(self, run_id: int) -> ErrorInfo | None:
        attempts = self._store().read(queries.list_attempts, run_id)
        return attempts[-1].error if attempts else None

    def _wake(self) -> None:
        wake(self._store().read(instances.living))

    def _store(self) -> Store:
        self._mine()
        with self._opening:
            if self._opened is None:
                self._opened = Store(self._place.url, keep=True)
            return self._opened

    def _mine(self) -> None:
        """After a fork, leave to the parent what is its own; locks may be held by threads that are not here."""
        if self._pid != os.getpid():
            self._pid = os.getpid()
            self._opening = threading.Lock()
            if self._opened is not None:
                self._opened.database.disown()
                self._opened = None
            self._checker.disown()
            self._checker = WarmChecker()
            self._plans.renew()


def _read(wanted: Iterable[Mapping[str, Any]], now: datetime) -> tuple[list[tuple[int, Wanted]], list[Fault]]:
    readable: list[tuple[int, Wanted]] = []
    faults: list[Fault] = []
    for place, fields in enumerate(wanted, 1):
        try:
            readable.append((place, read_request(fields, now)))
        except RequestError as error:
            faults.append(Fault(place, str(error), error.hint))
    return readable, faults


def _create(connection: Connection, new: Sequence[NewRun]) -> tuple[list[Created], list[instances.Instance]]:
    """The runs, and who is to be woken for them."""
    return create_runs(connection, new), instances.living(connection)


def _driven(steps: Generator[float, None, T], sleep: Callable[[float], None] = time.sleep) -> T:
    while True:
        try:
            pause = next(steps)
        except StopIteration as end:
            value: T = end.value
            return value
        sleep(pause)
