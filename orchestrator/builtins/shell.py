"""`shell`: runs a program or a line of shell, and fails when it does."""

from __future__ import annotations

import json as json_text
import os
import signal
from typing import Annotated, Any

from orchestrator.builtins.checked import Checked
from orchestrator.builtins.command import Command
from orchestrator.core.units import format_size
from orchestrator.plugins.api import Context, GiveUp, Retry, Size, job

_SHELL = ("/bin/sh", "-c")
_MESSAGE = 1500
"""Characters of stderr that a failure's message quotes, from the end."""
_JSON_LIMIT = 2**20


class CommandFailed(Exception):  # noqa: N818 - reads as what happened
    """The command ended with a status that `ok_codes` doesn't name. `code` is the status, or a signal's negative."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


def _command(value: str | list[str]) -> str | list[str]:
    if not value or not (value.strip() if isinstance(value, str) else value[0]):
        raise ValueError("is empty: write a line of shell, or a list of a program and its arguments")
    if any("\0" in part for part in ([value] if isinstance(value, str) else value)):
        raise ValueError("holds a zero byte, which no program can be given")
    return value


@job("shell")
def shell(
    command: Annotated[str | list[str], Checked(_command, "str | list[str]")],
    ctx: Context,
    cwd: str | None = None,
    env: dict[str, str] | None = None,
    stdin: str | None = None,
    ok_codes: list[int] = [0],  # noqa: B006 - shown to people as the default, and never changed
    retry_codes: list[int] = [],  # noqa: B006
    json: bool = False,  # noqa: FBT001, FBT002 - given by name
    keep: Size = 16 * 1024,
) -> Any:
    """Run a line of shell (text), or a program with its arguments (a list, which no shell reads).

    The result is `{code, stdout}` with the last `keep` bytes of the output; with `json: true` it is the output, read
    as JSON. Other statuses than `ok_codes` fail; `retry_codes` ask for another attempt whatever the retry policy names.
    """
    argv = [*_SHELL, command] if isinstance(command, str) else command
    run = Command(argv, cwd, {**os.environ, **_about(ctx), **(env or {})}, (stdin or "").encode())
    run.keep(out=max(keep, _JSON_LIMIT) if json else keep, err=4 * _MESSAGE)
    code = run.run(ctx)
    if code in retry_codes:
        raise Retry(_words(code, run.err.tail))
    if code not in ok_codes:
        raise CommandFailed(_words(code, run.err.tail), code)
    return _parsed(run) if json else {"code": code, "stdout": run.out.tail}


def _about(ctx: Context) -> dict[str, str]:
    """The run, for the command to read. Values come by the environment, never as part of a text that a shell reads."""
    found = {
        "ORCHESTRATOR_JOB": ctx.job,
        "ORCHESTRATOR_RUN_ID": str(ctx.run_id),
        "ORCHESTRATOR_ATTEMPT": str(ctx.attempt),
    }
    return found | ({"ORCHESTRATOR_FIRE_TIME": ctx.fire_time.isoformat()} if ctx.fire_time else {})


def _words(code: int, said: str) -> str:
    ended = f"exit status {code}" if code >= 0 else f"killed by {_signal(-code)}"
    end = said.strip()[-_MESSAGE:]
    return f"{ended}: {end}" if end else ended


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _parsed(run: Command) -> Any:
    if run.out.size > _JSON_LIMIT:
        raise GiveUp(
            f"its output has {format_size(run.out.size)}: as JSON, at most {format_size(_JSON_LIMIT)} are read"
        )
    try:
        return json_text.loads(run.out.tail)
    except ValueError as error:
        raise ValueError(f"its output is not JSON: {error}") from None
