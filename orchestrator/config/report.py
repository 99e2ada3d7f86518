"""Collects what is wrong, so that every mistake is told in one go; keeps secrets out of what is told."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import msgspec

from orchestrator.config.diagnostics import Diagnostic
from orchestrator.config.source import Place

_SHORTEST_SECRET = 4
"""Shorter values would blot out innocent words, and keep nobody out."""


class Report:
    """The mistakes found so far, each once."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, int, int, str], Diagnostic] = {}
        self._secrets: list[str] = []
        self.errors = 0
        """How many of them are errors."""

    def hide(self, values: Iterable[str]) -> None:
        """Values of secrets: they are masked wherever a message or hint would show them."""
        self._secrets = sorted((value for value in values if len(value) >= _SHORTEST_SECRET), key=len, reverse=True)

    def error(self, code: str, message: str, place: Place, hint: str | None = None) -> None:
        """Note an error."""
        self._add("error", code, message, place, hint)

    def warning(self, code: str, message: str, place: Place, hint: str | None = None) -> None:
        """Note what works but probably not as meant."""
        self._add("warning", code, message, place, hint)

    def result(self) -> tuple[Diagnostic, ...]:
        """Everything, in the order of files and lines."""
        ordered = sorted(self._found.values(), key=lambda d: (d.file, d.line, d.column))
        return tuple(
            msgspec.structs.replace(d, message=self._masked(d.message), hint=d.hint and self._masked(d.hint))
            for d in ordered
        )

    def _add(
        self, severity: Literal["error", "warning"], code: str, message: str, place: Place, hint: str | None
    ) -> None:
        source, spot = place
        identity = (str(source.file), spot.line, spot.column, message)
        if identity in self._found:
            return
        self.errors += severity == "error"
        self._found[identity] = Diagnostic(
            severity=severity,
            code=code,
            message=message,
            file=str(source.file),
            line=spot.line,
            column=spot.column,
            end_column=place.end_column,
            hint=hint,
            frame=source.frame(spot.line),
        )

    def _masked(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text
