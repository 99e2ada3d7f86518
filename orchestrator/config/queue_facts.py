"""What does a job take over from its queue? Its order and its key; and do the job's own parameters have that key?"""

from __future__ import annotations

from typing import Any

import msgspec

from orchestrator.config.key_texts import missing_from, path_text, rendered_in
from orchestrator.config.rendering import has_broken
from orchestrator.config.report import Report
from orchestrator.config.sections import Entry
from orchestrator.core.flows import StepKind
from orchestrator.core.keys import KeyTemplate
from orchestrator.core.plan import Job, Queue


def with_queue(job: Job, queue: Queue | None, entry: Entry[Any], report: Report) -> Job:
    """The job with what its queue says of each run."""
    if queue is None:
        return job
    key = None if queue.per_key is None else queue.per_key.by
    if key is not None and not has_broken(entry.value.params):
        _check_key(job, key, entry, report)
    if key is not None and job.batch is not None:
        message = f"queue `{job.queue}` keeps the runs of a key apart from others, and a batch would mix them"
        report.error("batch-of-keys", message, entry.at("batch"), "use a queue without `per_key`: rates count calls")
    return msgspec.structs.replace(job, order=queue.order, aging=queue.aging, group_by=key)


def _check_key(job: Job, key: KeyTemplate, entry: Entry[Any], report: Report) -> None:
    """Parameters may come with the request to run a job, but what fires by itself has only those of the file."""
    if (late := rendered_in(key, job.params)) is not None:
        if job.step is not None and job.step.kind is StepKind.JOB:
            return  # those are another job's, and rendered before its runs are created
        message = (
            f"`{path_text(late)}`, by which queue `{job.queue}` keeps runs apart, is known only when they start: "
            "the limits of a key don't hold for them"
        )
        hint = "write the value itself"
        if job.step is not None:
            hint = f"make the call a job of its own with `queue: {job.queue}`, and run it by a step with `job`"
        report.warning("late-key", message, entry.at("params", *late.names[:1]), hint)
    elif (job.triggers or job.after or job.on_start) and (lacking := missing_from(key, job.params)) is not None:
        message = (
            f"job `{job.name}` has no `{path_text(lacking)}`, by which queue `{job.queue}` keeps runs apart: "
            "the limits of a key don't hold for its runs"
        )
        report.warning("no-key", message, entry.key(), "add it to `params`, or use another queue")
