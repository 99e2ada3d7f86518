"""A project to measure: a temporary folder with a plugin that does nothing and a generated jobs.yaml."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

PLUGIN = '''\
"""Callables that do nothing: what is left to measure is the orchestrator itself."""


def work():
    pass


async def work_async():
    pass
'''
CALLS = {"process": "noop.work", "async": "noop.work_async"}
EVERY_SECOND = "* * * * * *"


@contextmanager
def temporary_project(folder: Path, jobs: Iterable[str]) -> Iterator[Path]:
    """A project with these lines under `jobs:`, removed at the end. Gives its root."""
    root = Path(tempfile.mkdtemp(prefix="bench-", dir=folder))
    try:
        (root / "plugins").mkdir()
        (root / "plugins" / "noop.py").write_text(PLUGIN)
        lines = ["version: 1", "timezone: UTC", "plugins: [plugins]", "jobs:", *(f"  {job}" for job in jobs)]
        (root / "jobs.yaml").write_text("\n".join([*lines, ""]))
        yield root
    finally:
        shutil.rmtree(root, ignore_errors=True)


def database(root: Path) -> Path:
    """Where the project's state is."""
    return root / "var" / "orchestrator.db"


def enqueued_job(name: str, mode: str) -> str:
    """A job without a trigger, any number of whose runs may wait; they are looked at afterwards, so none is pruned."""
    return f"{name}: {{call: {CALLS[mode]}, overlap: allow, retention: {{count: 1000000}}}}"


def jobs_of_every_second(count: int, mode: str) -> list[str]:
    """Distinct jobs that all fire each second, with the policies a user gets by default."""
    return [f'job-{number}: {{call: {CALLS[mode]}, cron: "{EVERY_SECOND}"}}' for number in range(count)]


def jobs_of_another_season(count: int) -> list[str]:
    """Jobs of which no two have the same schedule, and none fires within the next months."""
    month = (datetime.now(UTC).month + 5) % 12 + 1
    return [
        f'job-{n}: {{call: noop.work, cron: "{n % 60} {n // 60 % 24} {n // 1440 + 1} {month} *"}}' for n in range(count)
    ]


def job_at_start() -> str:
    """A job that is due as soon as the engine runs."""
    return "at-start: {call: noop.work, on_start: true}"
