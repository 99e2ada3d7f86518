"""How something is asked of one run or of many: in some transactions, each fenced by state; and what is said of it."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec
import typer

from orchestrator.cli.opening import opened_store, wake_engines
from orchestrator.cli.run_selection import Selection, confirm, counted
from orchestrator.cli.tables import print_json
from orchestrator.client.place import Place
from orchestrator.core.errors import ConflictError, NotFoundError, OrchestratorError
from orchestrator.core.runs import Run, RunState

if TYPE_CHECKING:
    from orchestrator.store.store import Store

NO_ENGINE = "no engine is running, so it waits until `orchestrator run` starts"
AT_ONCE = 500
"""Runs in one transaction: engines write between two of them."""
SHOWN = 20
REFUSED = 1

Change = Callable[["Store", Sequence[int]], Mapping[int, RunState]]
"""Changes some runs in one transaction; gives those for which something was done, with the states they are left in."""
Beginning = Callable[[Place], Change]
"""Learns what has to be known of the project before anything is changed."""


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """What can be asked of runs."""

    verb: str
    done: Mapping[RunState, tuple[str, str]]
    """What to say of one run, and of several, by the state that they are left in."""
    possible: Sequence[RunState]
    usual: Sequence[RunState]
    """What a filter means that names no state."""
    refusal: str = ""
    retries: bool = False
    """There is more to a refusal than the state that a run is in."""
    starts: bool = False
    """It is done so that they start, for which an engine is needed."""


class Manner(msgspec.Struct, frozen=True, kw_only=True):
    """How it is to be done."""

    dry_run: bool
    yes: bool
    as_json: bool


class _Answer(msgspec.Struct, kw_only=True):
    """What `--json` prints."""

    changed: dict[int, RunState]
    refused: dict[int, str]


def ask(place: Place, wish: Wish, chosen: Selection, begin: Beginning, manner: Manner) -> None:
    """Do it, and tell. Raises `ConflictError` or `NotFoundError` where nothing could be done for the only run named."""
    now = datetime.now(UTC)
    with opened_store(place) as store:
        meant = chosen.find(store, wish.possible, wish.usual, now)
        if manner.dry_run:
            _show(store, meant, as_json=manner.as_json)
            return
        if meant and not chosen.by_number:
            confirm(f"{wish.verb} {counted(len(meant))}?", yes=manner.yes)
        change = begin(place)
        answer = _Answer(changed={}, refused={})
        for start in range(0, len(meant), AT_ONCE):
            answer.changed.update(change(store, meant[start : start + AT_ONCE]))
        errors = _refusals(store, wish, [run_id for run_id in meant if run_id not in answer.changed], chosen)
        heard = wake_engines(store, now) if answer.changed else True
    answer.refused = {run_id: str(error) for run_id, error in errors.items()}
    _tell(wish, answer, errors, heard=heard, as_json=manner.as_json)


def _refusals(store: Store, wish: Wish, run_ids: Sequence[int], chosen: Selection) -> dict[int, OrchestratorError]:
    """Why nothing was done for runs that were named. Of those that a filter found, nobody misses one that has changed
    meanwhile."""
    from orchestrator.store import queries

    if not (run_ids and chosen.by_number):
        return {}
    found = store.read(queries.get_runs, run_ids)
    return {run_id: _refusal(wish, run_id, found.get(run_id)) for run_id in run_ids}


def _refusal(wish: Wish, run_id: int, run: Run | None) -> OrchestratorError:
    from orchestrator.store.flow_places import refuse_retry

    if run is None:
        return NotFoundError(f"there is no run {run_id}; `orchestrator runs` lists them")
    if wish.retries:
        return refuse_retry(run_id, run.state, run.flow_id, run.step)
    return ConflictError(f"run {run_id} is {run.state.value}: {wish.refusal}")


def _show(store: Store, run_ids: Sequence[int], *, as_json: bool) -> None:
    from orchestrator.cli.runs import print_runs
    from orchestrator.store import queries

    if as_json:
        print_json({"runs": run_ids})
        return
    some = store.read(queries.get_runs, run_ids[:SHOWN])
    print_runs([some[run_id] for run_id in sorted(some)], "no such runs")
    if len(run_ids) > len(some):
        print(f"and {len(run_ids) - len(some)} more: --json shows them all")


def _tell(wish: Wish, answer: _Answer, errors: Mapping[int, OrchestratorError], *, heard: bool, as_json: bool) -> None:
    if as_json:
        print_json(answer)
    elif len(answer.changed) + len(errors) == 1:
        for error in errors.values():
            raise error
        ((run_id, state),) = answer.changed.items()
        print(f"run {run_id} {wish.done[state][0]}" + _waiting(wish, heard=heard))
    else:
        by_state = Counter(answer.changed.values())
        said = [f"{counted(count)} {wish.done[state][count > 1]}" for state, count in by_state.items()]
        print((", ".join(said) or "nothing to do") + _waiting(wish, heard=heard))
        for error in errors.values():
            print(error, file=sys.stderr)
    if errors:
        raise typer.Exit(REFUSED)


def _waiting(wish: Wish, *, heard: bool) -> str:
    return f"; {NO_ENGINE}" if wish.starts and not heard else ""
