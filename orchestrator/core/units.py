"""How durations (`1h30m`) and sizes (`500MiB`) are written, read and shown."""

from __future__ import annotations

import re
from datetime import timedelta

from orchestrator.core.errors import UnitError

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_BYTES = {
    "B": 1,
    "kB": 10**3, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12,
    "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40,
}  # fmt: skip
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d|w)")
_SIZE = re.compile(r"(\d+(?:\.\d+)?) ?([A-Za-z]+)?")
_MAX_SECONDS = 100 * 365 * 86400


def parse_duration(text: str) -> timedelta:
    """Read `500ms`, `2s`, `5m`, `1h30m`, `7d`: numbers with units, largest first; at most a hundred years.

    Raises `UnitError` with the accepted forms.
    """
    compact = text.strip().replace(" ", "")
    parts = _DURATION.findall(compact)
    units = [_SECONDS[unit] for _, unit in parts]
    if not parts or "".join(n + u for n, u in parts) != compact or units != sorted(set(units), reverse=True):
        raise UnitError(f"{text!r} is not a duration; write it like 500ms, 2s, 5m, 1h30m or 7d")
    seconds = sum(float(number) * _SECONDS[unit] for number, unit in parts)
    if seconds > _MAX_SECONDS:
        raise UnitError(f"{text!r} is longer than a hundred years")
    return timedelta(seconds=seconds)


def format_duration(value: timedelta) -> str:
    """The shortest way to write `value` that `parse_duration` reads back, to the millisecond."""
    millis = round(value.total_seconds() * 1000)
    if millis <= 0:
        return "0s"
    out = []
    for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)):
        count, millis = divmod(millis, size)
        if count:
            out.append(f"{count}{unit}")
    return "".join(out)


def parse_size(text: str) -> int:
    """Read `500MiB`, `1.5GB`, `4096` as bytes. Raises `UnitError` with the accepted forms."""
    match = _SIZE.fullmatch(text.strip())
    unit = (match[2] or "B") if match else ""
    if match is None or unit not in _BYTES:
        raise UnitError(f"{text!r} is not a size; write it like 64KiB, 500MiB, 2GiB or 1.5GB")
    return int(float(match[1]) * _BYTES[unit])


def format_size(count: int) -> str:
    """A size for people: at most one decimal, in binary units."""
    for unit in ("TiB", "GiB", "MiB", "KiB"):
        if count >= _BYTES[unit]:
            return f"{count / _BYTES[unit]:.1f}".removesuffix(".0") + unit
    return f"{count}B"
