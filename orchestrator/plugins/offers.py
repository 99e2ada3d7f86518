"""A callable that is there without any plugin: where is it, and what does it need?"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any, NamedTuple


class Offer(NamedTuple):
    """A function marked with `@job` in a module that is imported when a job names the callable, and not before."""

    module: str
    function: str
    package: str = ""
    """What must be installed for it."""
    extra: str = ""
    """The extra of this distribution that installs it."""

    @property
    def path(self) -> str:
        """What `call:` can write if a callable of the user's own has its name."""
        return f"{self.module}:{self.function}"

    def load(self) -> Callable[..., Any]:
        """The function."""
        function: Callable[..., Any] = getattr(importlib.import_module(self.module), self.function)
        return function

    def is_installed(self) -> bool:
        """Whether the package is there."""
        from importlib.util import find_spec  # rarely needed

        return not self.package or find_spec(self.package) is not None

    @property
    def remedy(self) -> str:
        """How to get the package."""
        return f"install it: pip install 'orchestrator[{self.extra}]'"
