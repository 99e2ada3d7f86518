"""A project in a temporary folder, loaded the way commands load it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest

from orchestrator.config.diagnostics import Diagnostic
from orchestrator.config.load import Loaded, load
from orchestrator.core.catalogue import Inspector

NOW = datetime(2026, 1, 1, tzinfo=UTC)
Load = Callable[..., Loaded]


@pytest.fixture
def load_text(tmp_path: Path) -> Load:
    """Write `jobs.yaml`, and other files by name, and load it."""

    def run(
        text: str | bytes,
        *,
        environ: Mapping[str, str] | None = None,
        inspector: Inspector | None = None,
        files: Mapping[str, str] | None = None,
    ) -> Loaded:
        main = tmp_path / "jobs.yaml"
        main.write_bytes(text if isinstance(text, bytes) else text.encode())
        for name, content in (files or {}).items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(content)
        return load(main, environ=environ or {}, inspector=inspector, now=NOW)

    return run


@pytest.fixture
def only() -> Callable[[Loaded], Diagnostic]:
    """The single diagnostic of a result."""

    def take(loaded: Loaded) -> Diagnostic:
        assert len(loaded.diagnostics) == 1, loaded.diagnostics
        return loaded.diagnostics[0]

    return take
