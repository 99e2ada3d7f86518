"""A project with jobs that are asked for, and clients that are closed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from orchestrator import Client
from tests.project import Project

JOBS = """\
version: 1
plugins: [plugins]
jobs:
  add: {call: sums.add}
  fail: {call: sums.fail, retry: {max_attempts: 1}}
  wait: {call: sums.wait, grace: 100ms}
  charge: {call: sums.charge, unique: {by: [order]}}
"""
SUMS = """\
import time

def add(a: int, b: int = 1) -> int:
    return a + b

def fail():
    raise LookupError("no good")

def wait():
    time.sleep(60)

def charge(order: int):
    return order
"""


@pytest.fixture
def shop(project: Project) -> Project:
    project.write("jobs.yaml", JOBS)
    project.plugin("sums", SUMS)
    return project


@pytest.fixture
def client_of() -> Iterator[Callable[..., Client]]:
    """Makes clients of projects."""
    made: list[Client] = []

    def make(project: Project, **options: Any) -> Client:
        if "db" not in options:
            options["config"] = project.folder / "jobs.yaml"
        made.append(Client(**options))
        return made[-1]

    yield make
    for client in made:
        client.close()
