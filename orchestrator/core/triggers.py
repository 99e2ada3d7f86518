"""What a job's triggers say, as data. The `triggers` room turns a spec into fire times."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum

import msgspec


class On(StrEnum):
    """Which end of another job's run fires an `after` trigger."""

    SUCCESS = "success"
    FAILURE = "failure"
    END = "end"


class CronSpec(msgspec.Struct, frozen=True, kw_only=True, tag="cron"):
    """A cron expression in a timezone. `hash_key` is the job's name when the expression uses `H`, else empty."""

    expression: str
    timezone: str = "UTC"
    hash_key: str = ""
    start: datetime | None = None
    end: datetime | None = None


class EverySpec(msgspec.Struct, frozen=True, kw_only=True, tag="every"):
    """A phrase of the `schedule` library. `hash_key` seeds random intervals (`5 to 10 minutes`), else empty."""

    phrase: str
    timezone: str = "UTC"
    hash_key: str = ""
    start: datetime | None = None
    end: datetime | None = None


class AtSpec(msgspec.Struct, frozen=True, kw_only=True, tag="at"):
    """One or several instants, ascending, UTC."""

    times: tuple[datetime, ...]


TimeSpec = CronSpec | EverySpec | AtSpec


class TimeTrigger(msgspec.Struct, frozen=True, kw_only=True):
    """A schedule, and how much each fire may be put off at random to spread load (the fire time stays exact)."""

    spec: TimeSpec
    jitter: timedelta = timedelta(0)


class AfterTrigger(msgspec.Struct, frozen=True, kw_only=True):
    """Fires when a run of another job ends."""

    job: str
    on: On = On.SUCCESS
