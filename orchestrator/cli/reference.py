"""Writes the reference of commands from the commands themselves: `python -m orchestrator.cli.reference docs/cli.md`."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer.main

from orchestrator.cli.app import app

_INTRODUCTION = """\
# Commands

`orchestrator COMMAND --help` says the same. Everything below is generated from the commands.

`--config` and `--db` may stand before the command or behind it; without them, `ORCHESTRATOR_CONFIG` and
`ORCHESTRATOR_DB` are asked, then `jobs.yaml` in the present folder and `var/orchestrator.db` beside it.

Every listing takes `--json`: instants are ISO 8601 in UTC, durations ISO 8601 or, where a field says `duration`,
seconds. Colours appear on terminals only, and never with `NO_COLOR`; tables in a pipe are never cut. Values of
`--param` are YAML scalars; one that starts with `[`, `{` or `"` is JSON.

| exit status | meaning |
| --- | --- |
| 0 | done; for `run`, a graceful stop |
| 1 | the run failed or was cancelled, the request was refused, a plugin can't be used, or something is unwell |
| 2 | the configuration or the command is wrong |
| 3 | the state database can't be used |
| 4 | the system gives no more file descriptors: raise the limit (`ulimit -n`) |
| 130 | interrupted by Ctrl-C |
| 141 | whoever read the output went away (`\\| head`) |
"""
_EVERYWHERE = ("config", "db", "help")


def reference() -> str:
    """The reference as Markdown."""
    return "\n".join(
        [_INTRODUCTION, *(_section(name, command) for name, command in _commands(typer.main.get_command(app)))]
    )


def _commands(group: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _commands(command, f"{prefix}{name} ")
        else:
            yield f"{prefix}{name}", command


def _section(name: str, command: Any) -> str:
    arguments = [param for param in command.params if param.param_type_name == "argument"]
    options = [p for p in command.params if p.param_type_name == "option" and p.name not in _EVERYWHERE]
    usage = " ".join(["orchestrator", name, *(_placeholder(argument) for argument in arguments)])
    lines = [f"## {usage}", "", inspect.cleandoc(command.help or ""), ""]
    rows = [*((f"`{_name(argument)}`", argument) for argument in arguments), *((_flags(o), o) for o in options)]
    if rows:
        lines += ["| | |", "| --- | --- |", *(f"| {name} | {_help(param)} |" for name, param in rows), ""]
    return "\n".join(lines)


def _name(argument: Any) -> str:
    return str(argument.metavar or argument.name.upper())


def _placeholder(argument: Any) -> str:
    return _name(argument) if argument.required else f"[{_name(argument)}]"


def _flags(option: Any) -> str:
    """The option as it is written; every one of ours that takes a value says in its metavar what value."""
    flags = ", ".join(f"`{flag}`" for flag in sorted(option.opts, key=len))
    return f"{flags} `{option.metavar}`" if option.metavar else flags


def _help(param: Any) -> str:
    text = " ".join((param.help or "").split()).replace("|", "\\|")
    default = getattr(param.default, "value", param.default)
    has_default = param.show_default and param.metavar and default not in (None, (), [])
    return f"{text} Default: `{default}`." if has_default else text


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(reference(), encoding="utf-8")
