"""How do the files of large results come into a backup? A copy of the database has those that it names beside it."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import msgspec

from orchestrator.core.errors import ResultFileError
from orchestrator.core.result_files import ResultFile, beside, make, read, sync, write_new

_decode = msgspec.json.Decoder(list[ResultFile]).decode


class Gathered(msgspec.Struct, kw_only=True):
    """What was copied, and what could not be."""

    names: set[str] = set()
    size: int = 0
    forgotten: int = 0
    """Runs whose results were deleted after the copy of the database was taken; the copy names them no more."""
    lost: list[str] = []
    """Of files that are missing or damaged, in words: their runs are in the copy without them."""


@contextmanager
def staged(target: Path) -> Iterator[Path]:
    """The name of a folder for what is on its way to the target; gone at the end, with what is left in it."""
    folder = target.with_name(f".{beside(target).name}.{os.getpid()}-{os.urandom(3).hex()}.partial")
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def gather(source: Path, copy: Path, folder: Path) -> Gathered:
    """Copy to `folder` every file that a copy of the database names, and let the copy forget those that were deleted
    since it was taken: the database itself has forgotten them, too."""
    found, missing = Gathered(), {}
    for run_id, files in _named(copy).items():
        for file in files:
            if file.run_id != run_id:
                continue
            try:
                data = read(beside(source), file)
            except ResultFileError as error:
                missing[file.name] = str(error)
                continue
            make(folder)
            write_new(folder / file.name, data)
            found.names.add(file.name)
            found.size += file.size
    if missing:
        _explain(source, copy, missing, found)
    return found


def put_in_place(folder: Path, target: Path) -> None:
    """Move the files to where the copy will look for them."""
    if folder.is_dir():
        make(beside(target))
        for path in folder.iterdir():
            path.replace(beside(target) / path.name)
        sync(beside(target))


def tidy(target: Path, names: set[str]) -> None:
    """Delete what an earlier copy of the same name had beside it and this one doesn't name."""
    if beside(target).is_dir():
        for path in beside(target).glob("*-*.json"):
            if path.name not in names:
                path.unlink(missing_ok=True)
        with suppress(OSError):
            beside(target).rmdir()  # if nothing is left


def _explain(source: Path, copy: Path, missing: dict[str, str], found: Gathered) -> None:
    """Tell what was deleted meanwhile, as it should be, from what is lost."""
    wanted = {name for files in _named(source).values() for name in (file.name for file in files)}
    found.lost = [why for name, why in missing.items() if name in wanted]
    gone = missing.keys() - wanted
    runs = [run_id for run_id, files in _named(copy).items() if any(file.name in gone for file in files)]
    with closing(sqlite3.connect(copy, isolation_level=None)) as database:
        statement = "UPDATE runs SET result = NULL, result_files = NULL WHERE id = ?"
        database.executemany(statement, [(run_id,) for run_id in runs])
    found.forgotten = len(runs)


def _named(database: Path) -> dict[int, list[ResultFile]]:
    """By run, the files that a database names; an older one has none."""
    with closing(sqlite3.connect(f"{database.absolute().as_uri()}?mode=rw", uri=True, timeout=10)) as file:
        columns = {row[1] for row in file.execute("PRAGMA table_info(runs)")}
        if "result_files" not in columns:
            return {}
        rows = file.execute("SELECT id, result_files FROM runs WHERE result_files IS NOT NULL")
        return {run_id: _decode(text) for run_id, text in rows}
