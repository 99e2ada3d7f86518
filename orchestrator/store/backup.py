"""How the state is copied while engines work on it: one consistent file, checked, and on disk before it has its name.

SQLite's own online backup does the copying: https://www.sqlite.org/backup.html
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import msgspec

from orchestrator.core.errors import ConflictError, StoreError
from orchestrator.core.result_files import beside, sync
from orchestrator.store.result_backup import Gathered, gather, put_in_place, staged, tidy
from orchestrator.store.soundness import BUSY_SECONDS, examine

_BESIDE = ("", "-wal", "-shm", "-journal")
"""What SQLite's own files are called after the database."""


class Copied(msgspec.Struct, frozen=True, kw_only=True):
    """What was copied."""

    size: int
    """Bytes of the database alone."""
    results: Gathered


def back_up(source: Path, target: Path, *, overwrite: bool = False) -> Copied:
    """Copy the database to `target` (0600), and the files of large results to the folder beside it.

    All is read in one transaction: writers go on meanwhile, and what they commit isn't in the copy. Raises
    `ConflictError` if `target` is there and not to be overwritten, and `StoreError` if no sound copy can be made; then
    `target` is as it was before.
    """
    _refuse_own_files(source, target)
    if target.is_dir():
        raise ConflictError(f"{target} is a folder: name a file in it")
    for path in (target, beside(target)):
        if not overwrite and os.path.lexists(path):
            raise ConflictError(f"{path} is there already; --force replaces it")
    try:
        with _partial(target) as partial, staged(target) as folder:
            _copy(source, partial)
            results = gather(source, partial, folder)
            _check(partial)
            size = partial.stat().st_size
            sync(partial)
            # At each moment, what has the name has its files.
            put_in_place(folder, target)
            _give_name(partial, target, overwrite=overwrite)
        sync(target.parent)
        tidy(target, results.names)
    except OSError as error:
        raise StoreError(f"can't write {error.filename or target}: {error.strerror or error}") from error
    except sqlite3.Error as error:
        raise StoreError(f"can't copy {source}: {error}") from error
    return Copied(size=size, results=results)


def _refuse_own_files(source: Path, target: Path) -> None:
    own = {os.path.realpath(f"{source}{suffix}") for suffix in _BESIDE}
    if os.path.realpath(target) in own or (target.exists() and source.samefile(target)):
        raise ConflictError(f"{target} belongs to the database itself")


@contextmanager
def _partial(target: Path) -> Iterator[Path]:
    """A new file beside the target that nobody else can read, gone at the end unless it got its name."""
    path = target.with_name(f".{target.name}.{os.getpid()}-{os.urandom(3).hex()}.partial")
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    try:
        yield path
    finally:
        for suffix in _BESIDE:
            with suppress(FileNotFoundError):
                Path(f"{path}{suffix}").unlink()


def _copy(source: Path, partial: Path) -> None:
    with (
        closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=rw", uri=True, timeout=BUSY_SECONDS)) as reading,
        closing(sqlite3.connect(partial, isolation_level=None)) as writing,
    ):
        # In one step: in several, every commit of another process would make it start again.
        reading.backup(writing, pages=-1)
        # One file without a log beside it; whoever opens it as a state database switches that on again.
        writing.execute("PRAGMA journal_mode = DELETE")


def _check(partial: Path) -> None:
    if problems := examine(partial, full=True).problems:
        raise StoreError(f"the copy is not sound, so the database is damaged: {problems[0]}")


def _give_name(partial: Path, target: Path, *, overwrite: bool) -> None:
    if overwrite:
        partial.replace(target)
        return
    try:
        target.hardlink_to(partial)  # unlike a rename, it fails if somebody made the file meanwhile
    except FileExistsError:
        shutil.rmtree(beside(target), ignore_errors=True)  # it wasn't there when this began
        raise ConflictError(f"{target} is there already; --force replaces it") from None
    except OSError:  # a file system without links
        partial.replace(target)
