"""What a compiled configuration consists of: the plan, what is wrong or odd about it, and what the plugins offer."""

from __future__ import annotations

import msgspec

from orchestrator.config.diagnostics import Diagnostic
from orchestrator.core.catalogue import Inspection
from orchestrator.core.plan import Plan


class Compiled(msgspec.Struct, frozen=True, kw_only=True):
    """A configuration as it was read. `usable` without `ok`: only some plugins are broken, the rest can run."""

    plan: Plan | None
    diagnostics: list[Diagnostic]
    ok: bool
    usable: bool
    inspection: Inspection | None = None
    failure: str = ""
    """Why it could not be read at all, where that is no mistake in a file."""
