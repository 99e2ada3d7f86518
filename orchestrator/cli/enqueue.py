"""`orchestrator enqueue`: ask for runs: one, or as many as a file has lines."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from orchestrator.cli.asking import NoCheckOption, WaitOption, created_in_words, no_engine, read_run, wait_for
from orchestrator.cli.diagnosis import require_plan
from orchestrator.cli.errors import CommandError
from orchestrator.cli.following import exit_status
from orchestrator.cli.opening import opened_store, wake_engines
from orchestrator.cli.options import ConfigOption, DbOption, JsonOption, ParamOption
from orchestrator.cli.params import parse_params
from orchestrator.cli.tables import print_json
from orchestrator.client.place import Place, find_place
from orchestrator.client.planning import Compilation

if TYPE_CHECKING:
    from orchestrator.client.preparing import Fault, Prepared
    from orchestrator.client.requests import Wanted
    from orchestrator.store.creation import Created
    from orchestrator.store.store import Store

JobOption = Annotated[str | None, typer.Argument(metavar="[JOB]", help="The job; with --from, of lines without one.")]
DelayOption = Annotated[str | None, typer.Option("--delay", metavar="DURATION", help="Not before so long from now.")]
AtOption = Annotated[str | None, typer.Option("--at", metavar="TIME", help="Not before this instant, in ISO 8601.")]
PriorityOption = Annotated[
    int | None, typer.Option("--priority", metavar="0-9", help="Instead of the job's; higher goes first.")
]
KeyOption = Annotated[
    str | None, typer.Option("--key", metavar="KEY", help="Asked for again with the same key, there is still one run.")
]
ExpiresOption = Annotated[
    str | None, typer.Option("--expires-in", metavar="DURATION", help="Skip it if it hasn't started so long after.")
]
FromOption = Annotated[
    str | None,
    typer.Option("--from", metavar="FILE", help="JSON Lines, each with job, params, delay, key, …; - is stdin."),
]
SkipOption = Annotated[bool, typer.Option("--skip-bad", help="Leave out lines that can't be used, and go on.")]


def enqueue(
    job: JobOption = None,
    *,
    param: ParamOption = None,
    delay: DelayOption = None,
    at: AtOption = None,
    priority: PriorityOption = None,
    key: KeyOption = None,
    expires_in: ExpiresOption = None,
    source: FromOption = None,
    skip_bad: SkipOption = False,
    wait: WaitOption = False,
    no_check: NoCheckOption = False,
    as_json: JsonOption = False,
    config: ConfigOption = None,
    db: DbOption = None,
) -> None:
    """Ask for a run of a job, now or later, or for many at once.

    The runs are created and left to the engine that is running, or starts next. Of a file, nothing is created if any
    line can't be used, unless --skip-bad says so.
    """
    own = {"delay": delay, "at": at, "priority": priority, "key": key, "expires_in": expires_in}
    place = find_place(config, db)
    if source is None:
        asking = _Asking(place, check=not no_check, as_json=as_json)
        asking.one({"job": job, "params": parse_params(param or ()), **own}, wait=wait)
        return
    given = [f"--{name.replace('_', '-')}" for name, value in {**own, "param": param, "wait": wait}.items() if value]
    if given:
        raise CommandError(f"{given[0]} says nothing with --from", "write it into the lines")
    _Asking(place, check=not no_check, as_json=as_json).many(source, job, skip_bad=skip_bad)


class _Asking:
    """One call of the command."""

    def __init__(self, place: Place, *, check: bool, as_json: bool) -> None:
        self._place = place
        self._check = check
        self._json = as_json

    def one(self, fields: dict[str, Any], *, wait: bool) -> None:
        from orchestrator.client.preparing import refusal
        from orchestrator.client.requests import read_request

        if fields["job"] is None:
            raise CommandError("no job is named", "write `orchestrator enqueue JOB`, or --from FILE")
        with Compilation(self._place.required_config()) as compilation:
            wanted = read_request(fields, datetime.now(UTC))
            prepared = self._prepare(compilation, [(1, wanted)])
        if prepared.faults:
            raise refusal(prepared.faults, alone=True)
        with opened_store(self._place, create=True) as store:
            (made,) = self._create(store, prepared, wait=wait)
            run = None
            if not self._json:
                print(created_in_words(made, wanted.asked.due_at), flush=True)
            if wait:
                run = wait_for(store, made.id or 0, quiet=self._json)
            if self._json:
                found = msgspec.to_builtins(run or read_run(store, made.id or 0), builtin_types=())
                print_json({**found, "duplicate": made.duplicate})
        if run is not None:
            raise typer.Exit(exit_status(run))

    def many(self, source: str, job: str | None, *, skip_bad: bool) -> None:
        from orchestrator.cli.request_lines import in_words, read_lines

        with Compilation(self._place.required_config()) as compilation:
            wanted, unreadable = read_lines(source, datetime.now(UTC), job)
            prepared = self._prepare(compilation, wanted)
        faults = sorted([*unreadable, *prepared.faults], key=lambda fault: fault.place)
        for line in in_words(faults):
            print(line, file=sys.stderr)
        if faults and not skip_bad:
            bad = len({fault.place for fault in faults})
            raise CommandError(
                f"{_count(bad, 'line')} can't be used; nothing was created", "--skip-bad leaves them out"
            )
        with opened_store(self._place, create=True) as store:
            made = self._create(store, prepared, wait=False)
        self._tell_many(prepared, made, faults)

    def _tell_many(self, prepared: Prepared, made: list[Created], faults: list[Fault]) -> None:
        duplicates = sum(one.duplicate for one in made)
        if self._json:
            lines = zip(prepared.places, made, strict=True)
            runs = [{"line": line, "id": one.id, "job": one.job, "duplicate": one.duplicate} for line, one in lines]
            bad = [{"line": fault.place, "message": fault.message} for fault in faults]
            print_json({"created": len(made) - duplicates, "duplicates": duplicates, "runs": runs, "bad": bad})
            return
        parts = [f"{_count(len(made) - duplicates, 'run')} created"]
        parts += [f"{_count(duplicates, 'duplicate')} ignored"] if duplicates else []
        parts += [f"{_count(len({fault.place for fault in faults}), 'line')} left out"] if faults else []
        print(", ".join(parts))

    def _prepare(self, compilation: Compilation, wanted: list[tuple[int, Wanted]]) -> Prepared:
        from orchestrator.client.checks import FreshChecker
        from orchestrator.client.preparing import prepare

        plan = require_plan(compilation.result(), sys.stderr)
        return prepare(plan, wanted, datetime.now(UTC), FreshChecker() if self._check else None)

    def _create(self, store: Store, prepared: Prepared, *, wait: bool) -> list[Created]:
        from orchestrator.store.creation import create_runs

        made = store.write(create_runs, prepared.new)
        if not wake_engines(store, datetime.now(UTC)):
            print(no_engine(self._place, wait=wait), file=sys.stderr, flush=True)
        return made


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")
