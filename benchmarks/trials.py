"""What is a measurement? Trials of several subjects in several cases, taken in turn so that all see the same noise."""

from __future__ import annotations

import math
import os
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

OURS = "orchestrator"

Sample = Mapping[str, float]
"""What one trial measured, by the metric's key. What could not be measured is left out."""


class TrialError(Exception):
    """A subject did not do what was asked of it, so that its figures would mean nothing."""


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A column: its key in samples, its title, and how a value is written."""

    key: str
    title: str
    form: Callable[[float], str]


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One subject in one case; `run` does it once."""

    case: str
    subject: str
    run: Callable[[], Sample]


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """A question, the trials that answer it, and the columns of the answer."""

    name: str
    question: str
    metrics: tuple[Metric, ...]
    trials: tuple[Trial, ...]
    compared: str | None = None
    """The metric by which the subjects of a case are set in relation to the first of them."""


@dataclass(kw_only=True)
class Result:
    """All samples of one subject in one case."""

    measurement: str
    case: str
    subject: str
    samples: list[Sample] = field(default_factory=list)
    loads: list[float] = field(default_factory=list)
    """The machine's load average before each trial: what else it was busy with."""
    errors: list[str] = field(default_factory=list)

    def median(self, key: str) -> float:
        """The middle of the samples, as the machine's noise has no known shape; NaN if there are none."""
        values = [sample[key] for sample in self.samples if key in sample]
        return statistics.median(values) if values else math.nan


def perform(measurement: Measurement, repeats: int, tell: Callable[[str], None]) -> list[Result]:
    """Run every trial `repeats` times, case by case, the subjects of a case in turn."""
    results = {
        (trial.case, trial.subject): Result(measurement=measurement.name, case=trial.case, subject=trial.subject)
        for trial in measurement.trials
    }
    for case in dict.fromkeys(trial.case for trial in measurement.trials):
        for turn in range(repeats):
            for trial in measurement.trials:
                if trial.case == case:
                    tell(f"{measurement.name}: {case}, {trial.subject}, {turn + 1} of {repeats}")
                    _perform_once(trial, results[case, trial.subject])
    return list(results.values())


def _perform_once(trial: Trial, result: Result) -> None:
    result.loads.append(round(os.getloadavg()[0], 2))
    try:
        result.samples.append(trial.run())
    except TrialError as error:
        result.errors.append(str(error))


def percentile(ascending: Sequence[float], share: float) -> float:
    """The value that `share` of all don't exceed (nearest rank)."""
    return ascending[max(0, math.ceil(share * len(ascending)) - 1)] if ascending else math.nan
