"""How the figures read: a table for each measurement, one for the aims, and everything as JSON."""

from __future__ import annotations

import math
import os
import platform
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from benchmarks.aims import judged
from benchmarks.settings import Settings
from benchmarks.trials import Measurement, Metric, Result

UNKNOWN = "–"


def print_measurement(console: Console, measurement: Measurement, results: Sequence[Result]) -> None:
    """Medians, and each subject's ratio to the first of its case."""
    console.print(f"{measurement.question} (medians; {_trials(results)})", style="bold", soft_wrap=True)
    table = _table()
    table.add_column("")
    table.add_column("", no_wrap=True)
    for metric in measurement.metrics:
        table.add_column(metric.title, justify="right")
    if measurement.compared:
        table.add_column("ratio", justify="right")
    shown = ""
    for result in results:
        if shown and result.case != shown:
            table.add_section()
        cells = [_cell(metric, result) for metric in measurement.metrics]
        ratio = [_ratio(measurement, result, results)] if measurement.compared else []
        table.add_row("" if result.case == shown else result.case, result.subject, *cells, *ratio)
        shown = result.case
    console.print(table)
    for result in results:
        for error in result.errors:
            console.print(f"  {result.case}, {result.subject}: {error}", style="red", markup=False)
    console.print()


def print_aims(console: Console, results: Sequence[Result]) -> None:
    """What the design asks for, as information."""
    found = judged(results)
    if not found:
        return
    console.print("Aims of the design", style="bold")
    table = _table()
    for title in ("aim", "median", ""):
        table.add_column(title, justify="right" if title == "median" else "left")
    for aim, figure in found:
        table.add_row(aim.text, aim.write(figure), "✓" if aim.reached(figure) else "✗")
    console.print(table)


def as_data(settings: Settings, measurements: Iterable[Measurement], results: Sequence[Result]) -> dict[str, Any]:
    """Everything that was measured, sample by sample."""
    titles = {measurement.name: measurement.question for measurement in measurements}
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {"cores": os.cpu_count(), "system": platform.system(), "python": platform.python_version()},
        "settings": {name: value for name, value in vars(settings).items() if name != "folder"},
        "questions": titles,
        "results": [_result(result) for result in results],
        "aims": [
            {"aim": aim.text, "median": figure, "limit": aim.limit, "reached": aim.reached(figure)}
            for aim, figure in judged(results)
        ],
    }


def _result(result: Result) -> dict[str, Any]:
    keys = dict.fromkeys(key for sample in result.samples for key in sample)
    return {
        "measurement": result.measurement,
        "case": result.case,
        "subject": result.subject,
        "median": {key: result.median(key) for key in keys},
        "samples": result.samples,
        "loads": result.loads,
        "errors": result.errors,
    }


def _table() -> Table:
    return Table(box=SIMPLE_HEAD, pad_edge=False)


def _trials(results: Sequence[Result]) -> str:
    loads = [load for result in results for load in result.loads]
    most = max((len(result.loads) for result in results), default=0)
    return f"{most} trial{'s' * (most != 1)} each, load average {min(loads):.1f} to {max(loads):.1f}"


def _cell(metric: Metric, result: Result) -> str:
    value = result.median(metric.key)
    return UNKNOWN if math.isnan(value) else metric.form(value)


def _ratio(measurement: Measurement, result: Result, results: Sequence[Result]) -> str:
    assert measurement.compared
    first = next(other for other in results if other.case == result.case)
    if result is first:
        return ""
    value = result.median(measurement.compared) / (first.median(measurement.compared) or math.nan)
    return UNKNOWN if math.isnan(value) else f"× {value:.2g}" if value < 100 else f"× {value:,.0f}"
