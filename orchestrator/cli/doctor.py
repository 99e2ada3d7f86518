"""`orchestrator doctor`: is everything as it should be, and if not, what is to be done?"""

from __future__ import annotations

from typing import Annotated

import typer

from orchestrator.cli.findings import Finding, Verdict
from orchestrator.cli.options import ConfigOption, DbOption, JsonOption
from orchestrator.cli.tables import Cell, print_json, print_table
from orchestrator.client.place import find_place

UNWELL = 1
_STYLES = {Verdict.OK: "green", Verdict.WARN: "yellow", Verdict.FAIL: "red"}
FullOption = Annotated[
    bool, typer.Option("--full", help="Check every index against its table and read every result's file: slow.")
]


def doctor(
    *, full: FullOption = False, as_json: JsonOption = False, config: ConfigOption = None, db: DbOption = None
) -> None:
    """Examine everything that jobs depend on, and say what to do.

    The configuration and its plugins, timezones, the clock, the disk and its permissions, the database, engines, runs
    that are stuck, dead letters, the files of large results. Exit status 1 if anything fails; warnings alone are 0.
    Nothing is changed.
    """
    from orchestrator.cli.doctor_machine import check_machine
    from orchestrator.cli.doctor_project import check_project
    from orchestrator.cli.doctor_state import check_state

    place = find_place(config, db)
    findings = [*check_project(place), *check_machine(place), *check_state(place, full=full)]
    if as_json:
        print_json(findings)
    else:
        print_table(("CHECK", "RESULT", "WHAT"), [_row(finding) for finding in findings])
    if any(finding.verdict is Verdict.FAIL for finding in findings):
        raise typer.Exit(UNWELL)


def _row(finding: Finding) -> list[Cell]:
    what = f"{finding.what}; {finding.mend}" if finding.mend else finding.what
    return [finding.check, (finding.verdict.value, _STYLES[finding.verdict]), what]
