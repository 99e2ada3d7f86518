"""The policies a job declares, as frozen values: when to retry, what happens when fires collide or are missed."""

from __future__ import annotations

import random
from datetime import timedelta
from enum import StrEnum

import msgspec

from orchestrator.core.keys import KeyTemplate


class Backoff(StrEnum):
    """How the pause between attempts grows."""

    CONSTANT = "constant"
    LINEAR = "linear"
    EXPONENTIAL = "exponential"


class Jitter(StrEnum):
    """How much of a pause is random: none of it, all of it, or half of it."""

    NONE = "none"
    FULL = "full"
    EQUAL = "equal"


class Overlap(StrEnum):
    """What becomes of a fire time that arrives while an earlier run of the job is not finished."""

    SKIP = "skip"
    QUEUE = "queue"
    REPLACE = "replace"
    ALLOW = "allow"


class CatchUp(StrEnum):
    """What becomes of fire times that passed while nothing could serve them."""

    SKIP = "skip"
    LAST = "last"
    ALL = "all"


class Isolation(StrEnum):
    """Where a callable runs: alone in a process, in a thread among others, or on the async worker's loop."""

    PROCESS = "process"
    THREAD = "thread"
    ASYNC = "async"


class Order(StrEnum):
    """Which of a queue's waiting runs of one priority goes first: the oldest, or the newest."""

    FIFO = "fifo"
    LIFO = "lifo"


class OnConflict(StrEnum):
    """What becomes of a run whose key is taken: it is not created; the one that waits gives way to it; or it is not
    created, and the key stays taken for longer."""

    IGNORE = "ignore"
    REPLACE = "replace"
    EXTEND = "extend"


class RateLimit(msgspec.Struct, frozen=True, kw_only=True):
    """At most `count` starts in any stretch of time as long as `period`."""

    count: int
    period: timedelta


class PerKey(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Limits that runs with the same key share; keys take turns."""

    by: KeyTemplate
    concurrency: int | None = None
    rate_limit: RateLimit | None = None


class Unique(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """When a run is a duplicate: another of the job with its key was created less than `window` ago or, without a
    window, isn't finished."""

    by: KeyTemplate | None = None
    """None: all parameters together."""
    window: timedelta | None = None
    on_conflict: OnConflict = OnConflict.IGNORE


KEY_UNIQUE = Unique(window=timedelta(days=1))
"""For a run that somebody gives a key of its own, where the job has no policy: asked again within a day, it exists."""


class Batching(msgspec.Struct, frozen=True, kw_only=True):
    """How runs of a job are gathered into one call: when `size` of them are due, or the first has waited for `wait`."""

    size: int
    wait: timedelta = timedelta(0)


class Retry(msgspec.Struct, frozen=True, kw_only=True):
    """When a failed attempt is followed by another, and after how long.

    `on` and `give_up_on` hold exception names, qualified (`smtplib.SMTPException`) or bare (`TimeoutError`);
    a name matches the exception's class and its bases. An empty `on` means every exception.
    """

    max_attempts: int = 3
    backoff: Backoff = Backoff.EXPONENTIAL
    delay: timedelta = timedelta(seconds=2)
    max_delay: timedelta = timedelta(minutes=5)
    jitter: Jitter = Jitter.FULL
    on: tuple[str, ...] = ()
    give_up_on: tuple[str, ...] = ()

    def pause(self, attempt: int, rng: random.Random | None = None) -> timedelta:
        """How long to wait after the failed `attempt` (the first is 1), never more than `max_delay`.

        Jitter as in Amazon's "Exponential Backoff And Jitter": full draws from [0, d], equal from [d/2, d].
        """
        draw = (rng or random).random
        factor = {
            Backoff.CONSTANT: 1,
            Backoff.LINEAR: attempt,
            Backoff.EXPONENTIAL: 2 ** min(attempt - 1, 60),
        }[self.backoff]
        seconds = min(self.delay.total_seconds() * factor, self.max_delay.total_seconds())
        if self.jitter is Jitter.FULL:
            seconds *= draw()
        elif self.jitter is Jitter.EQUAL:
            seconds *= 0.5 + draw() / 2
        return timedelta(seconds=seconds)

    def covers(self, names: tuple[str, ...]) -> bool:
        """Whether an exception with these class names (its own and its bases', qualified) may be retried."""
        if _any_matches(self.give_up_on, names):
            return False
        return not self.on or _any_matches(self.on, names)


def _any_matches(wanted: tuple[str, ...], names: tuple[str, ...]) -> bool:
    bare = {name.rpartition(".")[2] for name in names}
    plain = (name.removeprefix("builtins.") for name in wanted)
    return any(name in names or ("." not in name and name in bare) for name in plain)
