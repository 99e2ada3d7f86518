"""Is the database file sound, and of which revision is it? Looks without changing anything, so it can look at a copy,
at a file that is damaged, and at one that another version of this package made."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import msgspec

from orchestrator.store.migrations import HEAD

MOST_PROBLEMS = 20
BUSY_SECONDS = 10.0


class Soundness(msgspec.Struct, frozen=True, kw_only=True):
    """What was found."""

    problems: list[str]
    """In SQLite's words; none if all is well."""
    revision: str | None
    """None: no tables of ours."""
    newest_revision: str = HEAD

    @property
    def outdated(self) -> bool:
        """The next `orchestrator run` brings the tables up to date."""
        return self.revision is not None and self.revision < self.newest_revision

    @property
    def too_new(self) -> bool:
        """A later version of this package made the tables."""
        return self.revision is not None and self.revision > self.newest_revision


def examine(path: Path, *, full: bool = False) -> Soundness:
    """Check every page and row; with `full`, every index against its table, too, which takes a few times as long."""
    check = "integrity_check" if full else "quick_check"
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=BUSY_SECONDS)) as file:
            told = [row[0] for row in file.execute(f"PRAGMA {check}({MOST_PROBLEMS})")]
            return Soundness(problems=[] if told == ["ok"] else told, revision=_revision(file))
    except sqlite3.Error as error:
        return Soundness(problems=[str(error)], revision=None)


def _revision(file: sqlite3.Connection) -> str | None:
    if not file.execute("SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'").fetchone():
        return None
    found = file.execute("SELECT version_num FROM alembic_version").fetchone()
    return found[0] if found else None
