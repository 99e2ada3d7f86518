"""What an examination finds: one thing that was looked at, how it is, and what to do about it."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class Verdict(StrEnum):
    """How it is: as it should be, worth a look, or in need of mending."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One result of `orchestrator doctor`."""

    check: str
    verdict: Verdict
    what: str
    mend: str = ""
    """What to do; empty where there is nothing to do."""


def ok(check: str, what: str) -> Finding:
    """All is well."""
    return Finding(check=check, verdict=Verdict.OK, what=what)


def warn(check: str, what: str, mend: str) -> Finding:
    """It works, but not as it should."""
    return Finding(check=check, verdict=Verdict.WARN, what=what, mend=mend)


def fail(check: str, what: str, mend: str) -> Finding:
    """It doesn't work."""
    return Finding(check=check, verdict=Verdict.FAIL, what=what, mend=mend)
