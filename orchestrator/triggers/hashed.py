"""Which value `H` stands for: a stable choice by the job's name, so that many jobs don't all start at minute 0."""

from __future__ import annotations

import hashlib

from orchestrator.triggers.fields import Hashed, Kind, Span


def resolve(term: Hashed, kind: Kind, key: str) -> Span:
    """The span that `term` means for the job `key`, by Jenkins' rules. Each field gets a different number."""
    number = stable_number(key, kind.name)
    size = term.high - term.low + 1
    if term.step is None:
        value = term.low + number % size
        return Span(value, value)
    return Span(term.low + number % min(term.step, size), term.high, term.step)


def stable_number(*parts: str) -> int:
    """64 bits that depend on `parts` alone: the same in every process, machine and Python version."""
    digest = hashlib.blake2b("\0".join(parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big")
