"""What does an error of the database mean: this statement, the machine, or the file itself? And what helps?

https://www.sqlite.org/rescode.html
"""

from __future__ import annotations

import errno
import sqlite3

from sqlalchemy.exc import DBAPIError

from orchestrator.core.errors import DamagedError, StoreError, StoreShortageError
from orchestrator.core.shortage import lacks_files, words_for

_ENVIRONMENT = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_PROTOCOL,
    }
)
_DAMAGE = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_FILES_OF_A_CONNECTION = 4
"""The database, its log, the log's index, and one to spare."""


def is_environment(error: DBAPIError) -> bool:
    """Whether the disk, a lock or memory is at fault rather than the statement: then the whole group starts again."""
    return _code(error) in _ENVIRONMENT


def is_damage(error: DBAPIError) -> bool:
    """Whether the file is not what was written to it."""
    return _code(error) in _DAMAGE


def in_words(error: DBAPIError) -> str:
    """What SQLite says, with the reason where it doesn't know it."""
    if _lacks_files(error):
        return f"{error.orig}: {words_for(errno.EMFILE)}"
    return str(error.orig)


def as_store_error(error: DBAPIError, what: str = "the state database can't be used") -> StoreError:
    """The error for who asked. `refused` in it when the statement is at fault."""
    if is_damage(error):
        helps = "stop every engine and put a backup in its place; `orchestrator doctor` looks what is wrong"
        return DamagedError(f"the state database is damaged ({error.orig}); {helps}")
    if _lacks_files(error):
        return StoreShortageError(f"{what}: {in_words(error)}")
    return StoreError(f"{what}: {error.orig}", refused=not is_environment(error))


def _lacks_files(error: DBAPIError) -> bool:
    return _code(error) == sqlite3.SQLITE_CANTOPEN and lacks_files(_FILES_OF_A_CONNECTION)


def _code(error: DBAPIError) -> int | None:
    """The primary result code; None for what isn't SQLite's."""
    code: int | None = getattr(error.orig, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF
