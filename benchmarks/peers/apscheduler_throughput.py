"""APScheduler 3: how fast does it get through jobs that are all due at once? It keeps no history."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from benchmarks.peers.apscheduler_setup import scheduler_for, work
from benchmarks.peers.peer import Answer, Fire, give, read_task


def main() -> None:
    """Add everything while the scheduler is paused, then let it go."""
    task = read_task()
    fires: list[Fire] = []
    # However late a run is, it is executed: without this it would drop what waited for more than a second.
    scheduler = scheduler_for(task, fires, misfire_grace_time=None)
    scheduler.start(paused=True)
    now = datetime.now(UTC)
    for number in range(task.count):
        scheduler.add_job(work, "date", run_date=now, id=f"run-{number}")
    scheduler.resume()
    while len(fires) < task.count:
        time.sleep(0.01)
    give(task, Answer(fires=fires, seen=time.time()))
    scheduler.shutdown()


if __name__ == "__main__":
    main()
