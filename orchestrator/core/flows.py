"""The steps of a workflow, as plain data: what each does, what it waits for, what its failure means."""

from __future__ import annotations

import itertools
import math
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

import msgspec

from orchestrator.core.errors import ConfigError
from orchestrator.core.result_files import ResultFile

MOST_ITEMS = 10_000
"""Items of one `foreach` or `matrix`: each is a run of its own."""


class StepKind(StrEnum):
    """What a step does: the key that it is declared by."""

    CALL = "call"
    JOB = "job"
    APPROVE = "approve"
    WAIT_FOR = "wait_for"
    SLEEP = "sleep"


class OnFailure(StrEnum):
    """What the failure of a step means: nothing more starts; it is as good as a success; or only the steps that need
    it are skipped, and the workflow fails when all else has ended."""

    FAIL = "fail"
    CONTINUE = "continue"
    SKIP_DEPENDENTS = "skip_dependents"


class ItemsError(ConfigError):
    """What a step is to run for is no list, or too long a one."""


class Step(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A step as declared. Its policies, call and parameters are those of the hidden job `job`."""

    name: str
    job: str
    """The plan's name of the hidden job: `weekly-report/collect`."""
    kind: StepKind = StepKind.CALL
    needs: tuple[str, ...] = ()
    needs_any: tuple[str, ...] = ()
    on_failure: OnFailure = OnFailure.FAIL
    is_final: bool = False
    """It is under `finally`: it runs when all others have ended, however they did."""
    when: Any = None
    """A template's marker, true or false; none means always."""
    when_per_item: bool = False
    """The condition reads the item: it is asked for each."""
    foreach: Any = None
    """A list or a template's marker; for a matrix a mapping of those."""
    is_matrix: bool = False
    max_parallel: int | None = None
    reads: tuple[str, ...] = ()
    """The steps that its templates read."""
    loads: tuple[str, ...] = ()
    """Those of them whose results they read, and not only how they ended."""
    sub_job: str = ""
    """The job that a `job` step runs."""
    pause: timedelta = timedelta(0)
    """How long a `sleep` step sleeps; how long a `wait_for` step waits between two looks."""
    message: str = ""
    """What an `approve` step asks."""
    prepares: bool = False
    """A worker has to look first: whether it is wanted, for which items, with which parameters."""

    @property
    def is_many(self) -> bool:
        """Whether it has one run for each item."""
        return self.foreach is not None


def items_of(foreach: Any, *, is_matrix: bool) -> list[Any]:
    """The items of a step, its templates rendered: a list's own, or the combinations of a matrix's lists.

    Raises `ItemsError` for what isn't a list, and for more than `MOST_ITEMS`.
    """
    lists = foreach if is_matrix else {"foreach": foreach}
    if not isinstance(lists, dict) or not lists:
        raise ItemsError("`matrix` should be a mapping of lists")
    for name, values in lists.items():
        if not isinstance(values, list):
            raise ItemsError(f"`{name}` should be a list, not {_kind_of(values)}")
    if (count := math.prod(map(len, lists.values()))) > MOST_ITEMS:
        raise ItemsError(f"there are {count:,} items; {MOST_ITEMS:,} are the most")
    if not is_matrix:
        return list(foreach)
    return [dict(zip(lists, values, strict=True)) for values in itertools.product(*lists.values())]


def _kind_of(value: Any) -> str:
    if value is None:
        return "nothing"
    kinds: dict[type, str] = {bool: "true or false", int: "a number", float: "a number", str: "text"}
    return kinds.get(type(value), "a mapping")


class StepSight(msgspec.Struct, frozen=True, kw_only=True):
    """What the attempt of a step sees of its workflow; its templates are rendered with this."""

    flow_id: int
    flow_job: str
    fire_time: datetime | None
    params: dict[str, Any] = {}
    """The workflow run's, as stored: they may hold templates themselves."""
    state: str | None = None
    """How the workflow stands, for steps under `finally`."""
    steps: dict[str, Any] = {}
    """What the steps that it reads came to: `state`, `result`, `reason`."""
    files: tuple[ResultFile, ...] = ()
    """What of that lies in files; it is filled in where templates are rendered."""
    too_large: str | None = None
    """The step with whose result the results to read became more than can be."""
    item: Any = None
    index: int | None = None
    is_matrix: bool = False
    when: Any = None
    when_of_item: Any = None
    """The condition that a preparation asks for each item: their runs are another job's, which knows none."""
    prepares: bool = False
    """The attempt renders the condition, the items and the parameters, and calls nothing."""
    foreach: Any = None
    is_sub_job: bool = False
