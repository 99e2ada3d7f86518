"""Which files are below a folder, and how is one deleted that surely still is? Every step down is taken from the open
folder above, and none through a link: renaming or replacing folders meanwhile leads nowhere else."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

_NOT_EMPTY = (errno.ENOTEMPTY, errno.EEXIST)


@dataclass(frozen=True, slots=True)
class File:
    """A regular file as it was found; `path` is relative to the folder."""

    path: str
    changed: float
    size: int
    inode: tuple[int, int]


@dataclass(slots=True)
class Tree:
    """What was found below a folder, before anything was deleted."""

    root: str
    deep: bool
    files: list[File] = field(default_factory=list)
    folders: dict[str, float] = field(default_factory=dict)
    """When each was last changed."""

    def delete(self, files: Iterable[File], failures: list[str]) -> list[File]:
        """Delete those that are still what was found, and give them; what can't be deleted is told in `failures`."""
        wanted = {file.path: file for file in files}
        gone = []
        for folder, _, names, fd in _visits(self.root, deep=self.deep):
            for path, name in ((folder + name, name) for name in names):
                if path in wanted and _unlinked(wanted[path], name, fd, failures):
                    gone.append(wanted[path])
        return gone

    def remove_empty(self, before: float, failures: list[str]) -> int:
        """Remove folders that are empty now and were last changed before; never the root. Says how many."""
        count = 0
        for path, _, _, fd in _visits(self.root, deep=True, bottom_up=True):
            for child in (name for name in self.folders if name.rpartition("/")[0] == path.rstrip("/")):
                if self.folders[child] < before:
                    count += _removed(child, fd, failures)
        return count


def found(root: str, patterns: Sequence[str], *, deep: bool) -> Tree:
    """The files that fit a pattern, and the folders. Unless it is to go `deep`, only patterns with a slash lead into
    folders. Raises `OSError` if the folder can't be opened."""
    os.close(os.open(root, os.O_RDONLY | os.O_DIRECTORY))
    paths = [pattern for pattern in patterns if "/" in pattern]
    tree = Tree(root, deep or bool(paths))
    for folder, children, names, fd in _visits(root, deep=tree.deep):
        meant = patterns if deep or not folder else paths
        for name in children if meant is patterns else ():
            if (status := _status(name, fd)) is not None and stat.S_ISDIR(status.st_mode):
                tree.folders[folder + name] = status.st_mtime
        for name in names:
            if any(fits(folder + name, pattern) for pattern in meant):
                status = _status(name, fd)
                if status is not None and stat.S_ISREG(status.st_mode):
                    inode = (status.st_dev, status.st_ino)
                    tree.files.append(File(folder + name, status.st_mtime, status.st_size, inode))
    return tree


def fits(path: str, pattern: str) -> bool:
    """Whether a pattern fits: without a slash the file's name, else the whole path, in which `**` is any folders.

    As in a shell, a hidden name needs a pattern that starts with a dot.
    """
    steps = path.split("/")
    return _fits(steps, pattern.split("/")) if "/" in pattern else _fits(steps[-1:], [pattern])


def _fits(steps: list[str], patterns: list[str]) -> bool:
    if not patterns:
        return not steps
    if patterns[0] == "**" and len(patterns) > 1:
        return _fits(steps, patterns[1:]) or (bool(steps) and _fits(steps[1:], patterns))
    if not steps or (steps[0].startswith(".") and not patterns[0].startswith(".")):
        return False
    return fnmatchcase(steps[0], patterns[0]) and _fits(steps[1:], patterns[1:])


def _visits(root: str, *, deep: bool, bottom_up: bool = False) -> Iterator[tuple[str, list[str], list[str], int]]:
    """Each folder: its path with a slash at the end (empty for the root), what is in it, and its descriptor.

    `fwalk` opens a folder by its parent's descriptor and enters it only if it is what was listed there, and no link.
    """
    for path, folders, names, fd in os.fwalk(root, topdown=not bottom_up, follow_symlinks=False):
        below = os.path.relpath(path, root)
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield ("" if below == "." else below + "/"), list(folders), names, fd
        if not deep:
            return


def _status(name: str, fd: int) -> os.stat_result | None:
    with suppress(FileNotFoundError):
        return os.stat(name, dir_fd=fd, follow_symlinks=False)
    return None


def _unlinked(file: File, name: str, fd: int, failures: list[str]) -> bool:
    try:
        now = os.stat(name, dir_fd=fd, follow_symlinks=False)
        if ((now.st_dev, now.st_ino), now.st_mtime) != (file.inode, file.changed):
            return False  # somebody has written it anew
        os.unlink(name, dir_fd=fd)
    except FileNotFoundError:
        return False
    except OSError as error:
        failures.append(f"{file.path}: {error.strerror}")
        return False
    return True


def _removed(path: str, fd: int, failures: list[str]) -> bool:
    try:
        os.rmdir(path.rpartition("/")[2], dir_fd=fd)
    except OSError as error:
        if not isinstance(error, FileNotFoundError | NotADirectoryError) and error.errno not in _NOT_EMPTY:
            failures.append(f"{path}: {error.strerror}")
        return False
    return True
