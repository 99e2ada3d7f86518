"""What does an HTTP answer say: is it the expected one, when may one ask again, and what is at a path of its JSON?"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

_RANGE = re.compile(r"([1-5])xx|([1-5]\d\d)(?:-([1-5]\d\d))?", re.IGNORECASE)
_STEP = re.compile(r"(?:^|\.)([^.\[\]\"]+)|\[(-?\d+)\]|\[\"([^\"]*)\"\]")


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer that has been read. Names of headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    encoding: str

    @property
    def text(self) -> str:
        """The body as text."""
        try:
            return self.body.decode(self.encoding, "replace")
        except LookupError:
            return self.body.decode("utf-8", "replace")

    def result(self) -> dict[str, Any]:
        """Status and body: as JSON if it says that it is, and is."""
        if "json" in self.headers.get("content-type", ""):
            try:
                return {"status": self.status, "json": json.loads(self.body)}
            except ValueError:
                pass
        return {"status": self.status, "text": self.text}

    def extracted(self, paths: str | dict[str, str]) -> Any:
        """What is at a path of its JSON, or at each of several. Raises `ValueError` and `LookupError`."""
        try:
            document = json.loads(self.body)
        except ValueError as error:
            raise ValueError(f"the answer is not JSON, so nothing can be extracted: {error}") from None
        if isinstance(paths, str):
            return _at(document, paths)
        return {name: _at(document, path) for name, path in paths.items()}

    def retry_after(self) -> float | None:
        """Seconds until one may ask again, if it says so. A date is read by the server's own clock."""
        said = self.headers.get("retry-after", "").strip()
        if said.isdigit():
            return float(said)
        until, now = _date(said), _date(self.headers.get("date", "")) or datetime.now(UTC)
        return max(0.0, (until - now).total_seconds()) if until is not None else None


def status_range(wanted: int | str) -> range:
    """The statuses that `204`, `2xx` or `200-299` stands for. Raises `ValueError`."""
    match = _RANGE.fullmatch(str(wanted))
    if match is None:
        raise ValueError("is no status: write 200, 2xx or 200-299")
    hundred, first, last = match.groups()
    if hundred:
        return range(int(hundred) * 100, int(hundred) * 100 + 100)
    return range(int(first), int(last or first) + 1)


def expects(wanted: int | str | list[int | str], status: int) -> bool:
    """Whether a status is among those wanted."""
    return any(status in status_range(part) for part in (wanted if isinstance(wanted, list) else [wanted]))


def path_of(path: str) -> list[str | int]:
    """The steps of `data.items[0]["odd name"].id`. Raises `ValueError`."""
    steps: list[str | int] = []
    end = 0
    for match in _STEP.finditer(path):
        if match.start() != end:
            break
        end = match.end()
        name, index, quoted = match.groups()
        steps.append(int(index) if index else name if name is not None else quoted)
    if not steps or end != len(path):
        raise ValueError('is no path: write it like data.items[0].id or ["odd name"].id')
    return steps


def _at(document: Any, path: str) -> Any:
    for step in path_of(path):
        try:
            document = document[step]
        except (LookupError, TypeError):
            raise LookupError(f"the answer has nothing at {path}") from None
    return document


def _date(text: str) -> datetime | None:
    try:
        found = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError):
        return None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)
