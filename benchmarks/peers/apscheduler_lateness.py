"""APScheduler 3: how late does it start jobs that all fire each second?"""

from __future__ import annotations

import os
from contextlib import suppress

import psutil

from benchmarks.peers.apscheduler_setup import scheduler_for, work
from benchmarks.peers.peer import Fire, give, read_task
from benchmarks.peers.watched import sleep_until, watch


def main() -> None:
    """Its own defaults decide about late fires: those over a second late are dropped, several become one."""
    task = read_task()
    fires: list[Fire] = []
    scheduler = scheduler_for(task, fires)
    scheduler.start(paused=True)
    for number in range(task.count):
        scheduler.add_job(work, "cron", second="*", id=f"job-{number}")
    scheduler.resume()
    give(task, watch(task, fires, sleep_until))
    _leave()


def _leave() -> None:
    """At once: a scheduler that is far behind would first work off all that it has queued."""
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            child.kill()
    os._exit(0)


if __name__ == "__main__":
    main()
