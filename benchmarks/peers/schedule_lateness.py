"""The `schedule` library: how late is a plain loop that runs each job itself? No process, no store, no history."""

from __future__ import annotations

import time
from collections.abc import Callable

import schedule

from benchmarks.peers.peer import Fire, give, read_task
from benchmarks.peers.watched import watch


def main() -> None:
    """Run in the loop that the library's documentation shows, asleep while it is idle."""
    task = read_task()
    fires: list[Fire] = []
    for number in range(task.count):
        job = schedule.every(1).seconds
        job.do(_noting(job, f"job-{number}", fires))
    give(task, watch(task, fires, _work_until))


def _noting(job: schedule.Job, name: str, fires: list[Fire]) -> Callable[[], None]:
    def work() -> None:
        assert job.next_run is not None
        fires.append(Fire(name, job.next_run.timestamp(), time.time()))

    return work


def _work_until(instant: float) -> None:
    while (now := time.time()) < instant:
        idle = schedule.idle_seconds()
        time.sleep(min(instant - now, max(0.0, idle if idle is not None else 1.0)))
        schedule.run_pending()


if __name__ == "__main__":
    main()
