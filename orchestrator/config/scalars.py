"""What does an unquoted YAML scalar mean? The core schema of YAML 1.2: no `yes` for true, no octal 0123, no 1:30."""

from __future__ import annotations

import re

_WORDS: dict[str, bool | None] = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
}  # fmt: skip
_INTEGER = re.compile(r"[-+]?[0-9]+")
_PREFIXED = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_MOST_DIGITS = 20
_MIN, _MAX = -(2**63), 2**64 - 1
"""What fits the integers of a message to a worker."""

Scalar = str | int | float | bool | None


class NumberError(ValueError):
    """A number that JSON or 64 bits can't hold."""


def resolve(text: str) -> Scalar:
    """The value of a plain scalar. Raises `NumberError`."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in "-+.0123456789":
        return text
    if _INTEGER.fullmatch(text):
        return _integer(text, 10)
    if _PREFIXED.fullmatch(text):
        return _integer(text, 0)
    if _FLOAT.fullmatch(text):
        return _finite(float(text), text)
    if _NOT_FINITE.fullmatch(text):
        raise NumberError(f"`{text}` is not a number that JSON can hold")
    return text


def has_leading_zero(text: str) -> bool:
    """Whether a plain scalar is a whole number that old YAML would have read as octal, or people as a code."""
    return len(text) > 1 and text.isdigit() and text[0] == "0"


def _integer(text: str, base: int) -> int:
    value = int(text, base) if len(text) <= _MOST_DIGITS + 2 else _MAX + 1
    if not _MIN <= value <= _MAX:
        raise NumberError(f"`{text[:30]}` is a larger number than 64 bits can hold")
    return value


def _finite(value: float, text: str) -> float:
    if value in (float("inf"), float("-inf")):
        raise NumberError(f"`{text[:30]}` is a larger number than a computer's floating point can hold")
    return value
