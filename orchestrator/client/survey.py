"""Which files does a configuration consist of, and have they changed? Asked whenever something stirs in their folders.

The answer comes from looking at all of them, never from a file system's events: those only say when to look.
"""

from __future__ import annotations

import fnmatch
import glob
import importlib.util
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

import msgspec

from orchestrator.client.compiled import Compiled
from orchestrator.core.plan import Plan

_SUFFIXES = (".py", ".yaml", ".yml")
_ENVIRONMENT = "pyvenv.cfg"
"""A folder with this file is a virtual environment: nothing that a person edits."""


class Ground(msgspec.Struct, frozen=True):
    """What to look at: files, patterns that files may come to match, and folders of plugins with all below them."""

    files: frozenset[str]
    patterns: tuple[str, ...]
    folders: tuple[str, ...]

    def may_concern(self, path: str) -> bool:
        """Whether something that happened to `path` is worth a look. A name without a suffix may be a folder."""
        suffix = os.path.splitext(path)[1]  # noqa: PTH122 - called for every event
        if suffix in _SUFFIXES or not suffix or path in self.files:
            return True
        return any(fnmatch.fnmatch(path, pattern) for pattern in self.patterns)


class Mark(msgspec.Struct, frozen=True):
    """What tells one version of a file from another."""

    modified: int
    size: int
    inode: int
    changed: int = msgspec.field(default=0)
    """When the file, or its name or rights, last changed; in nanoseconds like `time.time_ns`."""

    def is_version_of(self, other: Mark | None) -> bool:
        """Whether nothing was written in between."""
        return other is not None and (self.modified, self.size, self.inode) == (
            other.modified,
            other.size,
            other.inode,
        )


class Survey(msgspec.Struct, frozen=True):
    """The files as they are now, and the folders in which something may happen to them."""

    marks: dict[str, Mark]
    folders: frozenset[str]


def ground_of(plan: Plan, compiled: Compiled) -> Ground:
    """What a plan was made of. Files that are named in diagnostics belong to it, since that is where a mend happens."""
    files = {*plan.files, *(diagnostic.file for diagnostic in compiled.diagnostics if diagnostic.file)}
    if compiled.inspection is not None:
        # Modules of the project that no plugin folder holds; what is installed changes by a restart.
        offered = {info.file for info in compiled.inspection.callables.values()}
        files |= {file for file in offered if Path(file).is_relative_to(plan.root) and "site-packages" not in file}
    return Ground(frozenset(files), plan.includes, plan.sources.folders)


def survey(ground: Ground) -> Survey:
    """Look at every file, and find the folders to watch. Takes milliseconds for thousands: keep it off the loop."""
    marks: dict[str, Mark] = {}
    folders: set[str] = set()
    for folder in ground.folders:
        for inner, names in _walk(folder):
            folders.add(inner)
            _note((os.path.join(inner, name) for name in names if name.endswith(_SUFFIXES)), marks)  # noqa: PTH118
    for pattern in ground.patterns:
        _note(glob.iglob(pattern, recursive=True), marks)  # noqa: PTH207 - as `include:` is read
        folders.update(_folders_of(pattern))
    _note(ground.files, marks)
    for file in ground.files:
        folders.update((os.path.dirname(file), os.path.dirname(os.path.realpath(file))))  # noqa: PTH120
    return Survey(marks, frozenset(map(_existing, folders)))


def changed_files(before: Survey, now: Survey) -> set[str]:
    """Files that appeared, went or were written."""
    gone = before.marks.keys() - now.marks.keys()
    return {path for path, mark in now.marks.items() if not mark.is_version_of(before.marks.get(path))} | gone


def forget_bytecode(files: Iterable[str]) -> None:
    """Delete what Python has cached of modules that changed.

    The cache tells versions apart by size and whole second, so of two edits within a second it may serve the first.
    """
    for file in files:
        if file.endswith(".py"):
            with suppress(OSError, NotImplementedError):
                Path(importlib.util.cache_from_source(file)).unlink()


def _note(files: Iterable[str], marks: dict[str, Mark]) -> None:
    for file in files:
        with suppress(OSError, ValueError):
            found = os.stat(file)  # noqa: PTH116 - takes any text, and there may be thousands
            if not os.path.isdir(file):  # noqa: PTH112
                marks[file] = Mark(found.st_mtime_ns, found.st_size, found.st_ino, found.st_ctime_ns)


def _walk(folder: str) -> Iterator[tuple[str, list[str]]]:
    for inner, folders, names in os.walk(folder):
        if _ENVIRONMENT in names:
            folders.clear()
            continue
        folders[:] = [name for name in folders if not name.startswith((".", "__pycache__"))]
        yield inner, names


def _folders_of(pattern: str) -> Iterator[str]:
    """The folders that files of a pattern are in, or would be: from its fixed part down to the last but one part."""
    parts = pattern.split(os.sep)  # noqa: PTH206 - a pattern is no path
    first = next((at for at, part in enumerate(parts) if glob.has_magic(part)), len(parts) - 1)
    yield os.sep.join(parts[:first]) or os.sep  # noqa: PTH118
    for end in range(first + 1, len(parts)):
        wanted = os.sep.join(parts[:end])  # noqa: PTH118
        yield from (found for found in glob.iglob(wanted, recursive=True) if os.path.isdir(found))  # noqa: PTH112, PTH207


def _existing(folder: str) -> str:
    """The folder, or the nearest one above it that is there."""
    path = Path(folder)
    return str(next((place for place in (path, *path.parents) if place.is_dir()), path.anchor))
