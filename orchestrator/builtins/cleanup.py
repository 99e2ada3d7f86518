"""`file.cleanup`: deletes old files of a folder, and never anything outside of it."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Annotated, Any

from orchestrator.builtins.checked import Checked
from orchestrator.builtins.tree import found
from orchestrator.core.units import format_size
from orchestrator.plugins.api import Context, Duration, job

_TOLD = 5
"""Failures that the message quotes."""


class CleanupFailed(Exception):  # noqa: N818
    """Some files couldn't be deleted; all others were."""


def _folder(value: str) -> str:
    """The folder itself, whatever link led to it. Raises `ValueError` for folders that hold all that somebody has."""
    if not value.strip() or "\0" in value:
        raise ValueError("is empty: name a folder")
    real = Path(os.path.realpath(os.path.expanduser(value)))  # noqa: PTH111 - raises nothing for an unknown user
    if real == Path(real.anchor):
        raise ValueError("is the root of the file system, which is not cleaned up")
    home = Path(os.path.realpath(os.path.expanduser("~")))  # noqa: PTH111
    if home == real or home.is_relative_to(real):
        raise ValueError("is or holds the home folder, which is not cleaned up")
    return str(real)


def _patterns(value: str | list[str]) -> list[str]:
    found = [value] if isinstance(value, str) else value
    if not found or not all(found):
        raise ValueError("is empty: write a pattern like *.log, or * for every file")
    if any(pattern.startswith("/") or ".." in pattern.split("/") for pattern in found):
        raise ValueError("leads out of the folder: patterns are relative to it")
    return found


def _count(value: int) -> int:
    if value < 0:
        raise ValueError("is less than none")
    return value


@job("file.cleanup")
def cleanup(
    folder: Annotated[str, Checked(_folder, "str")],
    pattern: Annotated[str | list[str], Checked(_patterns, "str | list[str]")],
    ctx: Context,
    older_than: Duration | None = None,
    keep: Annotated[int, Checked(_count, "int")] = 0,
    recursive: bool = False,  # noqa: FBT001, FBT002 - given by name
    dry_run: bool = False,  # noqa: FBT001, FBT002
    remove_empty_folders: bool = False,  # noqa: FBT001, FBT002
) -> dict[str, Any]:
    """Delete files whose name (or path below `folder`, if the pattern has a slash) fits a pattern.

    Only those that were last changed `older_than` ago, and never the newest `keep` of all that fit. Links are neither
    followed nor deleted. `dry_run` says what would be deleted. The result counts files, bytes and folders.
    """
    tree = found(folder, pattern, deep=recursive)
    before = time.time() - older_than.total_seconds() if older_than is not None else float("inf")
    newest_first = sorted(tree.files, key=lambda file: (-file.changed, file.path))
    chosen = [file for file in newest_first[keep:] if file.changed < before]
    for file in chosen:
        ctx.log.info("%s %s (%s)", "would delete" if dry_run else "deleting", file.path, format_size(file.size))
    failures: list[str] = []
    gone = chosen if dry_run else tree.delete(chosen, failures)
    folders = tree.remove_empty(before, failures) if remove_empty_folders and not dry_run else 0
    if failures:
        more = f" and {len(failures) - _TOLD} more" if len(failures) > _TOLD else ""
        raise CleanupFailed(f"{len(failures)} can't be deleted: {'; '.join(failures[:_TOLD])}{more}")
    return {
        "deleted": len(gone),
        "bytes": sum(file.size for file in gone),
        "kept": len(tree.files) - len(gone),
        "folders": folders,
        "dry_run": dry_run,
    }
