"""`orchestrator run`: work, until told to stop."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from orchestrator.cli.errors import CommandError
from orchestrator.cli.options import ConfigOption, DbOption, ParamOption
from orchestrator.cli.params import parse_params


class LogFormat(StrEnum):
    """How events are printed."""

    TEXT = "text"
    JSON = "json"


OnceOption = Annotated[
    str | None,
    typer.Option(metavar="JOB", help="Execute one run of this job now, in the foreground, and exit with its outcome."),
]
LogFormatOption = Annotated[
    LogFormat,
    typer.Option(metavar="FORMAT", help="How events are printed: `text` for people, or `json`, an object a line."),
]
NoWatchOption = Annotated[
    bool,
    typer.Option("--no-watch", help="Don't apply edits by themselves: only on SIGHUP and `orchestrator reload`."),
]


def run(
    once: OnceOption = None,
    param: ParamOption = None,
    log_format: LogFormatOption = LogFormat.TEXT,
    *,
    no_watch: NoWatchOption = False,
    config: ConfigOption = None,
    db: DbOption = None,
) -> None:
    """Start the engine.

    It fires the jobs' schedules and executes their runs until SIGTERM or Ctrl-C.

    The first signal stops gracefully: what runs may finish within `shutdown_grace`. The second one hurries: what runs
    is interrupted and goes back to the queue. What comes within half a second of the first is the same wish.

    An edit of the configuration or of a plugin is applied within two seconds; one with mistakes changes nothing.
    """
    if once is not None:
        from orchestrator.cli.once import run_once_here

        raise typer.Exit(run_once_here(config, db, once, parse_params(param or ()), log_format.value))
    if param:
        raise CommandError("--param is for `run --once JOB`")
    from orchestrator.cli.serve import serve

    raise typer.Exit(serve(config, db, log_format.value, watch=not no_watch))
