"""`orchestrator validate`: is the configuration right?"""

from __future__ import annotations

import sys

import msgspec
import typer

from orchestrator.cli.diagnosis import print_diagnostics
from orchestrator.cli.options import ConfigOption, JsonOption
from orchestrator.cli.tables import print_json
from orchestrator.client.compile import load_project
from orchestrator.client.compiled import Compiled
from orchestrator.client.place import find_place
from orchestrator.config.diagnostics import Diagnostic

INVALID = 2


class Validation(msgspec.Struct, frozen=True, kw_only=True):
    """What `validate --json` prints."""

    valid: bool
    usable: bool
    """Whether `orchestrator run` would start: the only errors are plugins that can't be used."""
    jobs: int
    queues: int
    callables: int
    diagnostics: list[Diagnostic]


def validate(*, as_json: JsonOption = False, config: ConfigOption = None) -> None:
    """Check the configuration.

    That is the file with all that it includes, its schedules, and every job's parameters against its callable. Every
    mistake is told at once. Exit status 0 when it is valid, 2 when it isn't.
    """
    path = find_place(config, None).required_config()
    compiled = load_project(path)
    found = _summed_up(compiled)
    if as_json:
        print_json(found)
    else:
        # With mistakes, they are the answer; without, they would be in the way of whoever pipes the answer.
        print_diagnostics(compiled.diagnostics, sys.stderr if compiled.ok else sys.stdout)
        if compiled.ok:
            parts = ", ".join(map(_count, ("job", "queue", "callable"), (found.jobs, found.queues, found.callables)))
            print(f"{path.name} is valid: {parts}")
    if not compiled.ok:
        raise typer.Exit(INVALID)


def _summed_up(compiled: Compiled) -> Validation:
    plan, inspection = compiled.plan, compiled.inspection
    return Validation(
        valid=compiled.ok,
        usable=compiled.usable,
        jobs=len(plan.declared) if plan else 0,
        queues=len(plan.queues) if plan else 0,
        callables=len(inspection.callables) if inspection else 0,
        diagnostics=compiled.diagnostics,
    )


def _count(noun: str, number: int) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
