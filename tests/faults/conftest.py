"""Projects whose processes can be told from all others, and that must leave none."""

from __future__ import annotations

import os
import signal
import sys
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.faults.processes import MARK, family
from tests.project import Project


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if not sys.platform.startswith("linux"):
        here = Path(__file__).parent
        for item in items:
            if here in item.path.parents:
                item.add_marker(pytest.mark.skip(reason="reads /proc"))


@pytest.fixture
def mark(project: Project) -> Iterator[str]:
    """What every process of the project carries. Whatever is left after the test is ended, pass or fail."""
    name = uuid.uuid4().hex
    project.environment[MARK] = name
    yield name
    for pid in family(name):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
