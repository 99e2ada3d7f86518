"""Finding and ending whatever stems from a marked process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.core import kin

SLEEP = [sys.executable, "-S", "-c", "import time; print(flush=True); time.sleep(3600)"]
pytestmark = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="marks are read from /proc")


def start(mark: str, *, session: bool = False) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        SLEEP, env={**os.environ, kin.MARK: mark}, stdout=subprocess.PIPE, start_new_session=session
    )
    assert process.stdout is not None
    process.stdout.readline()
    return process


def test_only_marked_processes_are_ended() -> None:
    ours = [start("test-1.1."), start("test-1.12.", session=True)]
    other = start("test-2.1.")
    try:
        assert kin.end("test-1.", ()) == 2
        assert [process.wait(10) for process in ours] == [-9, -9]
        assert other.poll() is None
    finally:
        for process in (*ours, other):
            process.kill()
            process.communicate()


def test_a_mark_ends_at_its_dot() -> None:
    ten = start("test-3.10.")
    try:
        assert kin.end("test-3.1.", ()) == 0
        assert ten.poll() is None
    finally:
        ten.kill()
        ten.communicate()


def test_a_group_is_ended_even_without_marks() -> None:
    process = subprocess.Popen(SLEEP, stdout=subprocess.PIPE, start_new_session=True)
    assert process.stdout is not None
    process.stdout.readline()
    assert kin.end("nobody-has-this.", (process.pid,)) == 1
    assert process.wait(10) == -9
    process.communicate()


def test_nothing_to_end_is_fine() -> None:
    assert kin.end("nobody-has-this.", ()) == 0
    kin.kill(2**22 + 1)
    kin.kill_group(2**22 + 1)
