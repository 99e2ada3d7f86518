"""Where is a mutation tried? In a copy of the tree with an interpreter of its own, so that the processes that tests
start import the copy, too, and the checkout is never touched."""

from __future__ import annotations

import os
import shutil
import site
import subprocess
import sys
import venv
from itertools import count
from pathlib import Path

from soak.mutations.mutation import ROOT, Mutation

_COPIED = ("orchestrator", "tests", "soak", "plugins", "schemas", "docs", "pyproject.toml", "jobs.yaml", "README.md")
_LEFT_OUT = shutil.ignore_patterns("__pycache__", "*.sock", ".*")
TEST_SECONDS = 90
"""After so long a test that hangs without its mechanism counts as failed."""


class Tree:
    """A copy of the tree in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in _COPIED:
            source, target = ROOT / name, folder / name
            if source.is_dir():
                shutil.copytree(source, target, ignore=_LEFT_OUT)
            elif source.exists():
                shutil.copy(source, target)
        self._original = ""
        self._python = self._make_interpreter()
        self._times = count(int((ROOT / "pyproject.toml").stat().st_mtime), 10)

    def apply(self, mutation: Mutation) -> None:
        """Make the change. The copy was made once: whoever edits the checkout meanwhile changes nothing here."""
        self._original = (self.folder / mutation.file).read_text("utf-8")
        self._write(mutation.file, mutation.applied(self._original))

    def undo(self, mutation: Mutation) -> None:
        """Take it back."""
        self._write(mutation.file, self._original)

    def failing(self, tests: tuple[str, ...]) -> set[str]:
        """Run these tests; gives those of which a case failed. Raises `RuntimeError` if they can't be run."""
        options = ("-q", "-rfE", "-p", "no:cacheprovider", "--timeout", str(TEST_SECONDS), "--no-header")
        done = subprocess.run(
            [self._python, "-m", "pytest", *options, *tests],
            cwd=self.folder,
            capture_output=True,
            encoding="utf-8",
            env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
            check=False,
        )
        lines = [line.split(" ", 2)[1] for line in done.stdout.splitlines() if line.startswith(("FAILED ", "ERROR "))]
        if done.returncode not in (0, 1):
            said = done.stdout[-2000:] + done.stderr[-2000:]
            raise RuntimeError(f"pytest ended with status {done.returncode}: {said}")
        return {test for test in tests if any(_is_case(line, test) for line in lines)}

    def _write(self, file: str, text: str) -> None:
        """Each time with another time stamp: byte code is taken for current by that, to the second."""
        path = self.folder / file
        path.write_text(text, "utf-8")
        at = next(self._times)
        os.utime(path, (at, at))

    def _make_interpreter(self) -> str:
        """A virtual environment that finds the copy first, and what is installed for the checkout after it."""
        home = self.folder / ".venv"
        venv.create(home, symlinks=True)
        library = next(home.glob("lib/python*/site-packages"))
        library.joinpath("copy.pth").write_text("\n".join([str(self.folder), *_installed()]) + "\n", "utf-8")
        return str(home / "bin" / "python")


def _installed() -> list[str]:
    """Folders of installed packages, as folders only: their own .pth files would lead to the checkout."""
    return [folder for folder in site.getsitepackages() if Path(folder).is_dir() and Path(folder) in _path()]


def _path() -> set[Path]:
    return {Path(entry) for entry in sys.path}


def _is_case(line: str, test: str) -> bool:
    return line == test or line.startswith(f"{test}[")
