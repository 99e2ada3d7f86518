"""Fixtures for every room."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.project import Project

# What was started in the background by a shell ignores the signal, and so would all processes that the tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """An empty project folder with the real command line on it."""
    folder = tmp_path / "project"
    folder.mkdir()
    return Project(folder)
