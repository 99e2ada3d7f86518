"""The example's plugins imported into this process for one test module, and a shop in a temporary folder."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))
from example_servers import MailServer, WebServer
from example_shop import PLUGINS, Shop


@pytest.fixture(scope="module", autouse=True)
def importable_plugins() -> Iterator[None]:
    """As a worker sees them; forgotten afterwards, since other tests have plugins of the same names."""
    path, modules = list(sys.path), set(sys.modules)
    sys.path.append(str(PLUGINS))
    yield
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        if (getattr(sys.modules[name], "__file__", None) or "").startswith(str(PLUGINS)):
            del sys.modules[name]


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    monkeypatch.chdir(tmp_path)
    shop = Shop(tmp_path)
    yield shop
    shop.db.dispose()


@pytest.fixture
def mail_server() -> Iterator[MailServer]:
    with MailServer() as server:
        yield server


@pytest.fixture
def web() -> Iterator[WebServer]:
    with WebServer() as server:
        yield server
