"""What do the engines of a soak work on? A temporary project: its jobs, its plugin, and where all leave traces."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import msgspec

from orchestrator.core.plan import Plan

BULK_JOBS = 40
FLAVOURS = ("looping", "threaded", "looping", "plain", "looping", "threaded")
PARENT = "bulk-00"
FOLLOWER = "follower"
_HEAD = """\
version: 1
workers: {processes: 2}
shutdown_grace: 5s
defaults:
  timeout: 30s
  grace: 1s
  retention: {count: 1000000}
  retry: {max_attempts: 6, delay: 50ms, max_delay: 400ms}
jobs:
"""
TICKS = {
    "tick-skip": "call: work.plain, overlap: skip, concurrency: 1, catch_up: last",
    "tick-queue": "call: work.looping, overlap: queue, concurrency: 1, catch_up: all, catch_up_window: 30s",
    "tick-allow": "call: work.threaded, overlap: allow, catch_up: skip",
    "tick-once": "call: work.plain, overlap: allow, catch_up: last, at_most_once: true",
}
"""Jobs that fire every second: each overlap and each catch-up policy. What `concurrency` a schedule gives is said, as
the last engine works off what is left without any."""


@dataclass(frozen=True)
class Project:
    """A folder in which engines work."""

    folder: Path
    seed: int
    slow: float = 0.02
    """The share of the bulk runs that take their time."""

    @property
    def database(self) -> Path:
        """The state."""
        return self.folder / "var" / "orchestrator.db"

    @property
    def journal(self) -> Path:
        """What the callables say they did."""
        return self.folder / "journal.log"

    @property
    def acknowledged(self) -> Path:
        """The ids of runs of which somebody was told that they are accepted."""
        return self.folder / "acknowledged.log"

    @property
    def clock(self) -> Path:
        """How far the engines' clock is off."""
        return self.folder / "clock.offset"

    @property
    def full_disk(self) -> Path:
        """It is there while the engines' disk is full."""
        return self.folder / "disk.full"

    def make(self) -> Plan:
        """Write it, and give its plan. Raises `RuntimeError` if it isn't valid."""
        plugins = self.folder / "plugins"
        plugins.mkdir(parents=True)
        plugins.joinpath("work.py").write_text(Path(__file__).with_name("callables.py").read_text("utf-8"), "utf-8")
        self.write_jobs()
        self.journal.touch()
        self.acknowledged.touch()
        return self.compile()

    def write_jobs(self, *, firing: bool = True, edition: int = 0) -> None:
        """Write jobs.yaml; without `firing` no job has a schedule. Editions differ, and mean the same."""
        text = _HEAD + "".join(f"  {line}\n" for line in self._jobs(firing=firing, edition=edition))
        draft = self.folder / "jobs.yaml.new"
        draft.write_text(text, "utf-8")
        draft.rename(self.folder / "jobs.yaml")

    def spoil_jobs(self) -> None:
        """Write a jobs.yaml with a mistake."""
        self.folder.joinpath("jobs.yaml").write_text(_HEAD + "  broken: {cal: work.plain}\n", "utf-8")

    def compile(self) -> Plan:
        """The plan that an engine works by; also written to `plan.bin`, for who has no time to read YAML."""
        code = (
            "import sys, msgspec; from pathlib import Path; from orchestrator.client.compile import load_project\n"
            "compiled = load_project(Path('jobs.yaml'))\n"
            "assert compiled.ok, compiled.diagnostics\n"
            "Path('plan.bin').write_bytes(msgspec.msgpack.encode(compiled.plan))\n"
        )
        done = subprocess.run(
            [sys.executable, "-P", "-c", code], cwd=self.folder, capture_output=True, encoding="utf-8", check=False
        )
        if done.returncode:
            raise RuntimeError(f"the project of the soak is not valid: {done.stderr}")
        return self.plan()

    def plan(self) -> Plan:
        """The plan as `compile` left it."""
        return msgspec.msgpack.decode(self.folder.joinpath("plan.bin").read_bytes(), type=Plan)

    def _jobs(self, *, firing: bool, edition: int) -> list[str]:
        common = f"seed: {self.seed}"
        bulk = f"params: {{{common}, slow: {self.slow}, fail: 0.03}}"
        lines = [
            f"bulk-{number:02}: {{call: work.{FLAVOURS[number % len(FLAVOURS)]}, {bulk}}}"
            for number in range(BULK_JOBS)
        ]
        follows = f"after: {{job: {PARENT}, on: end}}"
        lines += [
            f"{FOLLOWER}: {{{follows}, call: work.looping, overlap: allow, params: {{{common}, fail: 0.05}}}}",
            f"killer: {{call: work.plain, params: {{{common}, die: 0.4}}}}",
            f"thread-killer: {{call: work.threaded, params: {{{common}, die: 0.2}}}}",
            f"once: {{call: work.plain, at_most_once: true, params: {{{common}, slow: 0.2, fail: 0.1}}}}",
            f"once-async: {{call: work.looping, at_most_once: true, params: {{{common}, slow: 0.2}}}}",
            f"narrow: {{call: work.looping, concurrency: 1, params: {{{common}, slow: {max(0.1, self.slow)}}}}}",
            f"edited: {{call: work.plain, params: {{seed: {edition}}}}}",
        ]
        cron = ', cron: "* * * * * *"' if firing else ""
        lines += [
            f"{name}: {{{policies}{cron}, params: {{{common}, slow: 0.3, fail: 0.05}}}}"
            for name, policies in TICKS.items()
        ]
        return lines
