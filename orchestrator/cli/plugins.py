"""`orchestrator plugins`: which callables are there?"""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec
import typer

from orchestrator.builtins.catalogue import builtins
from orchestrator.cli.diagnosis import print_diagnostics
from orchestrator.cli.options import ConfigOption, JsonOption
from orchestrator.cli.tables import print_json
from orchestrator.cli.terminal import Painter
from orchestrator.client.compile import load_project
from orchestrator.client.place import find_place
from orchestrator.core.catalogue import CallableInfo, PluginProblem
from orchestrator.core.errors import ConfigError


def plugins(*, as_json: JsonOption = False, config: ConfigOption = None) -> None:
    """List the callables of the plugins, and the built-in ones.

    With their signatures and where they are; then the plugins that can't be used, with exit status 1.
    """
    compiled = load_project(find_place(config, None).required_config())
    inspection = compiled.inspection
    if inspection is None:
        print_diagnostics(compiled.diagnostics, sys.stderr)
        raise ConfigError(compiled.failure)
    own = [info for info in inspection.callables.values() if not info.builtin]
    builtin = [info for name, info in builtins().items() if name not in {info.name for info in own}]
    if as_json:
        known = {info.name: info for info in (*own, *builtin)}
        print_json(msgspec.structs.replace(inspection, callables=known))
    else:
        for info in (*sorted(own, key=lambda info: info.name), *builtin):
            _print_callable(info)
        if not own:
            print("the plugins offer no callables")
        for problem in inspection.problems:
            _print_problem(problem)
    if inspection.problems:
        raise typer.Exit(1)


def _print_callable(info: CallableInfo) -> None:
    painter = Painter(sys.stdout)
    print(painter.paint(info.name, "bold") + _signature(info))
    lines = [line.strip() for line in info.doc.strip().splitlines()[:1]]
    place = "built-in" if info.builtin else f"{_short(info.file)}:{info.line}"
    for line in (*lines, f"{place}, isolation: {info.isolation.value}", *_needs(info)):
        print(f"    {line}")
    for warning in info.warnings:
        print(f"    {painter.paint('warning:', 'yellow')} {warning}")
    print()


def _signature(info: CallableInfo) -> str:
    return info.signature.removeprefix(info.name).replace("orchestrator.plugins.context.", "")


def _needs(info: CallableInfo) -> list[str]:
    return [f"resources: {', '.join(info.resources)}"] if info.resources else []


def _print_problem(problem: PluginProblem) -> None:
    where = f"{_short(problem.file)}:{problem.line}: " if problem.file else ""
    painter = Painter(sys.stderr)
    print(f"{where}{painter.paint('error:', 'red')} {problem.message}", file=sys.stderr)
    if problem.traceback:
        print(problem.traceback.rstrip(), file=sys.stderr)


def _short(file: str) -> str:
    path = Path(file)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else file
