"""Deletes what is old: log rows, after they were written to an archive, and temporary files."""

from __future__ import annotations

import os
import stat
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from shop.archive import Busy, archive_day, only_one
from shop.log_rows import days_before, delete_rows, rows_of_day
from sqlalchemy import Engine

from orchestrator import Context, Duration, GiveUp, Retry, job


@job
def archive_and_delete(
    db: Engine, ctx: Context, older_than: Duration = timedelta(days=30), folder: Path = Path("var/archive")
) -> dict[str, Any]:
    """Move old rows of the table `logs` to `folder`, one compressed JSON Lines file for each day.

    Only rows that are safely in a file are deleted. After a kill the next run finds rows that are in both places: the
    file keeps each once.
    """
    cutoff = (ctx.fire_time or datetime.now(UTC)) - older_than
    figures = {"archived": 0, "deleted": 0, "files": 0}
    try:
        with only_one(folder):
            days = days_before(db, cutoff)
            for done, day in enumerate(days, start=1):
                ids = archive_day(folder / f"logs-{day}.jsonl.gz", rows_of_day(db, day, cutoff))
                figures["archived"] += len(ids)
                figures["deleted"] += delete_rows(db, ids)
                figures["files"] += 1
                ctx.progress(done, len(days))
    except Busy as error:
        raise Retry(str(error), delay=60) from None
    ctx.log.info(
        "%(archived)d rows from before %(cutoff)s in %(files)d files", {**figures, "cutoff": f"{cutoff:%F %H:%M}"}
    )
    return figures


@job
def temporary_files(
    ctx: Context, folder: Path = Path("var/tmp"), older_than: Duration = timedelta(days=1)
) -> dict[str, Any]:
    """Delete files below `folder` that were not written to for that long, and folders that are empty since then.

    Links are deleted, never followed: nothing outside the folder is touched, whatever was put there.
    """
    around = (Path.cwd(), Path.home())
    if folder.is_symlink() or any(place.resolve().is_relative_to(folder.resolve()) for place in around):
        raise GiveUp(f"{folder} is no folder for temporary files")
    folder.mkdir(parents=True, exist_ok=True)
    before = time.time() - older_than.total_seconds()
    figures = {"files": 0, "folders": 0, "bytes": 0}
    # fwalk opens each folder and gives its descriptor, so that swapping one for a link in the meantime leads nowhere.
    for _, folders, files, fd in os.fwalk(folder, topdown=False, follow_symlinks=False):
        for name in (*files, *folders):
            _delete_if_old(name, fd, before, figures)
    ctx.log.info("%(files)d files and %(folders)d folders deleted, %(bytes)d bytes", figures)
    return figures


def _delete_if_old(name: str, fd: int, before: float, figures: dict[str, int]) -> None:
    try:
        found = os.stat(name, dir_fd=fd, follow_symlinks=False)
        if found.st_mtime >= before:
            return
        if stat.S_ISDIR(found.st_mode):
            os.rmdir(name, dir_fd=fd)
            figures["folders"] += 1
        elif stat.S_ISREG(found.st_mode) or stat.S_ISLNK(found.st_mode):
            os.unlink(name, dir_fd=fd)
            figures["files"] += 1
            figures["bytes"] += found.st_size
    except OSError:  # somebody else deleted it, may not delete it, or the folder still holds something
        return
