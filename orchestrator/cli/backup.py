"""`orchestrator backup`: a copy of the state, taken while engines work."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from orchestrator.cli.options import ConfigOption, DbOption
from orchestrator.cli.sizes import in_bytes
from orchestrator.client.place import find_place

FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="Where to.", show_default=False)]
ForceOption = Annotated[bool, typer.Option("--force", help="Replace FILE if it is there, all at once.")]


def backup(file: FileArgument, *, force: ForceOption = False, config: ConfigOption = None, db: DbOption = None) -> None:
    """Copy the state database to a file.

    The files of large results go to the folder FILE.results. Engines may go on working. The copy is consistent, checked
    and readable by you alone. It becomes the state again when both are put in their place while no engine runs; or name
    FILE with --db.
    """
    from orchestrator.store.backup import back_up

    source = find_place(config, db).database_file()
    copied = back_up(source, file.absolute(), overwrite=force)
    results = copied.results
    print(f"{source} is copied to {file} ({in_bytes(copied.size)})")
    if results.names:
        print(f"{len(results.names)} large results are copied to {file}.results ({in_bytes(results.size)})")
    if results.forgotten:
        print(f"{results.forgotten} runs that were deleted meanwhile are in it without their large results")
    for lost in results.lost:
        print(f"warning: {lost}", file=sys.stderr)
