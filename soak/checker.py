"""Is anything lost, doubled, stuck or out of policy? Each check takes the evidence and says what is wrong with it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from typing import NamedTuple

from soak.evidence import FINAL, Evidence
from soak.fires import lost_fires

AtWork = tuple[int, int, int]
"""From, until (nanoseconds), and the run."""


class Violation(NamedTuple):
    """A promise that wasn't kept."""

    kind: str
    """`lost`, `doubled`, `stuck`, `out of policy`, `untold` or `unhealthy`."""
    text: str


def check(evidence: Evidence) -> list[Violation]:
    """Everything that is wrong, by every check."""
    return [
        Violation(kind, text) for kind, checks in CHECKS.items() for one_check in checks for text in one_check(evidence)
    ]


def lost_acknowledged(evidence: Evidence) -> Iterator[str]:
    """A run that was accepted must be there."""
    for run_id in evidence.acknowledged:
        if run_id not in evidence.runs:
            yield f"run {run_id} was acknowledged and isn't there"


def lost_followers(evidence: Evidence) -> Iterator[str]:
    """The end of a run and the run that follows it are one transaction."""
    followed = {run.parent_id for run in evidence.runs.values() if run.parent_id is not None}
    parents = {policy.follows for policy in evidence.policies.values()} - {None}
    for run in evidence.runs.values():
        if run.job in parents and run.state in ("succeeded", "failed") and run.id not in followed:
            yield f"nothing followed run {run.id} of {run.job}"


def given_up(evidence: Evidence) -> Iterator[str]:
    """Nobody cancels here, and a run fails only when its attempts are used up."""
    for run in evidence.runs.values():
        policy = evidence.policies[run.job]
        charged = run.attempt - run.uncharged
        if run.state == "cancelled":
            yield f"run {run.id} of {run.job} was cancelled, and nobody asked for it: {run.reason}"
        elif run.state == "failed" and not policy.at_most_once and charged < policy.max_attempts:
            yield f"run {run.id} of {run.job} failed after {charged} of {policy.max_attempts} attempts: {run.reason}"
        elif run.state == "skipped" and run.fire_time is None:
            yield f"run {run.id} of {run.job} was skipped, and no schedule had asked for it: {run.reason}"
        elif run.state == "skipped" and not run.reason:
            yield f"run {run.id} of {run.job} was skipped without a reason"


def twice_created(evidence: Evidence) -> Iterator[str]:
    """A fire time, or an end, gives one run."""
    fires = Counter((run.job, run.fire_time) for run in evidence.runs.values() if run.fire_time is not None)
    children = Counter((run.job, run.parent_id) for run in evidence.runs.values() if run.parent_id is not None)
    for (job, fire_time), count in fires.items():
        if count > 1:
            yield f"{job} has {count} runs for the fire time {fire_time}"
    for (job, parent), count in children.items():
        if count > 1:
            yield f"{count} runs of {job} follow run {parent}"


def twice_succeeded(evidence: Evidence) -> Iterator[str]:
    """A fence stands before the second success."""
    successes = Counter(record.run_id for record in evidence.attempts if record.outcome == "succeeded")
    for run_id, count in successes.items():
        if count > 1:
            yield f"run {run_id} succeeded {count} times"
    for run in evidence.runs.values():
        if (run.state == "succeeded") != (successes[run.id] > 0):
            yield f"run {run.id} is {run.state}, and {successes[run.id]} of its attempts succeeded"


def twice_executed(evidence: Evidence) -> Iterator[str]:
    """`at_most_once` means what it says."""
    marks = Counter(
        (entry.mark, entry.run_id) for entry in evidence.journal if evidence.policies[entry.job].at_most_once
    )
    for (mark, run_id), count in marks.items():
        if count > 1:
            yield f"run {run_id} is at_most_once, and its callable came to its {mark} {count} times"


def stuck(evidence: Evidence) -> Iterator[str]:
    """A healthy engine had all the time it needs: nothing may be left."""
    for run in evidence.runs.values():
        if run.state not in FINAL:
            yield f"run {run.id} of {run.job} is still {run.state} (attempt {run.attempt})"
    yield from evidence.unfinished


def too_many_attempts(evidence: Evidence) -> Iterator[str]:
    """No run is charged more attempts than its policy gives it."""
    highest: dict[int, int] = defaultdict(int)
    for record in evidence.attempts:
        highest[record.run_id] = max(highest[record.run_id], record.number)
    for run in evidence.runs.values():
        most = 1 if evidence.policies[run.job].at_most_once else evidence.policies[run.job].max_attempts
        charged = max(run.attempt - run.uncharged, highest[run.id])
        if charged > most:
            yield f"run {run.id} of {run.job} was charged {charged} attempts of {most}"


def too_many_at_once(evidence: Evidence) -> Iterator[str]:
    """A job of `concurrency: 1` is never seen twice at work, as far as the attempts had any effect.

    An attempt that was given up as crashed may linger while its engine is frozen: a lease can't promise more.
    """
    for job, spans in _at_work(evidence).items():
        busy: AtWork | None = None
        for span in sorted(spans):
            if busy is not None and span[0] < busy[1] and span[2] != busy[2]:
                yield f"runs {busy[2]} and {span[2]} of {job} were at work at once"
            busy = span if busy is None or span[1] > busy[1] else busy


def _at_work(evidence: Evidence) -> dict[str, list[AtWork]]:
    """When jobs of `concurrency: 1` are known to have been at work, by attempts that were recorded as successes."""
    recorded = {(r.run_id, r.number) for r in evidence.attempts if r.outcome == "succeeded"}
    began: dict[tuple[int, int, int], int] = {}
    spans: dict[str, list[AtWork]] = defaultdict(list)
    for entry in evidence.journal:
        if evidence.policies[entry.job].concurrency != 1:
            continue
        if entry.mark == "start":
            began[entry.run_id, entry.number, entry.pid] = entry.at
        elif (entry.run_id, entry.number) in recorded:
            spans[entry.job].append((began[entry.run_id, entry.number, entry.pid], entry.at, entry.run_id))
    return spans


def untold_attempts(evidence: Evidence) -> Iterator[str]:
    """What is recorded as done was done, by the journal; and what began is on record."""
    starts = Counter((entry.run_id, entry.number) for entry in evidence.journal if entry.mark == "start")
    ends = {(entry.run_id, entry.number) for entry in evidence.journal if entry.mark == "end"}
    records = Counter((record.run_id, record.number) for record in evidence.attempts)
    for record in evidence.attempts:
        key = (record.run_id, record.number)
        if record.outcome in ("succeeded", "failed") and not starts[key]:
            yield f"attempt {record.attempt} of run {record.run_id} is recorded as {record.outcome} and never began"
        elif record.outcome == "succeeded" and key not in ends:
            yield f"attempt {record.attempt} of run {record.run_id} is recorded as succeeded and never came to its end"
    for (run_id, number), count in starts.items():
        if count > records[run_id, number]:
            yield f"run {run_id} began attempt {number} {count} times, and {records[run_id, number]} are recorded"


def unhealthy(evidence: Evidence) -> Iterator[str]:
    """No engine ends by itself, none hangs, and the database is whole."""
    yield from evidence.failures
    if evidence.integrity != "ok":
        yield f"the database is damaged: {evidence.integrity}"


Check = Callable[[Evidence], Iterator[str]]
CHECKS: dict[str, tuple[Check, ...]] = {
    "lost": (lost_acknowledged, lost_followers, given_up, lost_fires),
    "doubled": (twice_created, twice_succeeded, twice_executed),
    "stuck": (stuck,),
    "out of policy": (too_many_attempts, too_many_at_once),
    "untold": (untold_attempts,),
    "unhealthy": (unhealthy,),
}
