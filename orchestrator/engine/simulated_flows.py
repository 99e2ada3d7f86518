"""Which steps of a simulated workflow start when? Every step succeeds, and what only a template knows is taken as
simply as it may be: the condition holds, and the list has one item."""

from __future__ import annotations

from collections.abc import Iterator

from orchestrator.core.flows import Step, items_of
from orchestrator.core.json_values import holds_template
from orchestrator.core.plan import Job
from orchestrator.engine.simulated_lanes import SimulatedRun


class _Progress:
    """How far a step is."""

    __slots__ = ("has_begun", "is_skipped", "left", "running", "step")

    def __init__(self, step: Step) -> None:
        self.step = step
        self.has_begun = False
        self.is_skipped = False
        self.left = 0
        self.running = 0

    @property
    def is_over(self) -> bool:
        return self.has_begun and not self.left and not self.running

    @property
    def has_room(self) -> bool:
        return self.left > 0 and (self.step.max_parallel is None or self.running < self.step.max_parallel)

    def begin(self, *, is_skipped: bool) -> None:
        self.has_begun = True
        self.is_skipped = is_skipped
        self.left = 0 if is_skipped else _runs_of(self.step)


class OpenFlow:
    """A workflow under way."""

    def __init__(self, run: SimulatedRun, job: Job) -> None:
        self.run = run
        self.parts: set[SimulatedRun] = set()
        """The runs of its steps that have not ended."""
        self._steps = {step.name: _Progress(step) for step in job.steps}

    @property
    def is_over(self) -> bool:
        """Whether all its steps have ended."""
        return all(progress.is_over for progress in self._steps.values())

    def ended(self, step: Step) -> None:
        """A run of a step has ended."""
        self._steps[step.name].running -= 1

    def starting(self) -> list[Step]:
        """The steps that start a run now, one for each run."""
        while ready := [progress for progress in self._steps.values() if self._may_begin(progress)]:
            for progress in ready:
                progress.begin(is_skipped=self._is_skipped(progress.step))
        return [step for progress in self._steps.values() for step in _starting(progress)]

    def _may_begin(self, progress: _Progress) -> bool:
        if progress.has_begun:
            return False
        step = progress.step
        first = {other.step.name for other in self._steps.values() if not other.step.is_final} if step.is_final else ()
        return all(self._steps[name].is_over for name in (*first, *step.needs, *step.needs_any))

    def _is_skipped(self, step: Step) -> bool:
        if step.when is not None:
            return step.when is False
        return any(self._steps[name].is_skipped for name in step.needs)


def _starting(progress: _Progress) -> Iterator[Step]:
    while progress.has_room:
        progress.left -= 1
        progress.running += 1
        yield progress.step


def _runs_of(step: Step) -> int:
    if step.foreach is None or holds_template(step.foreach):
        return 1
    return len(items_of(step.foreach, is_matrix=step.is_matrix))
