"""`orchestrator plugins`: which callables are there?"""

from __future__ import annotations

import sys
from pathlib import Path

import typer

from orchestrator.cli.compile import load_project
from orchestrator.cli.diagnosis import print_diagnostics
from orchestrator.cli.options import ConfigOption, JsonOption
from orchestrator.cli.place import find_place
from orchestrator.cli.tables import print_json
from orchestrator.cli.terminal import Painter
from orchestrator.core.catalogue import CallableInfo, PluginProblem
from orchestrator.core.errors import ConfigError


def plugins(*, as_json: JsonOption = False, config: ConfigOption = None) -> None:
    """List the plugins' callables.

    With their signatures and where they are; then the plugins that can't be used, with exit status 1.
    """
    compiled = load_project(find_place(config, None).required_config())
    inspection = compiled.inspection
    if inspection is None:
        print_diagnostics(compiled.diagnostics, sys.stderr)
        raise ConfigError(compiled.failure)
    if as_json:
        print_json(inspection)
    else:
        for info in sorted(inspection.callables.values(), key=lambda info: info.name):
            _print_callable(info)
        if not inspection.callables:
            print("the plugins offer no callables")
        for problem in inspection.problems:
            _print_problem(problem)
    if inspection.problems:
        raise typer.Exit(1)


def _print_callable(info: CallableInfo) -> None:
    painter = Painter(sys.stdout)
    print(painter.paint(info.name, "bold") + _signature(info))
    lines = [line.strip() for line in info.doc.strip().splitlines()[:1]]
    for line in (*lines, f"{_short(info.file)}:{info.line}, isolation: {info.isolation.value}", *_needs(info)):
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
