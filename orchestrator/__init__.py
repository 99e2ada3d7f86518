"""Declarative, YAML-configured job orchestrator. This module is what a plugin imports; names load when used."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from orchestrator.plugins.api import Batch, Context, Duration, GiveUp, Item, ResourceName, Retry, Size, job

__all__ = ["Batch", "Context", "Duration", "GiveUp", "Item", "ResourceName", "Retry", "Size", "job"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(importlib.import_module("orchestrator.plugins.api"), name)
    raise AttributeError(f"module 'orchestrator' has no attribute {name!r}")
