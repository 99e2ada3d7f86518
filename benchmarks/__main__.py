"""Measure and print: `python -m benchmarks [--quick] [--only NAME] [--repeats N] [--json FILE]`. Always exits 0."""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from benchmarks.idle import idle
from benchmarks.lateness import lateness
from benchmarks.settings import Settings, quick
from benchmarks.startup import startup
from benchmarks.table import as_data, print_aims, print_measurement
from benchmarks.throughput import throughput
from benchmarks.trials import Measurement, Result, perform

MEASUREMENTS: dict[str, Callable[[Settings], Measurement]] = {
    "throughput": throughput,
    "lateness": lateness,
    "startup": startup,
    "idle": idle,
}
WIDTH = 140
"""Of tables that go to a file or a pipe."""


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure the orchestrator beside peers.")
    parser.add_argument("--quick", action="store_true", help="smaller and once: a minute for each measurement at most")
    parser.add_argument("--only", action="append", choices=MEASUREMENTS, metavar="NAME", help=", ".join(MEASUREMENTS))
    parser.add_argument("--repeats", type=int, metavar="N", help="how often each trial is done")
    parser.add_argument("--runs", type=int, metavar="N", help="how many runs throughput enqueues")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every sample there")
    parser.add_argument("--folder", type=Path, metavar="DIR", help="where the databases are made: the disk to measure")
    return parser.parse_args()


def _settings(arguments: argparse.Namespace, folder: Path) -> Settings:
    settings = quick(folder) if arguments.quick else Settings(folder=folder)
    given = {name: value for name in ("repeats", "runs") if (value := getattr(arguments, name)) is not None}
    return replace(settings, **given)


def main() -> None:
    """Measure what was asked for."""
    arguments = _arguments()
    console, progress = Console(highlight=False), Console(stderr=True)
    if not console.is_terminal:
        console.width = WIDTH
    console.print(f"{os.cpu_count()} cores, Python {platform.python_version()}\n")
    results: list[Result] = []
    with tempfile.TemporaryDirectory(prefix="benchmarks-", dir=arguments.folder) as folder:
        settings = _settings(arguments, Path(folder))
        chosen = [MEASUREMENTS[name](settings) for name in MEASUREMENTS if name in (arguments.only or MEASUREMENTS)]
        for measurement in chosen:
            with progress.status("") as status:
                found = perform(measurement, settings.repeats, status.update)
            print_measurement(console, measurement, found)
            results += found
    print_aims(console, results)
    if arguments.json:
        arguments.json.write_text(json.dumps(as_data(settings, chosen, results), indent=2) + "\n")


if __name__ == "__main__":
    main()
