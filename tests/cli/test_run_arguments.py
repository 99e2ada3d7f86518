"""The short way into `orchestrator run` understands what typer would, or leaves it to typer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

import orchestrator.cli.serve
from orchestrator.cli.app import app
from orchestrator.cli.run_arguments import RunArguments, read_run_arguments

OPTIONS = [
    "-c",
    "--config",
    "--db",
    "--log-format",
    "--config=a.yaml",
    "--db=x.db",
    "--log-format=json",
    "--no-watch",
    "--once",
    "-p",
]
OTHERS = ["run", "runs", "text", "json", "xml", "jobs.yaml", "--help", "--version", "--", "--config=", "-ca.yaml"]
WORDS = st.sampled_from(OPTIONS + OTHERS)


def through_typer(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> RunArguments | None:
    seen: list[RunArguments] = []

    def serve(config: Path | None, database: str | None, log_format: str, *, watch: bool) -> int:
        seen.append(RunArguments(config=config, database=database, log_format=log_format, watch=watch))
        return 0

    monkeypatch.setattr(orchestrator.cli.serve, "serve", serve)
    monkeypatch.delenv("ORCHESTRATOR_CONFIG", raising=False)
    monkeypatch.delenv("ORCHESTRATOR_DB", raising=False)
    result = CliRunner().invoke(app, arguments)
    return seen[0] if seen and result.exit_code == 0 else None


@settings(deadline=None)  # the first example imports what typer needs
@given(words=st.lists(WORDS, max_size=6), at=st.integers(0, 6))
def test_whatever_is_understood_means_what_typer_makes_of_it(words: list[str], at: int) -> None:
    arguments = [*words[:at], "run", *words[at:]]
    understood = read_run_arguments(arguments, {})
    if understood is not None:
        with pytest.MonkeyPatch.context() as monkeypatch:
            assert understood == through_typer(arguments, monkeypatch)


@pytest.mark.parametrize(
    "arguments",
    [
        ["run"],
        ["-c", "other.yaml", "run"],
        ["run", "--db", "x.db", "--log-format", "json"],
        ["--db=a.db", "run", "--config=b.yaml"],
        ["run", "--no-watch", "-c", "jobs.yaml"],
    ],
)
def test_plain_runs_take_the_short_way(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    understood = read_run_arguments(arguments, {})
    assert understood is not None
    assert understood == through_typer(arguments, monkeypatch)


def test_the_environment_names_configuration_and_database() -> None:
    environment: dict[str, Any] = {"ORCHESTRATOR_CONFIG": "e.yaml", "ORCHESTRATOR_DB": "e.db"}
    assert read_run_arguments(["run", "--db", "o.db"], environment) == RunArguments(
        config=Path("e.yaml"), database="o.db"
    )
