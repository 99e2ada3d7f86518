"""The options that many commands share, declared once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        metavar="FILE",
        help="The main file, or its folder [default: jobs.yaml here; also ORCHESTRATOR_CONFIG].",
        show_default=False,
    ),
]
DbOption = Annotated[
    str | None,
    typer.Option(
        "--db",
        metavar="URL",
        help="The state database, an URL or a path [default: var/orchestrator.db beside the main file; "
        "also ORCHESTRATOR_DB].",
        show_default=False,
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
RunArgument = Annotated[
    int, typer.Argument(metavar="RUN", help="The number of a run, as `runs` lists it.", min=1, max=2**63 - 1)
]
JobArgument = Annotated[str, typer.Argument(metavar="JOB", help="The name of a job.")]
ParamOption = Annotated[
    list[str] | None,
    typer.Option("--param", "-p", metavar="KEY=VALUE", help="Replace a parameter; the value is read as YAML."),
]
