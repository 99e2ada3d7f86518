"""Declarative, YAML-configured job orchestrator: what plugins, and programs that ask for runs, import. Names load when
used."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from orchestrator.client.async_client import AsyncClient
    from orchestrator.client.client import Client
    from orchestrator.client.outcomes import Enqueued, ResultFileError, RunFailedError, WaitTimeoutError
    from orchestrator.plugins.api import Batch, Context, Duration, GiveUp, Item, ResourceName, Retry, Size, job

__all__ = [
    "AsyncClient",
    "Batch",
    "Client",
    "Context",
    "Duration",
    "Enqueued",
    "GiveUp",
    "Item",
    "ResourceName",
    "ResultFileError",
    "Retry",
    "RunFailedError",
    "Size",
    "WaitTimeoutError",
    "job",
]
__version__ = "0.1.0"


_CLIENT = {
    "AsyncClient": "async_client",
    "Client": "client",
    "Enqueued": "outcomes",
    "ResultFileError": "outcomes",
    "RunFailedError": "outcomes",
    "WaitTimeoutError": "outcomes",
}
"""Where in the room `client`; all else is a plugin's."""


def __getattr__(name: str) -> Any:
    if name in _CLIENT:
        return getattr(importlib.import_module(f"orchestrator.client.{_CLIENT[name]}"), name)
    if name in __all__:
        return getattr(importlib.import_module("orchestrator.plugins.api"), name)
    raise AttributeError(f"module 'orchestrator' has no attribute {name!r}")
