"""Do the names that jobs use exist: queues, and the jobs that they come after? And does nothing wait for itself?"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from orchestrator.config.circles import circles
from orchestrator.config.keys import close_to
from orchestrator.config.model_job import JobShape
from orchestrator.config.model_step import StepShape
from orchestrator.config.report import Report
from orchestrator.config.sections import Entry
from orchestrator.config.source import Place
from orchestrator.core.plan import DEFAULT_QUEUE
from orchestrator.core.triggers import AfterTrigger, On

_MAX_SUGGESTIONS = 100
"""Suggestions cost a comparison with every known name; a file with more mistakes has one cause."""


_AS_HOOK = " (a hook)"
_NO_HOOKS: Mapping[str, Collection[str]] = {}


class Relations:
    """Checks names against those that the files define, sound or not."""

    def __init__(self, jobs: Iterable[str], queues: Iterable[str], report: Report) -> None:
        self._jobs = dict.fromkeys(jobs)
        self._queues = dict.fromkeys((*queues, DEFAULT_QUEUE))
        self._report = report
        self._misses = 0
        self._places: dict[tuple[str, str], Place] = {}

    def check_queue(self, job: Entry[JobShape] | Entry[StepShape]) -> None:
        """An unknown queue is an error."""
        if "queue" in job.value.model_fields_set:
            self._queue(job.value.queue, job, "queue")

    def check_default_queue(self, defaults: Entry[Any], queue: str) -> None:
        """The same for `defaults`."""
        self._queue(queue, defaults, "queue")

    def afters(self, job: Entry[JobShape]) -> tuple[AfterTrigger, ...]:
        """The jobs that this one comes after, those that exist."""
        found = []
        for index, after in enumerate(job.value.after or ()):
            place = job.at("after", index, "job")
            if after.job == job.name:
                self._report.error(
                    "after-itself", f"job `{job.name}` comes after itself", place, "for work in a loop use `every`"
                )
            elif after.job not in self._jobs:
                hint = self._suggestion(after.job, self._jobs)
                self._report.error("unknown-job", f"there is no job `{after.job}`", place, hint)
            else:
                self._places.setdefault((job.name, after.job), place)
                found.append(AfterTrigger(job=after.job, on=On(after.on or On.SUCCESS)))
        return tuple(found)

    def check_circles(
        self, afters: Mapping[str, tuple[AfterTrigger, ...]], hooks: Mapping[str, Collection[str]] = _NO_HOOKS
    ) -> None:
        """Report every circle of `after` once, naming all of it, at the job of it that comes first in the files.

        A job that is run as a hook comes after the job whose hook it is. That run fires no hooks itself, so it is
        another node than the job's other runs.
        """
        rank = {name: index for index, name in enumerate(afters)}
        for circle in circles(_edges(afters, hooks)):
            first = min(range(len(circle)), key=lambda i: rank.get(circle[i], len(rank)))
            turned = [*circle[first:], *circle[:first], circle[first]]
            message = f"these jobs come after each other in a circle: {' after '.join(turned)}"
            place = self._places[turned[0], turned[1].removesuffix(_AS_HOOK)]
            self._report.error("after-circle", message, place, "remove one `after` of them")

    def sub_job(self, name: str, place: Place) -> bool:
        """Whether the job that a step names exists; an unknown one is an error."""
        if name not in self._jobs:
            self._report.error("unknown-job", f"there is no job `{name}`", place, self._suggestion(name, self._jobs))
        return name in self._jobs

    def _queue(self, name: str, entry: Entry[Any], key: str) -> None:
        if name in self._queues:
            return
        hint = self._suggestion(name, self._queues) or f"define it: `queues: {{{name}: {{}}}}`"
        self._report.error("unknown-queue", f"there is no queue `{name}`", entry.at(key), hint)

    def _suggestion(self, name: str, known: Iterable[str]) -> str | None:
        self._misses += 1
        close = close_to(name, known) if self._misses <= _MAX_SUGGESTIONS else None
        return f"did you mean `{close}`?" if close else None


def _edges(
    afters: Mapping[str, tuple[AfterTrigger, ...]], hooks: Mapping[str, Collection[str]]
) -> dict[str, list[str]]:
    """What each job comes after."""
    owners: dict[str, list[str]] = {}
    for owner, jobs in hooks.items():
        for job in jobs:
            owners.setdefault(job + _AS_HOOK, []).append(owner)
    edges = {name: [after.job for after in found] for name, found in afters.items()}
    for befores in edges.values():
        befores += [job + _AS_HOOK for job in befores if job + _AS_HOOK in owners]
    return {**edges, **owners}
