"""`python -m soak.uptime`: does an engine stay as it is? An hour at 1,000 fires a second, its memory and files watched.

Exit status 1 when the last quarter's memory is more than 5 % over the first's, the database outgrew its retention, a
fire has no row, or the engine ended by itself.
"""

from __future__ import annotations

import argparse
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import NamedTuple

from orchestrator.core.units import format_size, parse_duration

KEPT = 20
"""Finished runs that each job keeps."""
KEPT_SECONDS = 300
"""Fire times younger than this keep their rows, whatever the retention says."""
WARM_UP = 480.0
"""Seconds before the first quarter begins: workers start, and history fills up to its retention."""
LOOK_EVERY = 5.0
MOST_GROWTH = 0.05
MOST_ROWS = KEPT_SECONDS + 200
"""Runs of a job that may be there: those kept, what fires while the pruner goes round, and a busy machine."""


class Sample(NamedTuple):
    """What one look found: seconds since the warm-up, bytes of the engine's memory and of the state's files."""

    at: float
    memory: int
    files: int


def main() -> int:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(prog="python -m soak.uptime", description=__doc__)
    parser.add_argument("--for", dest="duration", default="1h", metavar="DURATION")
    parser.add_argument("--jobs", type=int, default=1_000, help="jobs that fire every second")
    parser.add_argument("--folder", type=Path, help="where the project is made; by default a temporary folder")
    wanted = parser.parse_args()
    folder = wanted.folder or Path(tempfile.mkdtemp(prefix="orchestrator-uptime-"))
    _make_project(folder, wanted.jobs)
    samples, status = _watch(folder, parse_duration(wanted.duration).total_seconds())
    problems = [*_growth(samples), *_history(folder, wanted.jobs)]
    if status:
        problems.append(f"the engine ended with status {status}; its words are in {folder}")
    for problem in problems:
        print(problem)
    return 1 if problems else 0


def _make_project(folder: Path, jobs: int) -> None:
    folder.joinpath("plugins").mkdir(parents=True)
    folder.joinpath("plugins", "noop.py").write_text("def work():\n    pass\n", "utf-8")
    head = f"version: 1\ndefaults: {{retention: {{count: {KEPT}}}}}\njobs:\n"
    lines = (f'  job-{number}: {{call: noop.work, cron: "* * * * * *"}}\n' for number in range(jobs))
    folder.joinpath("jobs.yaml").write_text(head + "".join(lines), "utf-8")


def _watch(folder: Path, seconds: float) -> tuple[list[Sample], int]:
    command = [sys.executable, "-P", "-m", "orchestrator", "run", "--log-format", "json"]
    with folder.joinpath("output.txt").open("ab") as output:
        engine = subprocess.Popen(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        samples: list[Sample] = []
        began = time.monotonic() + WARM_UP
        told = 0.0
        while (now := time.monotonic()) < began + seconds and engine.poll() is None:
            if now >= began:
                samples.append(Sample(now - began, _memory(engine.pid), _files(folder)))
                if now - told >= 60:
                    told = now
                    _tell(samples[-1])
                    output.truncate(0)  # a line for each run would fill a disk
            time.sleep(LOOK_EVERY)
        engine.send_signal(signal.SIGTERM)
        return samples, engine.wait(60)


def _tell(sample: Sample) -> None:
    memory, files = format_size(sample.memory), format_size(sample.files)
    print(f"{sample.at / 60:5.1f} min: engine {memory}, state {files}", flush=True)


def _memory(pid: int) -> int:
    """The resident set of a process in bytes, 0 once it is gone."""
    told = subprocess.run(["ps", "-o", "rss=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return int(told.stdout.strip() or 0) * 1024


def _files(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.joinpath("var").glob("orchestrator.db*"))


def _growth(samples: Sequence[Sample]) -> list[str]:
    """Compare the first quarter with the last one."""
    quarter = len(samples) // 4
    if not quarter:
        return ["it was too short to compare quarters"]
    first, last = samples[:quarter], samples[-quarter:]
    memory = mean(s.memory for s in last) / mean(s.memory for s in first) - 1
    files = mean(s.files for s in last) / mean(s.files for s in first) - 1
    print(f"engine: {format_size(int(mean(s.memory for s in first)))} in the first quarter, {memory:+.1%} in the last")
    print(f"state: {format_size(int(mean(s.files for s in first)))} in the first quarter, {files:+.1%} in the last")
    grown = {"memory": memory, "files": files}
    return [f"{what} grew by {growth:.1%}" for what, growth in grown.items() if growth > MOST_GROWTH]


def _history(folder: Path, jobs: int) -> list[str]:
    """Every second gave each job one run; what is left of them is the newest, without a gap."""
    connection = sqlite3.connect(folder / "var" / "orchestrator.db")
    with connection:
        (made,) = connection.execute("SELECT value FROM counters WHERE name = 'runs'").fetchone()
        states = dict(connection.execute("SELECT state, count(*) FROM runs GROUP BY state"))
        (most,) = connection.execute("SELECT max(n) FROM (SELECT count(*) n FROM runs GROUP BY job)").fetchone()
        # What is older than that is being pruned, some rows at a time.
        gaps = connection.execute(
            "SELECT job, (max(fire_time) - min(fire_time)) / 1000000 + 1 - count(*) FROM runs "
            "WHERE fire_time > (SELECT max(fire_time) FROM runs) - ? GROUP BY job",
            ((KEPT_SECONDS - 10) * 1_000_000,),
        ).fetchall()
    connection.close()
    print(f"{made:,} runs; left are {states}, at most {most} of a job")
    problems = [f"{job} has {missing} fire times without a row" for job, missing in gaps if missing]
    if most > MOST_ROWS:
        problems.append(f"a job has {most} runs, though none is kept beyond {KEPT} and {KEPT_SECONDS} s")
    if len(gaps) != jobs:
        problems.append(f"{len(gaps)} of {jobs} jobs have a run")
    return problems


if __name__ == "__main__":
    sys.exit(main())
