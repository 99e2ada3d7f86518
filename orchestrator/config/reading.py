"""From a path to a `Source`: bytes, text, data with positions, and what is wrong with them."""

from __future__ import annotations

from pathlib import Path

from orchestrator.config.decoding import Fault, read_text
from orchestrator.config.report import Report
from orchestrator.config.source import BROKEN, Block, Items, Source, at
from orchestrator.config.tree import parse


def read_source(file: Path, report: Report) -> Source | None:
    """The file, if its top is a mapping; else none, and `report` says why."""
    text, fault = read_text(file)
    source = Source(file, text)
    if fault is not None:
        _tell(fault, source, report)
        return None
    tree, start, faults = parse(text, lambda: source.lines)
    for found in faults:
        _tell(found, source, report)
    if isinstance(tree, Block):
        return Source(file, text, tree, start)
    if tree is None:
        _tell(Fault("empty-file", "the file is empty", hint="start with `version: 1`"), source, report)
    elif tree is not BROKEN:
        kind = "a list" if isinstance(tree, Items) else "a single value"
        hint = "start with `version: 1`, then `jobs:` with the jobs below"
        message = f"the file should be a mapping of keys, not {kind}"
        _tell(Fault("not-a-mapping", message, start.line, start.column, 0, hint), source, report)
    return None


def _tell(fault: Fault, source: Source, report: Report) -> None:
    note = report.warning if fault.warning else report.error
    note(fault.code, fault.message, at(source, fault.line, fault.column, fault.end), fault.hint)
