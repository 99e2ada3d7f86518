"""Is every result file that a row names there, and as it was written?"""

from __future__ import annotations

from pathlib import Path

import msgspec

from orchestrator.core.errors import ResultFileError
from orchestrator.core.result_files import read
from orchestrator.store.result_rows import Owned, all_owned, needed
from orchestrator.store.store import Store


class ResultCheck(msgspec.Struct, frozen=True, kw_only=True):
    """What was found: how many there should be, of how many bytes together, and those that are lost."""

    count: int
    size: int
    lost: list[str]
    """In words, by run."""


def check_results(store: Store, *, full: bool) -> ResultCheck:
    """Look at every file; with `full`, read it."""
    folder = store.database.results
    owned = store.read(lambda connection: list(all_owned(connection)))
    lost = {one.file.name: why for one in owned if (why := _why_lost(folder, one, full=full))}
    # What has been forgotten since is not lost.
    still = store.read(needed, list(lost)) if lost else set()
    words = [why for name, why in lost.items() if name in still]
    return ResultCheck(count=len(owned), size=sum(one.file.size for one in owned), lost=words)


def _why_lost(folder: Path, one: Owned, *, full: bool) -> str | None:
    try:
        if not full and (folder / one.file.name).stat().st_size == one.file.size:
            return None
    except OSError:
        pass  # reading it says why
    try:
        read(folder, one.file)
    except ResultFileError as error:
        return str(error)
    return None
