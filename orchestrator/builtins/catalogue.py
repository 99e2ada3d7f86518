"""What can be said of the built-in callables to somebody who looks for one?"""

from __future__ import annotations

from orchestrator.builtins import BUILTINS
from orchestrator.core.catalogue import CallableInfo
from orchestrator.plugins.signature import Binder


def builtins() -> dict[str, CallableInfo]:
    """All of them by name, as data. Reads their files, so only for people."""
    found = {name: Binder(name, offer.load(), offer=offer) for name, offer in BUILTINS.items()}
    return {name: binder.info for name, binder in found.items()}
