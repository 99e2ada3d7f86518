"""What must not leave the worker in plain text? The secrets that were handed to callables: output, errors and results
show them as `***`. Checkpoints stay as they are, since the next attempt needs them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import msgspec

from orchestrator.core.batches import ItemEnd
from orchestrator.core.runs import ErrorInfo
from orchestrator.worker.messages import Finished, FromWorker, Logged, Noted

SHORTEST = 4
"""Shorter secrets are not looked for: `1` or `abc` would blacken half of every log."""
STARS = "***"


class Mask:
    """Knows the secrets that were used so far; none costs nothing."""

    def __init__(self) -> None:
        self._secrets: set[str] = set()
        self._pattern: re.Pattern[str] | None = None

    def learn(self, secrets: Iterable[str]) -> None:
        """Hide these from now on, and each of their lines: output comes line by line."""
        found = {part for secret in secrets for part in (secret, *secret.splitlines()) if len(part) >= SHORTEST}
        if not found <= self._secrets:
            self._secrets |= found
            longest_first = sorted(self._secrets, key=lambda secret: (-len(secret), secret))
            self._pattern = re.compile("|".join(map(re.escape, longest_first)))

    def hide(self, message: FromWorker) -> FromWorker:
        """The message without secrets."""
        if self._pattern is None:
            return message
        if isinstance(message, Logged | Noted):
            return msgspec.structs.replace(message, text=self._text(message.text))
        if isinstance(message, Finished):
            items = tuple(map(self._end, message.items))
            return msgspec.structs.replace(message, **self._outcome(message), items=items)
        return message

    def value(self, value: Any) -> Any:
        """A JSON value without secrets."""
        return value if self._pattern is None else self._cleaned(value)

    def _cleaned(self, value: Any) -> Any:
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, dict):
            return {self._text(key): self._cleaned(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [self._cleaned(inner) for inner in value]
        return value

    def _end(self, end: ItemEnd) -> ItemEnd:
        return msgspec.structs.replace(end, **self._outcome(end))

    def _outcome(self, end: Finished | ItemEnd) -> dict[str, Any]:
        return {"result": self.value(end.result), "error": self._error(end.error)}

    def _text(self, text: str) -> str:
        return text if self._pattern is None else self._pattern.sub(STARS, text)

    def _error(self, error: ErrorInfo | None) -> ErrorInfo | None:
        if error is None:
            return None
        message, traceback = self._text(error.message), self._text(error.traceback)
        return msgspec.structs.replace(error, message=message, traceback=traceback)
