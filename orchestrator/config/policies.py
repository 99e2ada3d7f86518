"""Which policies does a job have in the end? Its own, else the file's defaults, else the built-in ones: merged here,
once, so that nothing below asks again."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec

from orchestrator.config.model_hooks import HOOKS
from orchestrator.config.model_job import JobShape
from orchestrator.config.model_policies import Policies, StepPolicies
from orchestrator.config.model_step import StepShape
from orchestrator.config.report import Report
from orchestrator.config.sections import Entry
from orchestrator.config.source import Place, Source
from orchestrator.core.hooks import Sla
from orchestrator.core.plan import DEFAULT_TIMEOUT, Retention
from orchestrator.core.policies import Overlap, Retry, Unique
from orchestrator.core.units import format_duration

_APART = {"retry", "retention", "unique", "sla", *HOOKS}
_MERGED = tuple(name for name in Policies.model_fields if name not in _APART)
_STEPS = tuple(name for name in StepPolicies.model_fields if name not in _APART)
_OF_THE_WHOLE = {"deadline", "concurrency"}
"""What a job with steps says of these it says of its runs, not of every step."""


class Merge:
    """Merges `defaults` into jobs."""

    def __init__(self, defaults: Policies, main: Source, report: Report) -> None:
        self._defaults = defaults
        self._main = main
        self._report = report
        self._base = {name: getattr(defaults, name) for name in _MERGED if name in defaults.model_fields_set}
        self._base_retry = _keys_of(defaults, "retry")
        self._base_retention = _keys_of(defaults, "retention")
        self._base_sla = _keys_of(defaults, "sla")

    def policies(self, job: Entry[JobShape], *, scheduled: bool) -> dict[str, Any]:
        """The keyword arguments for the plan's `Job`. What nobody set is left to its defaults, which all jobs share,
        except that a job with a schedule whose overlap isn't `allow` executes one attempt at a time."""
        merged = {**self._base, **_set(job.value, _MERGED)}
        if scheduled and "concurrency" not in merged and merged.get("overlap") is not Overlap.ALLOW:
            merged["concurrency"] = 1
        if retry := {**self._base_retry, **_keys_of(job.value, "retry")}:
            merged["retry"] = self._retry(job, retry)
        if retention := {**self._base_retention, **_keys_of(job.value, "retention")}:
            merged["retention"] = Retention(**retention)
        if sla := {**self._base_sla, **_keys_of(job.value, "sla")}:
            merged["sla"] = self._sla(job, sla)
        merged["unique"] = self._unique(job)
        self._compare_times(job, merged)
        self._compare_ends(job, merged)
        return merged

    def _unique(self, job: Entry[JobShape]) -> Unique | None:
        """The job's own, else the defaults': not mixed key by key, since a window means nothing without its `by`."""
        owner = job.value if "unique" in job.value.model_fields_set else self._defaults
        shape = owner.unique if "unique" in owner.model_fields_set else None
        if shape is None:
            return None
        return Unique(**{name: getattr(shape, name) for name in shape.model_fields_set})

    def _sla(self, job: Entry[JobShape], keys: dict[str, Any]) -> Sla:
        sla = Sla(**keys)
        if sla.start_within and sla.finish_within and sla.finish_within < sla.start_within:
            message = "`finish_within` is shorter than `start_within`: a run that starts in time may be late already"
            self._report.warning("odd-sla", message, self._where(job, "sla", "finish_within"))
        return sla

    def step_policies(self, step: Entry[StepShape], job: Entry[JobShape]) -> dict[str, Any]:
        """The same for a step. It starts from what its job has, except for what concerns the job as a whole."""
        outer = {**self._base, **_set(job.value, _STEPS)}
        merged = {name: value for name, value in outer.items() if name in _STEPS and name not in _OF_THE_WHOLE}
        merged |= _set(step.value, _STEPS)
        if retry := {**self._base_retry, **_keys_of(job.value, "retry"), **_keys_of(step.value, "retry")}:
            merged["retry"] = self._retry(step, retry, job)
        return merged

    def _retry(self, job: Entry[Any], keys: dict[str, Any], outer: Entry[Any] | None = None) -> Retry:
        retry = Retry(**keys)
        if retry.max_delay >= retry.delay:
            return retry
        if "max_delay" not in keys:
            return msgspec.structs.replace(retry, max_delay=retry.delay)
        message = (
            f"`max_delay` ({format_duration(retry.max_delay)}) is shorter than `delay` ({format_duration(retry.delay)})"
        )
        known = "retry" in job.value.model_fields_set and "max_delay" in job.value.retry.model_fields_set
        at = self._where(job if known or outer is None else outer, "retry", "max_delay")
        self._report.error("delay-over-max", message, at, "raise `max_delay`, or lower `delay`")
        return retry

    def _compare_times(self, job: Entry[JobShape], merged: dict[str, Any]) -> None:
        self._compare_heartbeat(job, merged)
        deadline: timedelta | None = merged.get("deadline")
        timeout: timedelta | None = merged.get("timeout")
        if deadline is None or timeout is None or deadline >= timeout:
            return
        message = (
            f"`deadline` ({format_duration(deadline)}) is shorter than `timeout` ({format_duration(timeout)}): "
            "the deadline ends the run first"
        )
        self._report.warning("deadline-under-timeout", message, self._where(job, "deadline"))

    def _compare_heartbeat(self, job: Entry[JobShape], merged: dict[str, Any]) -> None:
        heartbeat: timedelta | None = merged.get("heartbeat")
        timeout: timedelta | None = merged.get("timeout", DEFAULT_TIMEOUT)
        if heartbeat is None or timeout is None or heartbeat < timeout:
            return
        message = (
            f"`heartbeat` ({format_duration(heartbeat)}) is not shorter than `timeout` ({format_duration(timeout)}): "
            "the timeout ends the attempt first"
        )
        hint = "raise `timeout`, or set it to none; or lower `heartbeat`"
        self._report.warning("heartbeat-over-timeout", message, self._where(job, "heartbeat"), hint)

    def _compare_ends(self, job: Entry[JobShape], merged: dict[str, Any]) -> None:
        deadline: timedelta | None = merged.get("deadline")
        expires_in: timedelta | None = merged.get("expires_in")
        if deadline is None or expires_in is None or expires_in < deadline:
            return
        message = (
            f"`expires_in` ({format_duration(expires_in)}) is not shorter than `deadline` "
            f"({format_duration(deadline)}): a run that waits fails by its deadline first"
        )
        self._report.warning("expiry-over-deadline", message, self._where(job, "expires_in"))

    def _where(self, job: Entry[Any], *steps: str) -> Place:
        """Where a merged value comes from: the job, or the defaults."""
        shape: Any = job.value
        for step in steps:
            if shape is None or step not in shape.model_fields_set:
                return self._main.value(("defaults", *steps))
            shape = getattr(shape, step)
        return job.at(*steps)


def _set(shape: StepPolicies, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: getattr(shape, name) for name in names if name in shape.model_fields_set}


def _keys_of(shape: StepPolicies, policy: str) -> dict[str, Any]:
    if policy not in shape.model_fields_set:
        return {}
    inner = getattr(shape, policy)
    values = {name: getattr(inner, name) for name in inner.model_fields_set}
    return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
