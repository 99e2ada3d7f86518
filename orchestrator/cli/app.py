"""The commands, in the order in which a new user meets them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from orchestrator import __version__
from orchestrator.cli.approve import approve
from orchestrator.cli.backfill import backfill
from orchestrator.cli.backup import backup
from orchestrator.cli.dead import dead
from orchestrator.cli.doctor import doctor
from orchestrator.cli.enqueue import enqueue
from orchestrator.cli.events import events
from orchestrator.cli.explain import explain
from orchestrator.cli.graph import graph
from orchestrator.cli.init import init
from orchestrator.cli.jobs import jobs, next_fires
from orchestrator.cli.logs import logs
from orchestrator.cli.notify import notify
from orchestrator.cli.pauses import pause, resume
from orchestrator.cli.plugins import plugins
from orchestrator.cli.queue import queue
from orchestrator.cli.reload import reload
from orchestrator.cli.result import result
from orchestrator.cli.run import run
from orchestrator.cli.run_requests import cancel, promote, reprioritise, retry
from orchestrator.cli.runs import runs
from orchestrator.cli.schema import schema
from orchestrator.cli.show import show
from orchestrator.cli.simulate import simulate
from orchestrator.cli.status import status
from orchestrator.cli.trigger import trigger
from orchestrator.cli.validate import validate
from orchestrator.client.place import CONFIG_VARIABLE, DATABASE_VARIABLE

COMMANDS = {
    "init": init,
    "validate": validate,
    "run": run,
    "reload": reload,
    "status": status,
    "jobs": jobs,
    "next": next_fires,
    "graph": graph,
    "explain": explain,
    "simulate": simulate,
    "trigger": trigger,
    "enqueue": enqueue,
    "backfill": backfill,
    "runs": runs,
    "show": show,
    "result": result,
    "logs": logs,
    "events": events,
    "retry": retry,
    "cancel": cancel,
    "promote": promote,
    "reprioritise": reprioritise,
    "approve": approve,
    "pause": pause,
    "resume": resume,
    "notify": notify,
    "plugins": plugins,
    "schema": schema,
    "doctor": doctor,
    "backup": backup,
}
GROUPS = {"queue": queue, "dead": dead}

app = typer.Typer(
    name="orchestrator",
    no_args_is_help=True,
    # Plain help and errors: whole in a pipe, readable in any terminal, and there without loading rich.
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
for name, command in COMMANDS.items():
    app.command(name)(command)  # type: ignore[type-var]
for name, group in GROUPS.items():
    app.add_typer(group, name=name)


def _print_version(wanted: bool) -> None:  # noqa: FBT001 - typer calls it
    if wanted:
        print(f"orchestrator {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    context: typer.Context,
    config: Annotated[
        Path | None,
        typer.Option(
            "--config", "-c", metavar="FILE", envvar=CONFIG_VARIABLE, help="As the commands' own.", show_default=False
        ),
    ] = None,
    db: Annotated[
        str | None,
        typer.Option("--db", metavar="URL", envvar=DATABASE_VARIABLE, help="As the commands' own.", show_default=False),
    ] = None,
    *,
    _version: Annotated[
        bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    """Declarative jobs: schedules, queues, retries and timeouts from jobs.yaml, with no server.

    Exit status: 0 done; 1 the run failed or the request was refused; 2 the configuration or the command is wrong;
    3 the state database can't be used; 4 the system gives no file descriptors; 130 interrupted.
    """
    given = {"config": config, "db": db}
    defaults = {key: value for key, value in given.items() if value is not None}
    grouped = {
        name: {command.name: defaults for command in group.registered_commands} for name, group in GROUPS.items()
    }
    context.default_map = {**dict.fromkeys(COMMANDS, defaults), **grouped}
