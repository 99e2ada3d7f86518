"""`orchestrator events`: what happens to runs, now or lately, in order."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from orchestrator.cli.errors import CommandError
from orchestrator.cli.opening import opened_store
from orchestrator.cli.options import ConfigOption, DbOption
from orchestrator.cli.run_views import first_line, progress_text
from orchestrator.cli.times import exact, parse_when
from orchestrator.client.place import find_place

if TYPE_CHECKING:
    from orchestrator.client.events import RunEvent
    from orchestrator.client.stream import EventStream, Since

LATELY = timedelta(hours=1)


def events(
    *,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what comes.")] = False,
    job: Annotated[
        list[str] | None, typer.Option("--job", "-j", metavar="JOB", help="Only of this job; may be repeated.")
    ] = None,
    run: Annotated[int | None, typer.Option("--run", metavar="RUN", help="Only of this run, to its end.")] = None,
    since: Annotated[
        str | None,
        typer.Option(
            "--since",
            metavar="RUN|TIME",
            help="Of runs after this one, or created since then: 90s, 1h, 2025-11-24T09:30. By default the last hour "
            "or, with -f, now.",
        ),
    ] = None,
    resume: Annotated[
        Path | None,
        typer.Option("--resume", metavar="FILE", help="Go on where the last `events --resume FILE` ended."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object on each line, for programs.")] = False,
    config: ConfigOption = None,
    db: DbOption = None,
) -> None:
    """What happens to runs, from their creation to their end.

    Each event is printed once, and those of a run in their order. They are derived from the runs themselves, so
    nothing is lost while nobody listens, as long as the history is kept.
    """
    from orchestrator.client.stream import EventStream
    from orchestrator.store.activity import Scope

    if since is not None and resume is not None:
        raise CommandError("--since and --resume are two places to begin", "give one of them")
    with opened_store(find_place(config, db)) as store:
        start = _since(since, resume, follow=follow, one=run is not None)
        stream = EventStream(lambda: store, Scope(tuple(job or ()), run), start, follow=follow)
        for event in stream:
            print(_json(event) if as_json else _line(event), flush=True)
            if resume is not None and not stream.has_more:
                _keep(stream, resume)
        if resume is not None:
            _keep(stream, resume)


def _since(written: str | None, resume: Path | None, *, follow: bool, one: bool) -> Since:
    now = datetime.now(UTC)
    if resume is not None and resume.is_file():
        return resume.read_text("utf-8").strip()
    if written is not None:
        return int(written) if written.isdecimal() else parse_when(written, now)
    return None if follow or one else now - LATELY


def _keep(stream: EventStream, resume: Path) -> None:
    """The old position or the new one, whatever happens meanwhile."""
    draft = resume.with_name(f"{resume.name}.new")
    draft.write_text(stream.position + "\n", "utf-8")
    os.replace(draft, resume)  # noqa: PTH105


def _json(event: RunEvent) -> str:
    return msgspec.json.encode(event).decode()


def _line(event: RunEvent) -> str:
    parts = [f"{exact(event.at)}  {event.what.value:<9}  run {event.run_id} of {event.job}"]
    if event.attempt is not None:
        parts.append(f"attempt {event.attempt}")
    if event.done is not None:
        parts.append(progress_text(event.done, event.total))
    if event.due_at is not None:
        parts.append(f"due {exact(event.due_at)}")
    return ", ".join(parts) + (f": {first_line(event.reason)}" if event.reason else "")
