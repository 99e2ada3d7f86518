"""How is an engine broken on purpose? The real command line, with parts of it replaced before it starts.

The product holds no hooks for this: what is changed is changed from outside, in this process only.
"""

from __future__ import annotations

import sys
from datetime import timedelta
from pathlib import Path

import msgspec

from soak import clock, disk

ROOT = Path(__file__).parents[1]
LEASE = 15.0
SWEEP = 5.0
"""Seconds: how long a silent engine counts as alive, and between two looks for dead ones; both are the engine's own."""
QUICK_SWEEP = 1
_START = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from soak.wrapping import main; main()"


class Options(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is different from the real thing; by default nothing."""

    lease: float | None = None
    """Seconds for which a silent engine counts as alive; shorter ones make short soaks."""
    breakage: str | None = None
    failpoint: str | None = None
    """Where the process kills itself."""
    passing: int = 1
    """At which passing of the failpoint."""
    clock: str | None = None
    """The file that says how far the clock is off."""
    disk: str | None = None
    """The file that is there while the disk is full."""

    def text(self) -> str:
        """As a word for a command line."""
        return msgspec.json.encode(self).decode()


def command(options: Options, *arguments: str) -> list[str]:
    """The command line `orchestrator ARGUMENTS`, changed by `options`; the plain one if they change nothing."""
    if options == Options():
        return [sys.executable, "-P", "-m", "orchestrator", *arguments]
    return [sys.executable, "-P", "-c", _START, options.text(), *arguments]


def prepare(text: str) -> None:
    """Change this process."""
    options = msgspec.json.decode(text, type=Options)
    if options.lease is not None:
        _shorten_lease(options.lease)
    if options.clock is not None:
        clock.follow(Path(options.clock))
    if options.disk is not None:
        disk.follow(Path(options.disk))
    if options.breakage is not None:
        from soak.breakages import BREAKAGES

        BREAKAGES[options.breakage].apply()
    if options.failpoint is not None:
        from soak.failpoints import arm

        arm(options.failpoint, options.passing)


def _shorten_lease(seconds: float) -> None:
    from orchestrator.engine import engine

    engine.LEASE = timedelta(seconds=seconds)
    engine.HEARTBEAT_SECONDS = engine.RECOVERY_SECONDS = QUICK_SWEEP


def main() -> None:
    """The changed command line."""
    text = sys.argv.pop(1)
    sys.argv[0] = "orchestrator"
    prepare(text)
    from orchestrator.cli.main import main as orchestrator

    orchestrator()
