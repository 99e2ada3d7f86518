"""What a whole cron expression says: its six fields, after `@daily` and NestJS's names are replaced."""

from __future__ import annotations

import difflib
from dataclasses import dataclass

from orchestrator.core.errors import TriggerError
from orchestrator.triggers.fields import KINDS, Field, Hashed, parse_field
from orchestrator.triggers.nestjs import CRON_EXPRESSIONS

ALIASES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_FORM = "write `minute hour day-of-month month day-of-week`, or six fields with the second first: `0 9 * * 1`"


@dataclass(frozen=True, slots=True)
class Expression:
    """Six fields, the second first."""

    text: str
    second: Field
    minute: Field
    hour: Field
    day: Field
    month: Field
    weekday: Field

    @property
    def fields(self) -> tuple[Field, Field, Field, Field, Field, Field]:
        return self.second, self.minute, self.hour, self.day, self.month, self.weekday

    @property
    def uses_hash(self) -> bool:
        return any(isinstance(term, Hashed) for field in self.fields for term in field.terms)

    @property
    def day_and(self) -> bool:
        """Whether a day must match both day fields: in Debian's cron, when either starts with `*`."""
        return self.day.starred or self.weekday.starred

    @property
    def fixed(self) -> bool:
        """Whether the job runs at set times of day, which daylight saving must neither lose nor double."""
        return not _periodic(self.minute) and not _periodic(self.hour)


def _periodic(field: Field) -> bool:
    """`*`, `*/5`, as in Debian's cron; also `H/5`, and a field that allows everything however it is written."""
    spread = any(isinstance(term, Hashed) and term.step and not term.bounded for term in field.terms)
    return field.starred or spread or field.full


def parse(text: str) -> Expression:
    """Read an expression, alias or NestJS name. Raises `TriggerError` with the place and a mend."""
    expanded = expand(text)
    parts = expanded.split()
    if len(parts) not in (5, 6):
        raise TriggerError(f"`{expanded}` has {len(parts)} fields; a cron expression has 5 or 6", _count_hint(parts))
    if len(parts) == 5:
        parts.insert(0, "0")
    return Expression(expanded, *(parse_field(kind, part) for kind, part in zip(KINDS, parts, strict=True)))


def expand(text: str) -> str:
    """Replace `@daily` and NestJS's names by the expression they stand for, and squeeze white space."""
    words = text.split()
    if len(words) != 1:
        return " ".join(words)
    word = words[0]
    if word.startswith("@"):
        return _alias(word)
    name = word.removeprefix("CronExpression.").upper()
    if name in CRON_EXPRESSIONS:
        return CRON_EXPRESSIONS[name]
    if "_" in name or name.isalpha():
        raise TriggerError(f"`{word}` is not a cron expression or one of NestJS's names", _name_hint(name))
    return word


def _alias(word: str) -> str:
    lower = word.lower()
    if lower in ALIASES:
        return ALIASES[lower]
    if lower == "@reboot":
        raise TriggerError("`@reboot` has no fire times", "use `on_start: true` instead of `cron: @reboot`")
    close = difflib.get_close_matches(lower, ALIASES, 1)
    hint = f"did you mean {close[0]}?" if close else f"known: {', '.join(ALIASES)}"
    raise TriggerError(f"`{word}` is not a known alias", hint)


def _name_hint(name: str) -> str:
    close = difflib.get_close_matches(name, [*CRON_EXPRESSIONS, *(a[1:].upper() for a in ALIASES)], 1, 0.6)
    if not close:
        return _FORM
    return f"did you mean {close[0] if close[0] in CRON_EXPRESSIONS else '@' + close[0].lower()}?"


def _count_hint(parts: list[str]) -> str:
    if len(parts) == 7:
        return "a seventh field for the year (Quartz) isn't supported; use `start` and `end`"
    return _FORM
