"""What docs/deploy.md shows fits what the commands do."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import typer.main

from orchestrator.cli.app import app
from orchestrator.core.plan import Plan
from orchestrator.store.writer import RETRY_PAUSES

PAGE = (Path(__file__).parents[2] / "docs" / "deploy.md").read_text(encoding="utf-8")
COMMANDS = set(typer.main.get_command(app).commands)  # type: ignore[attr-defined]


def unit(name: str) -> dict[str, dict[str, list[str]]]:
    """A unit file of the page: section, key, and the values in order (a key may come twice)."""
    text = next(text for text in re.findall(r"^```ini\n(.*?)^```$", PAGE, re.M | re.S) if f"/{name}\n" in text)
    found: dict[str, dict[str, list[str]]] = {}
    for line in text.splitlines():
        if section := re.fullmatch(r"\[(\w+)\]", line):
            keys = found.setdefault(section[1], {})
        elif line and not line.startswith("#"):
            key, value = line.split("=", 1)
            assert re.fullmatch(r"[A-Z]\w+", key), line
            keys.setdefault(key, []).append(value)
    return found


def test_the_service_has_what_the_engine_relies_on() -> None:
    service = unit("orchestrator.service")["Service"]
    assert service["Type"] == ["notify"]
    assert service["KillMode"] == ["mixed"]
    assert service["RestartPreventExitStatus"] == ["2"]
    assert (service["StateDirectory"], service["StateDirectoryMode"]) == (["orchestrator"], ["0700"])
    assert "ORCHESTRATOR_DB=/var/lib/orchestrator/orchestrator.db" in service["Environment"]
    assert {"NoNewPrivileges", "ProtectSystem", "ProtectHome", "PrivateTmp", "UMask"} <= service.keys()
    grace = Plan(path="", root="", timezone="UTC", jobs={}).shutdown_grace
    assert float(service["TimeoutStopSec"][0]) > grace.total_seconds() + 10
    # A commit that the disk refuses is tried again for some time, in which there is no sign of life.
    assert float(service["WatchdogSec"][0]) > 2 * sum(RETRY_PAUSES)


def test_every_command_that_is_started_exists() -> None:
    lines = [
        *unit("orchestrator.service")["Service"]["ExecStart"],
        *unit("orchestrator.service")["Service"]["ExecReload"],
    ]
    for line in lines:
        program, command, *_ = shlex.split(line)
        assert program == "/opt/shop/.venv/bin/orchestrator"
        assert command in COMMANDS
    backup = unit("orchestrator-backup.service")["Service"]["ExecStart"][0]
    assert "orchestrator backup --force" in backup
    assert "%%a" in backup, "a single % is systemd's"
    assert unit("orchestrator-backup.timer")["Timer"]["Persistent"] == ["yes"]


def test_the_container_is_checked_by_status() -> None:
    (text,) = re.findall(r"^```dockerfile\n(.*?)^```$", PAGE, re.M | re.S)
    checked = re.search(r"HEALTHCHECK .*CMD (\[.*\])", text)
    assert checked
    assert shlex.split(checked[1].strip("[]").replace(",", "")) == ["orchestrator", "status", "--quick"]
    assert "USER jobs" in text
