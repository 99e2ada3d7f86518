"""`orchestrator init`: where does a new project start? With a job that works."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from orchestrator.cli.errors import CommandError
from orchestrator.client.place import DEFAULT_CONFIG

FolderArgument = Annotated[Path, typer.Argument(metavar="FOLDER", help="Where; it is made if need be.")]

_JOBS = """\
# yaml-language-server: $schema=schemas/jobs.schema.json
version: 1
timezone: UTC                    # of every schedule below, such as Europe/Berlin
plugins: [plugins]               # folders of Python files; their functions are what jobs call

defaults:
  timeout: 1m
  retry: {max_attempts: 3, delay: 2s}

jobs:
  hello:
    description: A first job, which greets whom its parameters name.
    call: hello.greet            # plugins/hello.py, function greet
    every: 10 seconds            # or  cron: "0 9 * * 1"
    params: {name: world}
"""

_PLUGIN = '''\
"""The first plugin: every function here can be what a job in jobs.yaml calls."""

from orchestrator import Context, job


@job
def greet(name: str, context: Context) -> str:
    """Greet somebody. What is returned is kept as the run's result."""
    context.log.info("hello, %s: this is run %s", name, context.run_id)
    return f"hello, {name}"
'''

_GITIGNORE = """\
/var/
__pycache__/
"""
_FILES = {DEFAULT_CONFIG: _JOBS, "plugins/hello.py": _PLUGIN}
_SCHEMA = "schemas/jobs.schema.json"


def init(folder: FolderArgument = Path()) -> None:
    """Make a new project with a first job. Nothing that exists is overwritten."""
    from orchestrator.config.schema import schema_text

    files = {**_FILES, _SCHEMA: schema_text()}
    taken = [name for name in files if (folder / name).exists()]
    if taken:
        raise CommandError(f"{folder.absolute()} has {_listed(taken)} already", "choose another folder")
    if not (folder / ".gitignore").exists():
        files[".gitignore"] = _GITIGNORE
    _write(folder, files)
    print(f"made {_listed(list(files))} in {folder.absolute()}\n\nnext:")
    if folder != Path():
        print(f"  cd {shlex.quote(str(folder))}")
    print("  orchestrator validate\n  orchestrator run")


def _write(folder: Path, files: dict[str, str]) -> None:
    try:
        for name, text in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise CommandError(f"can't write {error.filename}: {error.strerror}") from None


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
