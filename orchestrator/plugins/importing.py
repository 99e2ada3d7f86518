"""Imports a user's module and survives whatever that does."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

from orchestrator.core.catalogue import PluginProblem
from orchestrator.plugins.import_failure import problem_of

SKIPPED = "it is skipped, because importing it failed or hung when the plugins were read"


class Importer:
    """Imports modules one at a time, announcing each before it runs; failures become problems, never exceptions."""

    def __init__(
        self, homes: tuple[str, ...], skip: tuple[str, ...], announce: Callable[[str], None] | None = None
    ) -> None:
        self.homes = homes
        self.problems: list[PluginProblem] = []
        self._skip = frozenset(skip)
        self._announce = announce or (lambda _: None)
        self._failed: dict[str, PluginProblem] = {}

    def skips(self, module: str) -> bool:
        """Whether the module, or a package around it, is not to be imported; recorded as a problem once."""
        parts = module.split(".")
        hit = next((name for i in range(len(parts)) if (name := ".".join(parts[: i + 1])) in self._skip), None)
        if hit is not None and hit not in self._failed:
            self._fail(PluginProblem(module=hit, message=SKIPPED))
        return hit is not None

    def guarded(self, name: str, load: Callable[[], ModuleType], absent: str = "") -> ModuleType | None:
        """What `load` imports for the plugin `name`; none if it failed, recorded unless merely `absent` isn't there."""
        self._announce(name)
        try:
            return load()
        except ModuleNotFoundError as error:
            if not (absent and error.name and (absent == error.name or absent.startswith(error.name + "."))):
                self._fail(problem_of(name, error, self.homes))
        except BaseException as error:  # noqa: BLE001 - SystemExit and worse must not end the reader of plugins
            self._fail(problem_of(name, error, self.homes))
        return None

    def _fail(self, problem: PluginProblem) -> None:
        self._failed[problem.module] = problem
        self.problems.append(problem)

    def module(self, name: str) -> ModuleType | None:
        """An importable module by its dotted name; none if it isn't there, or failed (then a problem says why)."""
        if (loaded := sys.modules.get(name)) is not None:
            return loaded
        if name in self._failed or self.skips(name):
            return None
        return self.guarded(name, lambda: importlib.import_module(name), absent=name)

    def failed(self, call: str) -> PluginProblem | None:
        """The problem of the module that a dotted path leads into, if that is why the path can't be followed."""
        path = call.replace(":", ".") + "."
        return next((problem for name, problem in self._failed.items() if path.startswith(name + ".")), None)


def load_file(alias: str, file: Path) -> ModuleType:
    """Import a file, or a package by its `__init__.py`, as the module `alias`."""
    package = [str(file.parent)] if file.name == "__init__.py" else None
    spec = importlib.util.spec_from_file_location(alias, file, submodule_search_locations=package)
    if spec is None or spec.loader is None:
        raise ImportError(f"{file} can't be imported")
    module = importlib.util.module_from_spec(spec)
    sys.modules[alias] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        sys.modules.pop(alias, None)
        raise
    return module


def put_on_path(root: str, folders: tuple[str, ...]) -> None:
    """Make modules of the project and of plugin folders importable.

    The project comes before installed packages, as a Python user expects, but after the standard library; folders
    come last: a plugin named like a library must not take that library's place for everybody else.
    """
    if root and root not in sys.path:
        installed = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
        spots = [i for i, entry in enumerate(sys.path) if entry in installed or entry.endswith("-packages")]
        sys.path.insert(spots[0] if spots else len(sys.path), root)
    for folder in folders:
        if folder not in sys.path:
            sys.path.append(folder)
    importlib.invalidate_caches()
