"""The gates at which a test stops the example's steps in the middle: `gate_plugin` says where they are."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.project import Project, Running


class Gates:
    """The gates of a plugin's callables, all open at first."""

    def __init__(self, project: Project, plugin: str) -> None:
        self._project = project
        self._folder = project.folder / "gates"
        self._folder.mkdir()
        self._awaited: dict[str, int] = {}
        shutil.copy(Path(__file__).with_name("gate_plugin.py"), project.folder / "plugins")
        code = project.read(f"plugins/{plugin}.py")
        project.write(f"plugins/{plugin}.py", f"{code}\n\nimport gate_plugin\n\ngate_plugin.watch(globals())\n")

    @property
    def arrivals(self) -> list[str]:
        """The gates that were reached, in order, each as often as it was."""
        return [gate for gate, _ in self._arrivals()]

    def shut(self, gate: str) -> None:
        """Whoever arrives from now on waits. Nobody may be about to: a test knows what it holds elsewhere."""
        self._awaited[gate] = self.arrivals.count(gate)
        (self._folder / gate).touch()

    def open(self, gate: str) -> None:
        """Who waits goes on, and who comes later passes."""
        (self._folder / gate).unlink()

    def wait(self, engine: Running, gate: str) -> int:
        """The process of the next arrival at a shut gate: the first since, or the one after that waited for last."""
        self._awaited[gate] += 1
        number = self._awaited[gate]
        arrived = engine.wait_for(lambda: [pid for at, pid in self._arrivals() if at == gate][number - 1 : number])
        return arrived[0]

    def _arrivals(self) -> list[tuple[str, int]]:
        whole_lines = self._project.read("gates/journal").rpartition("\n")[0].splitlines()
        return [(gate, int(pid)) for gate, pid in (line.split() for line in whole_lines)]
