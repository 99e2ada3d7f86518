"""What an `every:` phrase says, read by building the `schedule` library's own job; `1h30m` is an extension of ours."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from datetime import time, timedelta
from functools import lru_cache

import schedule

from orchestrator.core.errors import TriggerError, UnitError
from orchestrator.core.units import parse_duration

UNITS = ("second", "minute", "hour", "day", "week")
WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
FORMS = (
    "write `10 minutes`, `day at 10:30`, `hour at :15`, `minute at :23`, `monday at 09:00`, `2 weeks`, "
    "`5 to 10 minutes` or a duration such as `1h30m`"
)
_PHRASE = re.compile(r"(?:([0-9]{1,9})(?:\s+to\s+([0-9]{1,9}))?\s+)?([a-z]+)(?:\s+at\s+(\S+))?")
_LONGEST = timedelta(days=36_525)


@dataclass(frozen=True, slots=True)
class Phrase:
    """`interval` to `latest` (when random) of `unit`; or, for a compact duration, `unit` empty and `exact` set."""

    interval: int
    unit: str
    latest: int | None = None
    weekday: str | None = None
    at: time | None = None
    exact: timedelta | None = None

    @property
    def step(self) -> timedelta:
        """One interval, the shortest when random."""
        return self.exact or timedelta(**{self.unit: self.interval})

    @property
    def cron(self) -> str | None:
        """The cron expression that says the same, for phrases that don't depend on where one starts to count."""
        if self.interval != 1 or self.latest is not None or self.at is None:
            return None
        if self.unit == "minutes":
            return f"{self.at.second} * * * * *"
        if self.unit == "hours":
            return f"{self.at.second} {self.at.minute} * * * *"
        day = "*" if self.weekday is None else self.weekday[:3].upper()
        return f"{self.at.second} {self.at.minute} {self.at.hour} * * {day}"


@lru_cache(maxsize=1024)
def parse_phrase(text: str) -> Phrase:
    """Read a phrase. Raises `TriggerError` with the library's complaint and the accepted forms."""
    words = " ".join(text.lower().split()).removeprefix("every ")
    if match := _PHRASE.fullmatch(words):
        interval, latest, unit, at = match.groups()
        _check_unit(text, unit)
        return _checked(text, _library_phrase(text, interval, latest, unit, at))
    try:
        exact = parse_duration(words)
    except UnitError:
        raise TriggerError(f"`every: {text}` can't be read", FORMS) from None
    if not exact:
        raise TriggerError(f"`every: {text}` is no time at all", FORMS)
    return Phrase(interval=1, unit="", exact=exact)


def _check_unit(text: str, unit: str) -> None:
    known = [*UNITS, *(unit + "s" for unit in UNITS), *WEEKDAYS]
    if unit not in known:
        close = difflib.get_close_matches(unit, known, 1)
        hint = f"did you mean `{close[0]}`?" if close else FORMS
        raise TriggerError(f"`every: {text}`: unknown unit `{unit}`", hint)


def _library_phrase(text: str, interval: str | None, latest: str | None, unit: str, at: str | None) -> Phrase:
    # Only the library's reading is wanted: without `do()` the job is registered nowhere and never asks the time.
    job = schedule.Scheduler().every(int(interval or 1))
    try:
        if latest is not None:
            job = job.to(int(latest))
        job = getattr(job, unit)
        if at is not None:
            job = job.at(at)
    except (schedule.ScheduleError, TypeError, ValueError) as error:
        raise TriggerError(f"`every: {text}`: {_complaint(error, at)}", FORMS) from None
    return Phrase(job.interval, job.unit or "", job.latest, job.start_day, job.at_time)


def _complaint(error: Exception, at: str | None) -> str:
    text = str(error)
    if "number of hours" in text:
        return f"{at} is not a time of day"
    if "Invalid unit" in text:
        return "`at` goes with minutes, hours, days or a weekday"
    return text[:1].lower() + text[1:]


def _checked(text: str, phrase: Phrase) -> Phrase:
    if phrase.interval < 1:
        raise TriggerError(f"`every: {text}`: the interval must be at least 1", FORMS)
    if phrase.latest is not None and phrase.latest < phrase.interval:
        raise TriggerError(
            f"`every: {text}`: the longer interval comes second",
            f"write `{phrase.latest} to {phrase.interval} {phrase.unit}`",
        )
    if (phrase.latest or phrase.interval) > _LONGEST // timedelta(**{phrase.unit: 1}):
        raise TriggerError(f"`every: {text}` is longer than a hundred years", FORMS)
    return phrase
