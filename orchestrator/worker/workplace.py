"""What does a warm worker have at hand? The plugins' callables, ready to be called, and all that an attempt uses."""

from __future__ import annotations

import socket
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from orchestrator.builtins import BUILTINS
from orchestrator.core.errors import PluginError
from orchestrator.core.policies import Isolation
from orchestrator.worker.capture import CURRENT, Capture
from orchestrator.worker.files import OwnFiles
from orchestrator.worker.interrupt import Interrupt
from orchestrator.worker.line import Line
from orchestrator.worker.memory import OwnMemory
from orchestrator.worker.messages import Assignment, Ready, Setup
from orchestrator.worker.rendering import Renderer
from orchestrator.worker.resources import Resources
from orchestrator.worker.slot import Slot
from orchestrator.worker.streams import Streams
from orchestrator.worker.watch import Watch

if TYPE_CHECKING:
    from orchestrator.plugins.registry import Registry
    from orchestrator.plugins.signature import Binder


class Workplace:
    """Everything in a worker that outlives an attempt."""

    def __init__(self, setup: Setup, sock: socket.socket, slot: Slot, pipes: dict[int, str], mark: str) -> None:
        self.setup = setup
        self.socket = sock
        self.slot = slot
        self.alone = setup.isolation is Isolation.PROCESS
        """Whether this worker executes one attempt at a time: then all that the process does is that attempt's."""
        self.running: Capture | None = None
        """In such a worker, the output of the attempt that runs."""
        self.interrupt = Interrupt(slot)
        self.line = Line(sock, self.interrupt)
        self.watch = Watch(self.line, sock, pipes, lambda: self.running, mark)
        self.streams = Streams((lambda: self.running) if self.alone else CURRENT.get)
        self.renderer = Renderer(setup, self.line.mask)
        self.resources = Resources(setup.resources, self.renderer, self._factory)
        self.memory = OwnMemory()
        self.files = OwnFiles(sock.fileno())
        self._registry: Registry | None = None
        self._binders: dict[str, Binder] = {}
        self._problems: dict[str, PluginError] = {}

    def warm_up(self) -> Ready:
        """Import the plugins and look up every callable of the plan."""
        from orchestrator.plugins.discovery import import_plugins

        self._registry, problems = import_plugins(self.setup.sources, self.setup.root, offers=BUILTINS)
        for problem in problems:
            self.line.note("stderr", f"{problem.module}: {problem.message}\n")
        for call in self.setup.calls:
            try:
                self.resolve(call)
            except PluginError as error:
                self._problems[call] = error
        return Ready(pid=self.line.pid, problems={call: str(error) for call, error in self._problems.items()})

    def resolve(self, call: str) -> Binder:
        """The callable of this name, with what binds its parameters. Raises `PluginError`."""
        if (known := self._binders.get(call)) is not None:
            return known
        if (problem := self._problems.get(call)) is not None:
            raise problem.with_traceback(None)
        binder = self._binders[call] = self._looked_up(call)
        return binder

    def capture(self, assignment: Assignment) -> Capture:
        """A place for the output of an attempt."""
        this = assignment
        heard = None if this.heartbeat is None else partial(self.slot.beat, this.place, this.sequence)
        return Capture(self.line, self.interrupt, this.run_id, this.attempt, this.log_limit, self.watch.later, heard)

    def _looked_up(self, call: str) -> Binder:
        from orchestrator.plugins.failures import CallableError
        from orchestrator.plugins.isolation import check_isolation

        if self._registry is None:
            raise PluginError("the plugins have not been imported")
        binder = self._registry.binder(call, tuple(self.setup.resources))
        for fault in binder.needs():
            raise CallableError(fault.message, fault.hint)
        if (problem := check_isolation(binder.info, self.setup.isolation)) is not None:
            raise PluginError(problem)
        return binder

    def _factory(self, use: str) -> Callable[..., Any]:
        if self._registry is None:
            raise PluginError("the plugins have not been imported")
        return self._registry.factory(use)
