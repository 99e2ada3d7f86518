"""What is printed at the end of a soak."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator

from soak.checker import CHECKS
from soak.trial import Report

SHOWN = 10
"""Violations of one kind that are told one by one."""


def figures(report: Report) -> Iterator[str]:
    """The figures, and what is wrong."""
    evidence = report.evidence
    states = Counter(run.state for run in evidence.runs.values())
    outcomes = Counter(record.outcome for record in evidence.attempts)
    yield f"{report.seconds:.0f} s, {report.kills} kills, {len(evidence.runs)} runs, {len(evidence.attempts)} attempts"
    yield f"faults    {_counted(report.faults)}"
    yield f"runs      {_counted(states)}"
    yield f"attempts  {_counted(outcomes)}"
    yield f"refused   {report.events['run.refused']} late ends, {report.events['engine.lease_lost']} lost leases"
    yield f"accepted  {len(evidence.acknowledged)}; journal {len(evidence.journal)} entries"
    found: dict[str, list[str]] = defaultdict(list)
    for violation in report.violations:
        found[violation.kind].append(violation.text)
    yield ", ".join(f"{kind}: {len(found[kind])}" for kind in CHECKS)
    for kind, texts in found.items():
        yield from (f"{kind}: {text}" for text in texts[:SHOWN])
        if len(texts) > SHOWN:
            yield f"{kind}: and {len(texts) - SHOWN} more"


def _counted(counter: Counter[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counter.most_common()) or "none"
