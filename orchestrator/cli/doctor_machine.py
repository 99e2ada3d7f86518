"""Are the clock, the disk and the rights of the state's folder fit for the work?"""

from __future__ import annotations

import os
import shutil
import stat
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.cli.findings import Finding, fail, ok, warn
from orchestrator.cli.sizes import in_bytes

if TYPE_CHECKING:
    from orchestrator.client.place import Place

PLAUSIBLE_YEARS = range(2025, 2100)
OBSERVED_SECONDS = 0.25
DRIFT = 0.05
"""Seconds by which two clocks may differ while they are observed: less than any step that an administrator makes."""
LITTLE_SPACE = 512 * 2**20
NO_SPACE = 64 * 2**20
FEW_FILES = 1000


def check_machine(place: Place) -> Iterator[Finding]:
    """Everything about the machine."""
    from orchestrator.store.database import Database

    database = Database(place.url).path
    yield _clock()
    yield _disk(database.parent)
    yield _rights(database)


def _clock() -> Finding:
    now = datetime.now(UTC)
    mend = "set the clock, and let NTP keep it (timedatectl)"
    if now.year not in PLAUSIBLE_YEARS:
        return fail("clock", f"it says {now:%Y-%m-%d %H:%M:%S} UTC", mend)
    wall, steady = time.time(), time.monotonic()
    time.sleep(OBSERVED_SECONDS)
    drift = (time.time() - wall) - (time.monotonic() - steady)
    if abs(drift) > DRIFT:
        return warn("clock", f"it was set by {drift:+.2f}s while we looked", "see who sets it: fires follow it")
    return ok("clock", f"{now:%Y-%m-%d %H:%M:%S} UTC")


def _disk(folder: Path) -> Finding:
    place = next(path for path in (folder, *folder.parents) if path.is_dir())
    free = shutil.disk_usage(place).free
    files = os.statvfs(place).f_favail
    mend = "make room, or keep less history (`retention:`)"
    if free < NO_SPACE:
        return fail("disk", f"{in_bytes(free)} free at {place}", mend)
    if free < LITTLE_SPACE:
        return warn("disk", f"{in_bytes(free)} free at {place}", mend)
    if 0 < files < FEW_FILES:
        return warn("disk", f"room for {files} more files at {place}", "delete files on that file system")
    return ok("disk", f"{in_bytes(free)} free at {place}")


def _rights(database: Path) -> Finding:
    """The folder for its owner alone, and so the files: parameters, results and logs may be private."""
    folder = database.parent
    if not folder.is_dir():
        return ok("permissions", f"{folder} will be made, for you alone")
    if not os.access(folder, os.W_OK | os.X_OK):
        return fail("permissions", f"{folder} can't be written to", f"use the account that owns it: {_owner(folder)}")
    files = [Path(f"{database}{suffix}") for suffix in ("", "-wal", "-shm")]
    if locked := [file for file in files if file.exists() and not os.access(file, os.R_OK | os.W_OK)]:
        mend = f"use the account that owns it: {_owner(locked[0])}"
        return fail("permissions", f"{locked[0]} can't be read and written", mend)
    if _mode(folder) & 0o002:
        return fail("permissions", f"everybody may write to {folder}", f"chmod 700 {folder}")
    if _mode(folder) & 0o077:
        return warn("permissions", f"others may look into {folder} ({_mode(folder):04o})", f"chmod 700 {folder}")
    if open_files := [file for file in files if file.exists() and _mode(file) & 0o077]:
        file = open_files[0]
        return warn("permissions", f"others could read {file} ({_mode(file):04o})", f"chmod 600 {file}")
    return ok("permissions", f"{folder} is for its owner alone")


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def _owner(path: Path) -> str:
    try:
        return path.owner()
    except (KeyError, OSError):
        return f"user {path.stat().st_uid}"
