"""`orchestrator retry`, `cancel`, `promote` and `reprioritise`: what a person asks of runs."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestrator.cli.followers import followers_of
from orchestrator.cli.options import ConfigOption, DbOption, JsonOption
from orchestrator.cli.run_selection import (
    AllOption,
    DryRunOption,
    JobsOption,
    KeysOption,
    QueuesOption,
    RunsArgument,
    Selection,
    SinceOption,
    StatesOption,
    UntilOption,
    YesOption,
)
from orchestrator.cli.wishing import Beginning, Change, Manner, Wish, ask
from orchestrator.client.place import Place, find_place
from orchestrator.core.runs import ACTIVE, RunState

if TYPE_CHECKING:
    from orchestrator.store.store import Store

_FINISHED = [state for state in RunState if state.finished]
_UNSTARTED = [RunState.WAITING, RunState.SCHEDULED, RunState.QUEUED]
FromOption = Annotated[
    str | None, typer.Option("--from", metavar="STEP", help="Of a workflow: start over with this step, too.")
]
PriorityOption = Annotated[int, typer.Option("--priority", "-p", metavar="N", min=0, max=9, help="0 to 9.")]

_RETRY = Wish(
    verb="Queue",
    done={
        RunState.QUEUED: ("is queued again", "are queued again"),
        RunState.WAITING: ("goes on where it ended", "go on where they ended"),
        RunState.SUCCEEDED: ("has succeeded", "have succeeded"),
    },
    possible=_FINISHED,
    usual=[RunState.FAILED],
    retries=True,
    starts=True,
)
_CANCEL = Wish(
    verb="Cancel",
    done={
        RunState.CANCELLED: ("is cancelled", "are cancelled"),
        RunState.RUNNING: ("has been asked to stop", "have been asked to stop"),
        RunState.WAITING: ("stops with its steps", "stop with their steps"),
    },
    possible=sorted(ACTIVE),
    usual=sorted(ACTIVE),
    refusal="there is nothing to cancel",
)
_PROMOTE = Wish(
    verb="Make due",
    done={RunState.QUEUED: ("is due now", "are due now")},
    possible=[RunState.SCHEDULED],
    usual=[RunState.SCHEDULED],
    refusal="only a scheduled run can be promoted",
    starts=True,
)
_REPRIORITISE = Wish(
    verb="Reprioritise",
    done=dict.fromkeys(_UNSTARTED, ("is reprioritised", "are reprioritised")),
    possible=_UNSTARTED,
    usual=_UNSTARTED,
    refusal="only what waits can be reprioritised",
)


def _asking(wish: Wish) -> Callable[[Callable[..., Change]], Callable[..., None]]:
    """Makes a command of a function that gives the change: its options are the function's own, and those that choose
    runs."""

    def decorate(change: Callable[..., Change]) -> Callable[..., None]:
        own = list(inspect.signature(change, eval_str=True).parameters.values())[1:]
        choosing = list(inspect.signature(_choose, eval_str=True).parameters.values())[2:]

        def command(*runs: Any, **options: Any) -> None:
            given = {option.name: options.pop(option.name) for option in own}
            _choose(wish, partial(change, **given), *runs, **options)

        command.__signature__ = inspect.Signature([choosing[0], *own, *choosing[1:]])  # type: ignore[attr-defined]
        command.__annotations__ = {option.name: option.annotation for option in (*own, *choosing)}
        command.__doc__ = change.__doc__
        return command

    return decorate


def _choose(
    wish: Wish,
    begin: Beginning,
    runs: RunsArgument = None,
    *,
    job: JobsOption = None,
    queue: QueuesOption = None,
    state: StatesOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    key: KeysOption = None,
    everything: AllOption = False,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    as_json: JsonOption = False,
    config: ConfigOption = None,
    db: DbOption = None,
) -> None:
    filters = {"jobs": job, "queues": queue, "states": state, "since": since, "until": until, "keys": key}
    chosen = Selection(run_ids=runs, everything=everything, **filters)  # type: ignore[arg-type]
    ask(find_place(config, db), wish, chosen, begin, Manner(dry_run=dry_run, yes=yes, as_json=as_json))


@_asking(_RETRY)
def retry(_place: Place, *, step: FromOption = None) -> Change:
    """Queue finished runs again.

    They have all their attempts ahead of them; the earlier ones stay in their history. A workflow goes on where it
    failed: steps that succeeded are kept, unless they need the step that `--from` names. A filter without --state means
    failed runs.
    """
    from orchestrator.store import flow_retries, requests

    if step is None:
        return lambda store, run_ids: store.write(requests.retry_many, run_ids, datetime.now(UTC))
    return lambda store, run_ids: store.write(flow_retries.retry_flows, run_ids, datetime.now(UTC), step)


@_asking(_CANCEL)
def cancel(place: Place) -> Change:
    """Cancel runs.

    Those that wait, at once; those that run are asked to stop, and stopped after their job's grace. Jobs that run
    `after` their end follow. One run of a batch can't be stopped, but isn't tried again. A workflow with all its steps;
    those under `finally` still run, unless it is cancelled once more.
    """
    from orchestrator.store import queries, requests

    followers = followers_of(place, RunState.CANCELLED, datetime.now(UTC))

    def change(store: Store, run_ids: Sequence[int]) -> dict[int, RunState]:
        left_in = store.write(requests.cancel_many, run_ids, datetime.now(UTC), followers)
        asked = [run_id for run_id, state in left_in.items() if state is RunState.RUNNING]
        for run_id, leader in store.read(queries.batches_of, asked).items():
            text = f"run {run_id} is worked off in one call with run {leader}, which goes on; it is not tried again"
            typer.echo(text, err=True)
        return left_in

    return change


@_asking(_PROMOTE)
def promote(_place: Place) -> Change:
    """Make scheduled runs due now.

    Delayed ones, and those that wait to be tried again.
    """
    from orchestrator.store import requests

    return lambda store, run_ids: store.write(requests.promote, run_ids, datetime.now(UTC))


@_asking(_REPRIORITISE)
def reprioritise(place: Place, *, priority: PriorityOption) -> Change:
    """Give runs that wait another priority.

    What they have waited so far goes on counting.
    """
    from orchestrator.store import requests

    agings = _agings(place)
    return lambda store, run_ids: store.write(requests.reprioritise, run_ids, priority, agings)


def _agings(place: Place) -> dict[str, timedelta]:
    """What a level of priority weighs in each queue, by the file as it is now. Raises `CommandError`."""
    from orchestrator.cli.diagnosis import require_plan
    from orchestrator.client.compile import load_project

    plan = require_plan(load_project(place.required_config(), inspect=False), sys.stderr)
    return {queue.name: queue.aging for queue in plan.queues.values()}
