"""The example's shop in a temporary folder, and what its callables are given: no worker, no engine."""

from __future__ import annotations

import importlib
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

from sqlalchemy import Engine

from orchestrator import Context

PLUGINS = Path(__file__).parents[2] / "plugins"
DATA = PLUGINS / "data"


class Notes:
    """A callable's line to nobody: keeps what was said."""

    def __init__(self) -> None:
        self.progress: list[tuple[int, int | None]] = []
        self.checkpoints: list[Any] = []

    def progressed(self, done: int, total: int | None) -> None:
        self.progress.append((done, total))

    def saved(self, value: Any) -> None:
        self.checkpoints.append(value)

    def beat(self) -> None:
        """Nobody listens."""

    def wait(self, until: float) -> None:
        """Nobody asks it to stop, and the example only waits for that."""


def context(
    *, fire_time: datetime | None = None, run_id: int = 1, checkpoint: Any = None, notes: Notes | None = None
) -> Context:
    return Context(
        job="test",
        run_id=run_id,
        attempt=1,
        max_attempts=3,
        fire_time=fire_time,
        timezone="Europe/Berlin",
        checkpoint=checkpoint,
        line=notes or Notes(),
        cancelled=lambda: False,
    )


class Shop:
    """The plugins and the modules of their package `shop`, by name (`shop.mail.send`), and a database in the folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.url = f"sqlite:///{folder / 'app.db'}"
        self.db: Engine = self.database.open_database(self.url)

    def __getattr__(self, name: str) -> ModuleType:
        for module, file in ((name, PLUGINS / f"{name}.py"), (f"shop.{name}", PLUGINS / "shop" / f"{name}.py")):
            if file.exists():
                return importlib.import_module(module)
        raise AttributeError(name)

    def insert(self, table: Any, *rows: dict[str, Any]) -> None:
        with self.db.begin() as connection:
            connection.execute(table.insert(), list(rows))

    def rows(self, table: Any, *order: Any) -> list[Any]:
        with self.db.connect() as connection:
            return list(connection.execute(table.select().order_by(*(order or table.primary_key.columns.values()))))

    def change(self, statement: Any) -> int:
        with self.db.begin() as connection:
            return int(connection.execute(statement).rowcount)

    def claims_run_out(self, table: Any) -> None:
        """The time passes that a dead process's claims last."""
        self.change(
            table.update().where(table.c.status == "sending").values(claimed_until=datetime(2000, 1, 1, tzinfo=UTC))
        )

    def everything_due(self, table: Any) -> None:
        """The time passes that rows wait after a failure."""
        self.change(table.update().where(table.c.status == "pending").values(due_at=datetime(2000, 1, 1, tzinfo=UTC)))

    def emails(self, count: int) -> None:
        for n in range(count):
            self.letters.enqueue(
                self.db, key=f"mail/{n}", to=f"c{n}@customers.example", subject=f"No. {n}", body="Hi\n"
            )

    def start(self, source: str) -> subprocess.Popen[str]:
        """Run Python in a process of its own, with `db`, the plugins and `context` at hand."""
        prelude = (
            "import os, signal, sys\n"
            f"sys.path[:0] = [{str(PLUGINS)!r}, {str(Path(__file__).parent)!r}]\n"
            "from example_shop import Notes, context\n"
            "from shop.database import open_database\n"
            f"db = open_database({self.url!r})\n"
            "def die(*_, **__): os.kill(os.getpid(), signal.SIGKILL)\n"
        )
        return subprocess.Popen(
            [sys.executable, "-c", prelude + source], cwd=self.folder, text=True, stdout=subprocess.PIPE
        )

    def run(self, source: str) -> tuple[int, str]:
        with self.start(source) as process:
            out, _ = process.communicate(timeout=60)
        return process.returncode, out
