"""A project in a temporary folder whose plugins are imported into this process and forgotten afterwards."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.core.catalogue import PluginProblem
from orchestrator.core.plan import PluginSources
from orchestrator.plugins.discovery import import_plugins
from orchestrator.plugins.offers import Offer
from orchestrator.plugins.registry import Registry


class Project:
    """Writes plugins and reads them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.folder = root / "plugins"
        self.folder.mkdir()
        self.announced: list[str] = []

    def write(self, path: str, source: str = "") -> Path:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(textwrap.dedent(source))
        return file

    def read(self, *, offers: dict[str, Offer] | None = None, **sources: Any) -> tuple[Registry, list[PluginProblem]]:
        wanted = PluginSources(**{"folders": (str(self.folder),), **sources})
        return import_plugins(wanted, str(self.root), announce=self.announced.append, offers=offers)


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    path, modules = list(sys.path), set(sys.modules)
    yield Project(tmp_path)
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        file = getattr(sys.modules[name], "__file__", None) or str(
            next(iter(getattr(sys.modules[name], "__path__", [])), "")
        )
        if file.startswith(str(tmp_path)):
            del sys.modules[name]
