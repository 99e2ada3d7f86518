"""Kills, as a crash would end processes: of a worker, or of an engine with all that goes with it."""

from __future__ import annotations

import os
import signal
import sys
import uuid

import pytest

from tests.faults.processes import MARK, nobody_left
from tests.project import Project, Running

killing = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")


def mark(project: Project) -> None:
    """Let every process of the project be told from all others."""
    project.environment[MARK] = uuid.uuid4().hex


def kill_worker(pid: int) -> None:
    """End a worker."""
    os.kill(pid, signal.SIGKILL)


def kill_engine(project: Project, engine: Running) -> None:
    """End an engine, and be sure that its workers have gone with it, so that nothing is done from then on."""
    engine.kill()
    gone_with_it(project)


def gone_with_it(project: Project) -> None:
    """Wait until nothing is left of a project whose engine was killed."""
    assert nobody_left(project.environment[MARK])
