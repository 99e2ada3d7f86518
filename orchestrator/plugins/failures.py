"""The ways a callable can't be used as asked, with what to do about it kept apart from what happened."""

from __future__ import annotations

from typing import NamedTuple

from orchestrator.core.errors import PluginError


class CallableError(PluginError):
    """A callable that can't be found or can't be a job's `call`. `hint` says how to mend it."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(f"{message}; {hint}" if hint else message)
        self.message = message
        self.hint = hint


class Fault(NamedTuple):
    """One wrong parameter. `kind` is `missing`, `unknown`, `type` or `needs`; `path` leads into `params`."""

    kind: str
    path: tuple[str | int, ...]
    message: str
    hint: str | None = None

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message


class ParamsError(PluginError):
    """Parameters that a callable can't take; lists each wrong one."""

    def __init__(self, name: str, faults: list[Fault]) -> None:
        super().__init__(f"{name} can't be called with these parameters: " + "; ".join(map(str, faults)))
        self.faults = tuple(faults)


def did_you_mean(word: str, known: list[str], *, most: int = 3) -> str | None:
    """A suggestion of the closest known names, or none if nothing is close."""
    from difflib import get_close_matches  # 5 ms that a correct configuration never pays

    close = get_close_matches(word, known, n=most, cutoff=0.6)
    return f"did you mean {' or '.join(repr(name) for name in close)}?" if close else None
