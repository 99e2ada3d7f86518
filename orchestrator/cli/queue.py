"""`orchestrator queue`: look at a queue, hold it back, empty it, forget it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli.followers import followers_of
from orchestrator.cli.opening import opened_store, wake_engines
from orchestrator.cli.options import ConfigOption, DbOption, JsonOption
from orchestrator.cli.queue_views import QueueArgument, all_reports, list_queues, named_report, show_queue
from orchestrator.cli.run_selection import YesOption, confirm, counted
from orchestrator.cli.tables import print_json
from orchestrator.client.place import Place, find_place
from orchestrator.core.errors import ConflictError
from orchestrator.core.runs import RunState

if TYPE_CHECKING:
    from orchestrator.store.following import Followers
    from orchestrator.store.store import Store

KEEP_FIRES = timedelta(minutes=5)
"""Younger fires keep their record: it tells an engine that fell behind that they were served."""
DelayedOption = Annotated[bool, typer.Option("--delayed", help="Also those that are due later.")]
ForceOption = Annotated[bool, typer.Option("--force", help="Even while runs are running: they are asked to stop.")]

queue = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Look at queues, hold them back, empty them.")
queue.command("list")(list_queues)
queue.command("show")(show_queue)


@queue.command("pause")
def pause(name: QueueArgument, config: ConfigOption = None, db: DbOption = None) -> None:
    """Hold a queue back until it is resumed.

    Nothing of it starts; what runs already goes on, and what is created waits.
    """
    from orchestrator.store import pauses

    place, now = find_place(config, db), datetime.now(UTC)
    _check_name(place, name, now)
    with opened_store(place, create=place.config.is_file()) as store:
        changed = store.write(pauses.pause_queue, name, now)
        wake_engines(store, now)
    print(f"queue {name} is paused" if changed else f"queue {name} was paused already")


@queue.command("resume")
def resume(name: QueueArgument, config: ConfigOption = None, db: DbOption = None) -> None:
    """Let a paused queue go on."""
    from orchestrator.store import pauses

    place, now = find_place(config, db), datetime.now(UTC)
    _check_name(place, name, now)
    with opened_store(place, create=place.config.is_file()) as store:
        changed = store.write(pauses.resume_queue, name)
        wake_engines(store, now)
    print(f"queue {name} is resumed" if changed else f"queue {name} was not paused")


@queue.command("drain")
def drain(
    name: QueueArgument,
    *,
    delayed: DelayedOption = False,
    yes: YesOption = False,
    as_json: JsonOption = False,
    config: ConfigOption = None,
    db: DbOption = None,
) -> None:
    """Cancel everything that waits in a queue.

    What runs goes on. Jobs that run `after` the end of what is cancelled follow. On a terminal you are asked first.
    """
    from orchestrator.store import queues

    place, now = find_place(config, db), datetime.now(UTC)
    _check_name(place, name, now)
    with opened_store(place) as store:
        if waiting := store.read(queues.count_waiting, name, delayed=delayed):
            confirm(f"Cancel {counted(waiting)} that {_verb(waiting, 'wait')} in queue {name}?", yes=yes)
        cancelled = _drain(store, name, followers_of(place, RunState.CANCELLED, now), delayed=delayed)
        wake_engines(store, now)
    if as_json:
        print_json({"cancelled": cancelled})
    else:
        print(f"{counted(cancelled)} cancelled")


@queue.command("obliterate")
def obliterate(
    name: QueueArgument,
    *,
    force: ForceOption = False,
    yes: YesOption = False,
    as_json: JsonOption = False,
    config: ConfigOption = None,
    db: DbOption = None,
) -> None:
    """Cancel everything that waits in a queue and delete its history: finished runs with their logs and results.

    Refused while runs are running, unless forced: then they are asked to stop, and keep their records. On a terminal
    you are asked first.
    """
    from orchestrator.store import queues
    from orchestrator.store.following import nothing_follows

    place, now = find_place(config, db), datetime.now(UTC)
    _check_name(place, name, now)
    with opened_store(place) as store:
        running = store.read(queues.count_running, name)
        if running and not force:
            raise ConflictError(
                f"{counted(running)} of queue {name} {_verb(running, 'is', 'are')} running; "
                f"`orchestrator queue pause {name}` lets them end first, --force asks them to stop"
            )
        confirm(f"Forget all that queue {name} has done, and cancel what waits in it?", yes=yes)
        asked = store.write(queues.ask_to_stop, name) if running else 0
        cancelled = _drain(store, name, nothing_follows, delayed=True)
        deleted, kept = _forget(store, name, now)
        wake_engines(store, now)
    _tell(deleted, cancelled, asked, kept, as_json=as_json)


def _tell(deleted: int, cancelled: int, asked: int, kept: int, *, as_json: bool) -> None:
    if as_json:
        print_json({"deleted": deleted, "cancelled": cancelled, "asked_to_stop": asked, "kept": kept})
        return
    said = [f"{counted(deleted)} deleted" + (f", {cancelled} of them cancelled first" if cancelled else "")]
    if asked:
        said.append(f"{counted(asked)} asked to stop")
    if kept:
        said.append(f"{counted(kept)} kept: fires of the last minutes, which engines may still ask for")
    print("; ".join(said))


def _drain(store: Store, name: str, followers: Followers, *, delayed: bool) -> int:
    """Until nothing is left of what was there at the beginning."""
    from orchestrator.store import queues

    up_to = store.read(queues.newest_id)
    cancelled = 0
    while some := store.write(queues.drain, name, up_to, datetime.now(UTC), followers, delayed=delayed):
        cancelled += some
    return cancelled


def _forget(store: Store, name: str, now: datetime) -> tuple[int, int]:
    from orchestrator.core.result_files import delete
    from orchestrator.store import queues

    up_to = store.read(queues.newest_id)
    deleted = kept = 0
    position: int | None = 0
    while position is not None:
        forgotten = store.write(queues.forget, name, position, up_to, now - KEEP_FIRES)
        delete(store.database.results, forgotten.files)
        deleted += forgotten.deleted
        kept += forgotten.kept
        position = forgotten.position
    return deleted, kept


def _check_name(place: Place, name: str, now: datetime) -> None:
    """Refuse a queue that neither jobs.yaml nor the store knows. Raises `CommandError`."""
    named_report(all_reports(place, now), name)


def _verb(count: int, one: str, many: str | None = None) -> str:
    if many is None:
        return f"{one}s" if count == 1 else one
    return one if count == 1 else many
