"""What the main file and the files that it includes hold together: each job, queue, resource and variable with the
place where it is written, once."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from orchestrator.config.fields import NAME
from orchestrator.config.report import Report
from orchestrator.config.source import BROKEN, Block, Path_, Place, Source

T = TypeVar("T")
SECTIONS = ("jobs", "queues", "resources", "notifiers", "vars")
_SINGULAR = {
    "jobs": "job", "queues": "queue", "resources": "resource", "notifiers": "notifier", "vars": "variable",
    "secrets": "secret",
}  # fmt: skip
_NAME_RULE = (
    "a name is letters, digits, `.`, `_` and `-`, starts with a letter or digit, and has at most 100 characters"
)


@dataclass(frozen=True, slots=True)
class Entry(Generic[T]):
    """A named entry of a section: as written, or as a checked shape."""

    name: str
    source: Source
    path: Path_
    value: T

    def key(self, *steps: str | int) -> Place:
        """Where the key at the end of the steps stands; the entry's own name without steps."""
        return self.source.key((*self.path, *steps))

    def at(self, *steps: str | int) -> Place:
        """Where the value at the end of the steps stands."""
        return self.source.value((*self.path, *steps))

    def holding(self, value: Any) -> Entry[Any]:
        """The same place with another value."""
        return Entry(self.name, self.source, self.path, value)


@dataclass
class Sections:
    """Entries of all files by section and name. Entries that are broken stay, as names that others may use."""

    jobs: dict[str, Entry[Any]] = field(default_factory=dict)
    queues: dict[str, Entry[Any]] = field(default_factory=dict)
    resources: dict[str, Entry[Any]] = field(default_factory=dict)
    notifiers: dict[str, Entry[Any]] = field(default_factory=dict)
    vars: dict[str, Entry[Any]] = field(default_factory=dict)

    def gather(self, source: Source, report: Report) -> None:
        """Take the sections of one file."""
        for section in SECTIONS:
            known: dict[str, Entry[Any]] = getattr(self, section)
            for name, entry in entries(source, section, report).items():
                first = known.setdefault(name, entry)
                if first is not entry:
                    message = f"{_SINGULAR[section]} `{name}` is defined twice: also at {first.key()}"
                    report.error("duplicate-name", message, entry.key(), "rename or remove one of them")


def entries(source: Source, section: str, report: Report) -> dict[str, Entry[Any]]:
    """The entries of one section of one file; none if it is no mapping, which the file's own shape tells."""
    found = source.tree.get(section)
    if not isinstance(found, Block):
        return {}
    made = {name: Entry(name, source, (section, name), value) for name, value in found.items()}
    if section != "vars":
        for entry in made.values():
            check_name(_SINGULAR[section], entry, report)
    return made


def check_name(kind: str, entry: Entry[Any], report: Report) -> None:
    """Report a name that no job, queue, step or the like can have."""
    if not NAME.fullmatch(entry.name):
        message = f"`{entry.name}` can't be the name of a {kind}"
        report.error("bad-name", message, entry.key(), _better_name(entry.name))


def _better_name(name: str) -> str:
    cleaned = "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "-" for c in name).strip("-._")[:100]
    return f"{_NAME_RULE}; perhaps `{cleaned}`" if cleaned and NAME.fullmatch(cleaned) else _NAME_RULE


def settings(source: Source) -> dict[str, Any]:
    """What a file sets apart from its sections, which are left empty unless they are no mappings at all."""
    apart = (*SECTIONS, "secrets")
    return {
        key: {} if key in apart and (isinstance(value, Block) or value is BROKEN) else value
        for key, value in source.tree.items()
    }
