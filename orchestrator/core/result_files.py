"""How is a large result kept? As a file of JSON beside the database, that the worker writes and the run's row names."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from orchestrator.core.errors import ResultFileError
from orchestrator.core.units import format_size

INLINE = 64 * 2**10
"""Bytes of JSON that go with the report and into the row. So much is passed on in a fraction of a millisecond; more
would hold up the engine's loop and swell every page of the history."""
LARGEST = 256 * 2**20
"""Bytes of a result that are kept at all: whoever reads it has it in memory, several times over."""
_NAME = re.compile(r"(\d{1,19})-(\d{1,10})\.json")


class ResultFile(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A file, and where in the result its value belongs: `at` are keys and indices; none where it is all of it."""

    name: str
    size: int
    digest: str
    """SHA-256, as `sha256sum` prints it."""
    at: tuple[str | int, ...] = ()

    @property
    def run_id(self) -> int:
        """The run whose file it is: the results of a workflow lie in the files of its steps."""
        return origin(self.name)[0]


def beside(database: Path) -> Path:
    """The folder of a database's result files. It has the database's name, so that a copy of both is a state again."""
    return Path(f"{database}.results")


def origin(name: str) -> tuple[int, int]:
    """The run and the attempt of a file. Raises `ResultFileError` for a name that no worker gives: it is no path."""
    if (found := _NAME.fullmatch(name)) is None:
        raise ResultFileError(f"{name!r} is not the name of a result's file")
    return int(found[1]), int(found[2])


def write(folder: Path, run_id: int, attempt: int, data: bytes) -> ResultFile:
    """Keep the JSON of an attempt's result: on the disk, under its name, once this returns.

    Raises `ResultFileError`, and then leaves nothing behind.
    """
    path = folder / f"{run_id}-{attempt}.json"
    partial = folder / f".{path.name}.{os.getpid()}-{os.urandom(3).hex()}.partial"
    try:
        make(folder)
        write_new(partial, data)
        partial.replace(path)
        sync(folder)
    except OSError as error:
        _remove(path)
        what = f"the result of run {run_id}, {format_size(len(data))}, can't be written to {folder}"
        raise ResultFileError(f"{what}: {error.strerror or error}") from None
    finally:
        _remove(partial)
    return ResultFile(name=path.name, size=len(data), digest=_digest(data))


def read(folder: Path, file: ResultFile) -> bytes:
    """The JSON as it was written. Raises `ResultFileError` where the file is gone, or isn't what it was."""
    run_id, _ = origin(file.name)
    path = folder / file.name
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise ResultFileError(f"the result of run {run_id} is lost: its file {path} is missing") from None
    except OSError as error:
        what = f"the result of run {run_id} can't be read from {path}"
        raise ResultFileError(f"{what}: {error.strerror or error}") from None
    if len(data) != file.size or _digest(data) != file.digest:
        raise ResultFileError(f"the result of run {run_id} is lost: its file {path} is damaged")
    return data


def whole(value: Any, files: Iterable[ResultFile], folder: Path) -> Any:
    """A result with what lies in files filled in. Raises `ResultFileError`."""
    for file in files:
        found = msgspec.json.decode(read(folder, file))
        if not file.at:
            value = found
            continue
        inner = value
        for step in file.at[:-1]:
            inner = inner[step]
        inner[file.at[-1]] = found
    return value


def delete(folder: Path, names: Iterable[str]) -> None:
    """Delete files that no row names any more. What can't be deleted now is found by a later sweep."""
    for name in names:
        origin(name)
        _remove(folder / name)


def make(folder: Path) -> None:
    """Make the folder, for its owner alone."""
    if not folder.is_dir():
        folder.mkdir(mode=0o700, exist_ok=True)
        sync(folder.parent)


def write_new(path: Path, data: bytes) -> None:
    """Write a file that wasn't there, for its owner alone, down to the disk."""
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    with open(descriptor, "wb", buffering=0) as file:  # noqa: PTH123 - of a descriptor
        rest = memoryview(data)
        while rest:
            rest = rest[file.write(rest) :]
        os.fsync(descriptor)


def sync(path: Path) -> None:
    """Have a file, or the names in a folder, on the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _digest(data: bytes) -> str:
    import hashlib  # not at start-up: few results are large

    return hashlib.sha256(data, usedforsecurity=False).hexdigest()


def _remove(path: Path) -> None:
    with suppress(OSError):
        path.unlink()
