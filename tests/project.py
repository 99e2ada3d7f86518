"""A project in a temporary folder and the real command line on it: what end-to-end tests build on.

def test_a_job_runs(project: Project) -> None:
    project.write("jobs.yaml", "version: 1 …")
    project.plugin("work", "def go(): return 42")
    with project.start("run") as engine:
        engine.wait_for(lambda: project.runs(state="succeeded"))
    assert engine.code == 0
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

if TYPE_CHECKING:
    from orchestrator.store.store import Store

T = TypeVar("T")
DEADLINE = 30.0
"""Seconds that a fact may take to come true: far more than it needs, so that a busy machine doesn't fail a test."""
_POLL = 0.02


class Result:
    """How a command ended."""

    def __init__(self, arguments: tuple[str, ...], code: int, out: str, err: str) -> None:
        self.arguments = arguments
        self.code = code
        self.out = out
        self.err = err

    @property
    def json(self) -> Any:
        """Its standard output as JSON."""
        assert self.out.strip(), f"{self!r} printed no JSON"
        return json.loads(self.out)

    @property
    def lines(self) -> list[str]:
        """Its standard output, line by line."""
        return self.out.splitlines()

    def ok(self) -> Result:
        """Itself, once it is certain that it succeeded."""
        assert self.code == 0, repr(self)
        return self

    def __repr__(self) -> str:
        return _told(self.arguments, self.code, self.out, self.err)


class Running:
    """A command under way, with what it has printed so far. As a context it is stopped gracefully at the end."""

    def __init__(self, arguments: tuple[str, ...], process: subprocess.Popen[Any]) -> None:
        self.arguments = arguments
        self.process = process
        self.lines: list[str] = []
        """Standard output so far."""
        self.error_lines: list[str] = []
        streams = ((process.stdout, self.lines), (process.stderr, self.error_lines))
        self._readers = [
            threading.Thread(target=_gather, args=(stream, lines), daemon=True) for stream, lines in streams if stream
        ]
        for reader in self._readers:
            reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            print(repr(self), file=sys.stderr)
            self.kill()
        elif self.code is None:
            self.terminate()

    @property
    def pid(self) -> int:
        """Its process."""
        return self.process.pid

    @property
    def code(self) -> int | None:
        """Its exit status; None while it runs."""
        return self.process.poll()

    def wait_for(self, fact: Callable[[], T], deadline: float = DEADLINE) -> T:
        """Wait until a fact is true, and give it. Fails at once if the command ends without it."""
        until = time.monotonic() + deadline
        while True:
            ended = self.code is not None
            if ended:
                self._drain()
            if found := fact():
                return found
            assert not ended, f"it ended first: {self!r}"
            assert time.monotonic() < until, f"not within {deadline} s: {self!r}"
            time.sleep(_POLL)

    def wait_line(self, pattern: str, deadline: float = DEADLINE) -> str:
        """Wait for a line on standard output that matches a regular expression, and give it."""
        return self.wait_for(
            lambda: next((line for line in list(self.lines) if re.search(pattern, line)), ""), deadline
        )

    def wait_error_line(self, pattern: str, deadline: float = DEADLINE) -> str:
        """The same, on standard error."""
        return self.wait_for(
            lambda: next((line for line in list(self.error_lines) if re.search(pattern, line)), ""), deadline
        )

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the command's own process, not to its children."""
        self.process.send_signal(number)

    def wait(self, deadline: float = DEADLINE) -> int:
        """Wait for its end, and give its exit status."""
        try:
            code = self.process.wait(deadline)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"it did not end within {deadline} s: {self!r}") from None
        self._drain()
        return code

    def terminate(self, deadline: float = DEADLINE) -> int:
        """Ask it to stop (SIGTERM), wait, and give its exit status."""
        self.process.terminate()
        return self.wait(deadline)

    def kill(self) -> None:
        """End it without notice (SIGKILL), as a crash would; its children see to themselves."""
        self.process.kill()
        self.process.wait()
        self._drain()

    def _drain(self) -> None:
        for reader in self._readers:
            reader.join(DEADLINE)

    def __repr__(self) -> str:
        return _told(self.arguments, self.code, "\n".join(self.lines), "\n".join(self.error_lines))


class Project:
    """A folder with a jobs.yaml and plugins. Commands run in it, with the interpreter that runs the tests."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment: dict[str, str] = {}
        """Added to the environment of every command."""
        self._reader: tuple[int, Store] | None = None
        """The state that was read last: the number of its file, and the store on it."""

    @property
    def database(self) -> Path:
        """Where the state is by default."""
        return self.folder / "var" / "orchestrator.db"

    def write(self, name: str, text: str) -> Path:
        """Write a file, its indentation removed."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text), encoding="utf-8")
        return path

    def plugin(self, name: str, code: str) -> Path:
        """Write a plugin, importable as `name`."""
        return self.write(f"plugins/{name}.py", code)

    def read(self, name: str) -> str:
        """A file's text; empty while there is no such file."""
        path = self.folder / name
        return path.read_text(encoding="utf-8") if path.exists() else ""

    def cli(
        self, *arguments: str, environment: dict[str, str] | None = None, folder: str = ".", timeout: float = 60.0
    ) -> Result:
        """Run a command to its end."""
        done = subprocess.run(
            _command(arguments),
            cwd=self.folder / folder,
            env=self._environment(environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            timeout=timeout,
            check=False,
        )
        return Result(arguments, done.returncode, done.stdout, done.stderr)

    @contextmanager
    def start(self, *arguments: str, environment: dict[str, str] | None = None) -> Iterator[Running]:
        """Start a command, such as `run`, and go on; it is stopped, and waited for, at the end of the block."""
        process = subprocess.Popen(
            _command(arguments),
            cwd=self.folder,
            env=self._environment(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
        )
        with Running(arguments, process) as running:
            yield running

    @contextmanager
    def engine(self, *arguments: str) -> Iterator[Running]:
        """`start("run", …)`, once the engine says that it works."""
        with self.start("run", *arguments) as engine:
            engine.wait_line(r"Ctrl-C|engine\.started")
            yield engine

    def runs(self, *, job: str | None = None, state: str | None = None, count: int = 1000) -> list[dict[str, Any]]:
        """The runs in the store, newest first, straight from its queries; none while there is no store."""
        import msgspec

        from orchestrator.core.runs import RunState
        from orchestrator.store import queries
        from orchestrator.store.store import Store

        if not self.database.exists():
            return []
        wanted = queries.RunFilter(jobs=[job] if job else (), states=[RunState(state)] if state else (), limit=count)
        file = self.database.stat().st_ino
        if self._reader is None or self._reader[0] != file:
            # Asked again and again while a test waits, so what SQLAlchemy prepares is kept; no connection stays open.
            self._reader = file, Store(f"sqlite:///{self.database}", create=False)
        return [msgspec.to_builtins(run, builtin_types=()) for run in self._reader[1].read(queries.list_runs, wanted)]

    def show(self, run_id: int) -> dict[str, Any]:
        """Everything about a run: `run`, `attempts` and `logs`, as `show --json` prints it."""
        found: dict[str, Any] = self.cli("show", str(run_id), "--json").ok().json
        return found

    def _environment(self, more: dict[str, str] | None) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("ORCHESTRATOR_")}
        for name in ("NO_COLOR", "FORCE_COLOR", "PYTHONPATH"):
            kept.pop(name, None)
        return {**kept, "PYTHONIOENCODING": "utf-8", **self.environment, **(more or {})}


def _command(arguments: tuple[str, ...]) -> list[str]:
    return [sys.executable, "-P", "-m", "orchestrator", *arguments]


def _told(arguments: tuple[str, ...], code: int | None, out: str, err: str) -> str:
    return f"<orchestrator {' '.join(arguments)}: exit {code}\n--- stdout\n{out}\n--- stderr\n{err}>"


def _gather(stream: Any, lines: list[str]) -> None:
    for line in stream:
        lines.append(line.rstrip("\n"))  # noqa: PERF401 - tests watch the list grow
