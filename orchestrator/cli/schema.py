"""`orchestrator schema`: the JSON Schema with which an editor completes and checks jobs.yaml."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from orchestrator.cli.errors import CommandError

OutputOption = Annotated[
    Path, typer.Option("--output", "-o", metavar="FILE", help="Where to write it; `-` means standard output.")
]
CheckOption = Annotated[bool, typer.Option("--check", help="Write nothing; fail if the file isn't up to date.")]


def schema(*, output: OutputOption = Path("schemas/jobs.schema.json"), check: CheckOption = False) -> None:
    """Write the JSON Schema of jobs.yaml."""
    from orchestrator.config.schema import schema_text

    text = schema_text()
    if str(output) == "-":
        print(text, end="")
    elif check:
        _compare(output, text)
    else:
        try:
            output.parent.mkdir(parents=True, exist_ok=True)
            output.write_text(text, encoding="utf-8")
        except OSError as error:
            raise CommandError(f"can't write {output}: {error.strerror}") from None
        print(f"wrote {output}")


def _compare(output: Path, text: str) -> None:
    try:
        written = output.read_text(encoding="utf-8")
    except OSError as error:
        raise CommandError(f"can't read {output}: {error.strerror}", "`orchestrator schema` writes it") from None
    if written != text:
        print(f"{output} is not up to date; `orchestrator schema` writes it")
        raise typer.Exit(1)
    print(f"{output} is up to date")
