"""The names that templates start from: `env`, `vars`, `secrets`, `run`, `job`, `event`; in steps `flow` and `steps`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from orchestrator.core.hooks import RunEvent

RUN = ("id", "fire_time", "attempt")
JOB = ("name",)
EVENT = RunEvent.__struct_fields__
FLOW = ("id", "job", "fire_time", "params", "state")
STEP = ("state", "result", "reason")


class Names(dict[str, Any]):
    """One namespace: knows how to say that something isn't in it."""

    __slots__ = ("kind",)

    def __init__(self, kind: str, values: Any) -> None:
        super().__init__(values)
        self.kind = kind

    def missing(self, name: str) -> str:
        """What to say when `name` isn't there."""
        return missing(self.kind, name)


def missing(kind: str, name: str) -> str:
    """What isn't there, in words."""
    if kind == "env":
        return f"environment variable {name} is not set"
    return f"there is no `{kind}.{name}`"


def hint(kind: str, name: str, known: Iterable[str]) -> str | None:
    """What to do about a name that isn't there."""
    import difflib

    close = difflib.get_close_matches(name, list(known), 1, 0.75 if kind == "env" else 0.6)
    if close and kind != "env":
        return f"did you mean `{kind}.{close[0]}`?"
    if kind == "env":
        near = f"did you mean {close[0]}? Or " if close else ""
        return f"{near}set it, or give a default: {{{{ env.{name} | default('…') }}}}"
    names = sorted(known)
    return (
        f"known: {', '.join(f'{kind}.{one}' for one in names[:10])}" if names else f"nothing is defined under `{kind}`"
    )
