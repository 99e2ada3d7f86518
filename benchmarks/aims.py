"""What does the design ask for? Each aim, and whether the figures reach it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from benchmarks.trials import OURS, Result


@dataclass(frozen=True, kw_only=True)
class Aim:
    """A limit for the median of one metric of one subject in one case."""

    text: str
    measurement: str
    case: str
    subject: str
    metric: str
    limit: float
    at_least: bool = False
    scale: float = 1.0
    unit: str = ""

    def reached(self, figure: float) -> bool:
        """Whether a figure, in the metric's own unit, is good enough."""
        return figure >= self.limit if self.at_least else figure <= self.limit

    def write(self, figure: float) -> str:
        """A figure for people."""
        scaled = figure * self.scale
        return f"{scaled:,.0f}{self.unit}" if scaled >= 100 else f"{scaled:.3g}{self.unit}"


_THOUSAND = "1,000 jobs/s"
_PROCESS = f"{OURS}, process"
AIMS = (
    *(
        Aim(
            text=f"{text} no-op runs a second end to end, {mode}",
            measurement="throughput",
            case="no-op runs",
            subject=f"{OURS}, {mode}",
            metric="durable",
            limit=limit,
            at_least=True,
        )
        for text, limit in (("4,000", 4_000), ("10,000 (the design's)", 10_000))
        for mode in ("process", "async")
    ),
    Aim(
        text="p99 lateness under 60 ms at 1,000 jobs a second",
        measurement="lateness",
        case=_THOUSAND,
        subject=_PROCESS,
        metric="p99",
        limit=0.060,
        scale=1000,
        unit=" ms",
    ),
    *(
        Aim(
            text=f"none {metric} at 1,000 jobs a second",
            measurement="lateness",
            case=_THOUSAND,
            subject=_PROCESS,
            metric=metric,
            limit=0,
        )
        for metric in ("missed", "skipped")
    ),
    Aim(
        text="first fire within 1 s of start at 10 jobs",
        measurement="startup",
        case="10 jobs",
        subject=OURS,
        metric="fire",
        limit=1.0,
        unit=" s",
    ),
    Aim(
        text="engine under 80 MB with 10,000 jobs",
        measurement="startup",
        case="10,000 jobs",
        subject=OURS,
        metric="rss",
        limit=80e6,
        scale=1e-6,
        unit=" MB",
    ),
    *(
        Aim(
            text=f"idle under 0.5 % of a core with {count} jobs",
            measurement="idle",
            case=f"{count} jobs",
            subject=OURS,
            metric="tree",
            limit=0.5,
            unit=" %",
        )
        for count in ("10", "10,000")
    ),
)


def judged(results: Iterable[Result]) -> list[tuple[Aim, float]]:
    """Every aim whose metric was measured, with its median."""
    medians = {(result.measurement, result.case, result.subject): result for result in results}
    found = []
    for aim in AIMS:
        result = medians.get((aim.measurement, aim.case, aim.subject))
        figure = result.median(aim.metric) if result else math.nan
        if not math.isnan(figure):
            found.append((aim, figure))
    return found
