"""How do rows get into a file so that they are there after any crash, each once?"""

from __future__ import annotations

import fcntl
import gzip
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

_DRAFT = ".draft"


class Busy(Exception):  # noqa: N818
    """Another process works on the same archive."""


@contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """Keep other processes out of the folder; the system lifts it when this process dies. Raises `Busy`."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Busy(f"another process is archiving to {folder}") from None
        for draft in folder.glob(f".*{_DRAFT}"):  # of a process that was killed
            draft.unlink()
        yield


def archive_day(file: Path, rows: Iterable[dict[str, Any]]) -> list[int]:
    """Add rows to a compressed JSON Lines file, leaving out those it has; gives all the rows' ids.

    When it returns they are on the disk: the file is written anew beside the old one, synced, and takes its place.
    """
    ids: list[int] = []
    with replaced(file) as target, gzip.open(target, "wb") as archive:
        present = set()
        for line in _lines(file):
            present.add(json.loads(line)["id"])
            archive.write(line)
        for row in rows:
            ids.append(row["id"])
            if row["id"] not in present:
                archive.write(json.dumps(row).encode() + b"\n")
    return ids


@contextmanager
def replaced(file: Path) -> Iterator[BinaryIO]:
    """Write a file that takes `file`'s place once it is whole and on the disk, or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_name(f".{file.name}.{os.getpid()}{_DRAFT}")
    try:
        with draft.open("wb") as target:
            yield target
            target.flush()
            os.fsync(target.fileno())
        draft.replace(file)
        _sync_folder(file.parent)
    finally:
        draft.unlink(missing_ok=True)


def _lines(file: Path) -> Iterator[bytes]:
    if file.exists():
        with gzip.open(file, "rb") as archive:
            yield from archive


def _sync_folder(folder: Path) -> None:
    """A file's new name is only safe once its folder is on the disk."""
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
