"""`orchestrator notify`: does a message reach those it is meant for?"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli.errors import CommandError
from orchestrator.cli.options import ConfigOption, DbOption
from orchestrator.core.hooks import RunEvent

if TYPE_CHECKING:
    from orchestrator.core.plan import Plan

TargetArgument = Annotated[str, typer.Argument(metavar="TARGET", help="The name of a notifier.")]
TestOption = Annotated[bool, typer.Option("--test", help="Send a message that says that it is a test.")]


def notify(
    target: TargetArgument, *, test: TestOption = False, config: ConfigOption = None, db: DbOption = None
) -> None:
    """Send a test message, at once and from here.

    No engine is needed. It is a run like any other: its output and its outcome are printed, and kept.
    """
    import msgspec

    from orchestrator.cli.once import run_once_here

    if not test:
        raise CommandError("there is nothing to send", "--test sends a message that says that it is a test")
    event = RunEvent(kind="test", job="orchestrator", at=datetime.now(UTC).isoformat(), reason="this is a test")
    told = msgspec.to_builtins(event)
    params = {"event": told, "events": [told], "count": 1}
    code = run_once_here(config, db, lambda plan: delivery_of(plan, target), params, "text", check=False)
    if code:
        raise typer.Exit(code)


def delivery_of(plan: Plan, target: str) -> str:
    """The job that delivers to a notifier. Raises `CommandError`."""
    import difflib

    if target in plan.notifiers:
        return plan.notifiers[target].delivery
    close = difflib.get_close_matches(target, plan.notifiers, n=1)
    known = ", ".join(plan.notifiers) or "none: declare one under `notifiers`"
    hint = f"did you mean {close[0]}?" if close else f"there is {known}"
    raise CommandError(f"there is no notifier {target!r} in {plan.path}", hint)
