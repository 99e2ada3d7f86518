"""Which plugins does a folder hold, and under which module name can each be imported?"""

from __future__ import annotations

import importlib.util
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from orchestrator.core.catalogue import PluginProblem


@dataclass(frozen=True, slots=True)
class Found:
    """A file, or a package's `__init__.py`, in a plugin folder."""

    name: str
    file: Path


def scan(folder: str) -> tuple[list[Found], list[PluginProblem]]:
    """Every `*.py` file and package directly in the folder, by name; names that start with `_` or `.` are private."""
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        what = "doesn't exist" if isinstance(error, FileNotFoundError) else f"can't be read: {error.strerror}"
        return [], [PluginProblem(module=Path(folder).name, message=f"the plugin folder {folder} {what}", file=folder)]
    found, problems = [], []
    for entry in entries:
        file = _plugin_file(entry)
        if file is None:
            continue
        name = entry.name.removesuffix(".py") if file.name != "__init__.py" else entry.name
        if name.isidentifier():
            found.append(Found(name, file))
        else:
            wanted = "".join(c if c.isalnum() else "_" for c in name)
            message = f"{name!r} can't be a module's name; rename it to {wanted!r}"
            problems.append(PluginProblem(module=name, message=message, file=str(file)))
    return found, problems


def _plugin_file(entry: os.DirEntry[str]) -> Path | None:
    if entry.name.startswith(("_", ".")):
        return None
    path = Path(entry.path)
    if entry.name.endswith(".py"):
        return path if entry.is_file() else None
    init = path / "__init__.py"
    return init if entry.is_dir() and init.is_file() else None


def is_taken(plugin: Found) -> bool:
    """Whether `import name` means something else, like the standard library's `email`; ask before the folder is on
    the path. Such a plugin keeps its name in `call:`, but is imported under another."""
    if plugin.name in sys.stdlib_module_names:
        return True
    loaded = sys.modules.get(plugin.name)
    if loaded is not None:
        return not _same(getattr(loaded, "__file__", None), plugin.file)
    try:
        spec = importlib.util.find_spec(plugin.name)
    except (ImportError, ValueError):
        return False
    return spec is not None and spec.origin is not None and not _same(spec.origin, plugin.file)


def _same(file: str | None, other: Path) -> bool:
    return file is not None and os.path.realpath(file) == os.path.realpath(other)
