"""Where is the configuration, and where is the state? Options say so, the environment, or the present folder."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

import msgspec

from orchestrator.core.errors import RequestError, StoreError

DEFAULT_CONFIG = "jobs.yaml"
DEFAULT_DATABASE = "var/orchestrator.db"
CONFIG_VARIABLE = "ORCHESTRATOR_CONFIG"
DATABASE_VARIABLE = "ORCHESTRATOR_DB"


class Place(msgspec.Struct, frozen=True):
    """A project as the command line found it."""

    config: Path
    database: str
    """An SQLAlchemy URL, or the path of an SQLite file."""

    @property
    def url(self) -> str:
        """The database as an URL."""
        if "://" in self.database:
            return self.database
        return f"sqlite:///{quote(self.database, safe='/ +')}"  # in an URL, `?` and `%` would mean something

    @property
    def has_state(self) -> bool:
        """Whether there may be a database already: nothing was ever run where its file is missing."""
        _, is_url, path = self.database.rpartition("sqlite:///")
        return Path(path).exists() if is_url or "://" not in self.database else True

    def database_file(self) -> Path:
        """The database, a file that must exist. Raises `StoreError`."""
        from orchestrator.store.database import Database

        path = Database(self.url).path
        if not path.is_file():
            raise StoreError(f"no state database at {path}; `orchestrator run` makes it, or name one with --db")
        return path

    def required_config(self) -> Path:
        """The main file, which must exist. Raises `RequestError`."""
        if not self.config.is_file():
            folder = self.config.parent.absolute()
            hint = "name one with --config, or make a new project with `orchestrator init`"
            raise RequestError(f"there is no {self.config.name} in {folder}", hint)
        return self.config


def find_place(config: Path | None, database: str | None) -> Place:
    """The project that `--config` (a file, or the folder of a jobs.yaml) and `--db` mean; by default, the one here."""
    path = config or Path(DEFAULT_CONFIG)
    if path.is_dir():
        path /= DEFAULT_CONFIG
    if not database:
        return Place(path, str((path.parent / DEFAULT_DATABASE).absolute()))
    return Place(path, database if "://" in database else str(Path(database).absolute()))
