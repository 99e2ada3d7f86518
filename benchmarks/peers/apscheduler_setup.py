"""APScheduler 3 with a job store and an executor, and a listener that notes what it executes."""

from __future__ import annotations

import time
from typing import Any

from apscheduler.events import EVENT_JOB_EXECUTED, JobExecutionEvent
from apscheduler.executors.pool import ProcessPoolExecutor, ThreadPoolExecutor
from apscheduler.jobstores.memory import MemoryJobStore
from apscheduler.jobstores.sqlalchemy import SQLAlchemyJobStore
from apscheduler.schedulers.background import BackgroundScheduler

from benchmarks.peers.peer import Fire, Task

THREADS = 10
"""Its default."""
PROCESSES = 4
"""As many as the orchestrator's default."""


def work() -> float:
    """Nothing but to say when it began."""
    return time.time()


def scheduler_for(task: Task, fires: list[Fire], **job_defaults: Any) -> BackgroundScheduler:
    """A scheduler that isn't started yet and appends to `fires` whatever it executes."""
    url = f"sqlite:///{task.folder}/apscheduler.db"
    store = MemoryJobStore() if task.store == "memory" else SQLAlchemyJobStore(url=url)
    pool = ProcessPoolExecutor(PROCESSES) if task.pool == "processes" else ThreadPoolExecutor(THREADS)
    scheduler = BackgroundScheduler(
        jobstores={"default": store}, executors={"default": pool}, job_defaults=job_defaults, timezone="UTC"
    )

    def note(event: JobExecutionEvent) -> None:
        fires.append(Fire(event.job_id, event.scheduled_run_time.timestamp(), event.retval))

    scheduler.add_listener(note, EVENT_JOB_EXECUTED)
    return scheduler
