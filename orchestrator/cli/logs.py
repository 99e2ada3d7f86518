"""`orchestrator logs`: what did a run print and log?"""

from __future__ import annotations

import sys
from typing import Annotated

import msgspec
import typer

from orchestrator.cli.following import Follower, OutputPrinter, follow
from orchestrator.cli.opening import opened_store
from orchestrator.cli.options import ConfigOption, DbOption, JsonOption, RunArgument
from orchestrator.cli.tables import print_json
from orchestrator.client.place import find_place
from orchestrator.core.runs import LogLine

FollowOption = Annotated[bool, typer.Option("--follow", "-f", help="Go on until the run is finished.")]


def logs(
    run: RunArgument,
    *,
    follow_it: FollowOption = False,
    as_json: JsonOption = False,
    config: ConfigOption = None,
    db: DbOption = None,
) -> None:
    """Print a run's output.

    With `--follow --json`, one JSON object a line.
    """
    with opened_store(find_place(config, db)) as store:
        if follow_it and as_json:
            follow(store, run, _print_json_line)
            return
        printer = OutputPrinter()
        if follow_it:
            follow(store, run, printer.show)
        else:
            _, pieces = Follower(store, run).look()
            if as_json:
                print_json(pieces)
                return
            for piece in pieces:
                printer.show(piece)
        printer.finish()


def _print_json_line(piece: LogLine) -> None:
    sys.stdout.write(msgspec.json.encode(piece).decode() + "\n")
    sys.stdout.flush()
