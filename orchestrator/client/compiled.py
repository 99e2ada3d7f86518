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


def summary(compiled: Compiled) -> str:
    """Why a configuration can't be used, in one line: its first mistake with its place, and how many more there are."""
    errors = [diagnostic for diagnostic in compiled.diagnostics if diagnostic.severity == "error"]
    if not errors:
        return compiled.failure or "it can't be used"
    first = errors[0]
    more = f" (and {len(errors) - 1} more: `orchestrator validate` shows all)" if len(errors) > 1 else ""
    return f"{first.file}:{first.line}:{first.column}: {first.message}{more}"
