"""`orchestrator approve`: the answer to a workflow's step that asks."""

from __future__ import annotations

import getpass
from datetime import UTC, datetime
from typing import Annotated

import typer

from orchestrator.cli.opening import opened_store, wake_engines
from orchestrator.cli.options import ConfigOption, DbOption, RunArgument
from orchestrator.client.place import find_place

RejectOption = Annotated[bool, typer.Option("--reject", help="Answer no: the step fails.")]
CommentOption = Annotated[str, typer.Option("--comment", metavar="TEXT", help="Why; kept in the step's result.")]
StepArgument = Annotated[str, typer.Argument(metavar="STEP", help="The name of the step that asks.")]
_NO_ENGINE = "; no engine is running, so the workflow goes on when `orchestrator run` starts"


def approve(
    run: RunArgument,
    step: StepArgument,
    *,
    reject: RejectOption = False,
    comment: CommentOption = "",
    config: ConfigOption = None,
    db: DbOption = None,
) -> None:
    """Answer the question of a workflow's step.

    The workflow goes on; rejected, the step fails.
    """
    from orchestrator.store import flow_answers

    now = datetime.now(UTC)
    with opened_store(find_place(config, db)) as store:
        store.write(flow_answers.answer, run, step, now, approved=not reject, by=_whoami(), comment=comment)
        heard = wake_engines(store, now)
    print(f"step {step} of run {run} is {'rejected' if reject else 'approved'}" + ("" if heard else _NO_ENGINE))


def _whoami() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "somebody"
