"""Are the configuration, its plugins and the timezones that it names in order?"""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import TZPATH, ZoneInfo

from orchestrator.cli.findings import Finding, fail, ok, warn

if TYPE_CHECKING:
    from orchestrator.client.compiled import Compiled
    from orchestrator.client.place import Place
    from orchestrator.core.plan import Plan

_VALIDATE = "`orchestrator validate` shows where, and how to mend it"


def check_project(place: Place) -> Iterator[Finding]:
    """Everything about the files of the project."""
    if not place.config.is_file():
        mend = "name it with --config, or make a project with `orchestrator init`"
        yield fail("config", f"there is no {place.config.name} in {place.config.parent.absolute()}", mend)
        return
    from orchestrator.client.compile import load_project
    from orchestrator.core.errors import OrchestratorError

    try:
        compiled = load_project(place.config)
    except OrchestratorError as error:
        yield fail("config", str(error), _VALIDATE)
        return
    yield _config(compiled)
    yield _plugins(compiled)
    yield _timezones(compiled.plan)


def _config(compiled: Compiled) -> Finding:
    plan = compiled.plan
    if plan is None:
        from orchestrator.client.compiled import summary

        return fail("config", summary(compiled), _VALIDATE)
    warnings = [diagnostic for diagnostic in compiled.diagnostics if diagnostic.severity == "warning"]
    if warnings:
        return warn("config", f"{warnings[0].message} ({len(warnings)} in all)", _VALIDATE)
    return ok("config", f"{plan.path}: jobs: {len(plan.declared)}, files: {len(plan.files)}")


def _plugins(compiled: Compiled) -> Finding:
    found = compiled.inspection
    if found is None:
        return warn("plugins", "they were not looked at, because of the configuration's mistakes", "mend those first")
    if found.problems:
        first = found.problems[0]
        more = f" (and {len(found.problems) - 1} more)" if len(found.problems) > 1 else ""
        return fail("plugins", f"{first.module}: {first.message}{more}", _VALIDATE)
    return ok("plugins", f"callables: {len(found.callables)}")


def _timezones(plan: Plan | None) -> Finding:
    """Whether zones are there, and from where: the system's data come first, those of the package `tzdata` second."""
    names = {"Europe/Berlin", *((plan.timezone, *(job.timezone for job in plan.jobs.values())) if plan else ())}
    missing = [name for name in sorted(names) if not _is_there(name)]
    if missing:
        mend = "install the package tzdata, with pip or for the system"
        return fail("timezones", f"there are no data of {', '.join(missing)}", mend)
    return ok("timezones", f"zones in use: {len(names)}; {_source()}")


def _is_there(name: str) -> bool:
    try:
        ZoneInfo.no_cache(name)
    except (KeyError, ValueError, OSError):
        return False
    return True


def _source() -> str:
    for folder in TZPATH:
        if os.path.isfile(os.path.join(folder, "Europe", "Berlin")):  # noqa: PTH113, PTH118
            return f"the system's data in {folder}{_release(Path(folder, 'tzdata.zi'))}"
    try:
        return f"data of the package tzdata {version('tzdata')}"
    except PackageNotFoundError:
        return "data of unknown origin"


def _release(source: Path) -> str:
    """The data's own first line says `# version 2024a`."""
    try:
        with source.open(encoding="utf-8") as lines:
            words = next(lines, "").split()
    except (OSError, UnicodeDecodeError):
        return ""
    return f", release {words[2]}" if words[:2] == ["#", "version"] and len(words) > 2 else ""
