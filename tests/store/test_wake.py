"""A process that changed the store tells the engines; one that is gone is known by its silent socket."""

from __future__ import annotations

import os
import resource
import socket
from pathlib import Path
from typing import Any

import pytest

from orchestrator.store import instances
from orchestrator.store.wake import is_listening, wake


def test_engines_that_listen_are_told(ledger: Any, tmp_path: Path) -> None:
    path = str(tmp_path / "wake")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as inbox:
        inbox.bind(path)
        inbox.settimeout(5)
        ledger.engine(wake_path=path)
        ledger.engine(wake_path=None)
        ledger.engine(wake_path=str(tmp_path / "gone"))
        assert wake(ledger.store.read(instances.living)) == 1
        assert inbox.recv(16)
        assert is_listening(path)
    assert not is_listening(path)  # the file is left, as after a kill, but nobody holds the socket


def test_a_full_inbox_counts_as_told(tmp_path: Path) -> None:
    path = str(tmp_path / "wake")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as inbox:
        inbox.bind(path)
        assert all(is_listening(path) for _ in range(2000))


def test_who_can_not_ask_takes_nobody_for_dead(ledger: Any, tmp_path: Path) -> None:
    """Without a descriptor for a socket nothing is known of the other engine; to tell it something is a courtesy."""
    path = str(tmp_path / "wake")
    ledger.engine(wake_path=path)
    engines = ledger.store.read(instances.living)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as inbox:
        inbox.bind(path)
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        lowest = os.dup(0)
        os.close(lowest)
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, hard))
        try:
            with pytest.raises(OSError, match="Too many open files"):
                is_listening(path)
            assert wake(engines) == 0
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert wake(engines) == 1
