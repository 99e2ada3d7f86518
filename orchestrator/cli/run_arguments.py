"""Is this a plain `orchestrator run`? Then the engine can start without typer, which brings pydantic with it:
a tenth of a second, and memory that the engine's process would keep for as long as it lives.

Only what is understood completely is answered here; anything else (`--help`, `--once`, a typo) is left to typer, where
the same options are declared.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from orchestrator.client.place import CONFIG_VARIABLE, DATABASE_VARIABLE

NO_WATCH = "--no-watch"
LOG_FORMATS = ("text", "json")
_GLOBAL = {"--config": "config", "-c": "config", "--db": "database"}
_OPTIONS = {**_GLOBAL, "--log-format": "log_format"}


class RunArguments(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked for; None where the default holds."""

    config: Path | None = None
    database: str | None = None
    log_format: str = "text"
    watch: bool = True


def read_run_arguments(arguments: Sequence[str], environment: Mapping[str, str]) -> RunArguments | None:
    """The arguments of `run`, or None if typer should have a look."""
    if "run" not in arguments:
        return None
    found: dict[str, str] = {
        field: value
        for field, variable in (("config", CONFIG_VARIABLE), ("database", DATABASE_VARIABLE))
        if (value := environment.get(variable))
    }
    command_seen, watch = False, True
    rest = iter(arguments)
    for argument in rest:
        if argument == "run" and not command_seen:
            command_seen = True
            continue
        if argument == NO_WATCH and command_seen:
            watch = False
            continue
        option = _read_option(argument, rest, _OPTIONS if command_seen else _GLOBAL)
        if option is None:
            return None
        found.update([option])
    if not command_seen or found.get("log_format", "text") not in LOG_FORMATS:
        return None
    config = found.get("config")
    return RunArguments(
        config=Path(config) if config else None,
        database=found.get("database"),
        log_format=found.get("log_format", "text"),
        watch=watch,
    )


def _read_option(argument: str, rest: Iterator[str], options: Mapping[str, str]) -> tuple[str, str] | None:
    """A field and its value; None if this isn't an option, written in full, with a value that can't be mistaken."""
    name, has_value, value = argument.partition("=")
    if name not in options or (has_value and not name.startswith("--")):
        return None
    if not has_value:
        value = next(rest, "")
    return (options[name], value) if value and not value.startswith("-") else None
