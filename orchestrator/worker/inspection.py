"""Reads plugins in a process of its own: `python -m orchestrator.worker.inspection REPLY TRACE TETHER < request`.

User code runs here, so this process may hang, crash or be ended by it at any line. Before each step it says on
REPLY what comes; where it was when it died is then found in the file TRACE. All three are inherited descriptors.
"""

from __future__ import annotations

import faulthandler
import os
import sys
import time
from collections.abc import Callable

import msgspec

from orchestrator.builtins import BUILTINS
from orchestrator.core.catalogue import CallableInfo, Inspection, ParamCheck, ParamProblem, PluginProblem
from orchestrator.core.errors import PluginError
from orchestrator.plugins.discovery import import_plugins
from orchestrator.plugins.failures import CallableError
from orchestrator.plugins.refusals import place
from orchestrator.plugins.registry import Registry
from orchestrator.plugins.signature import Binder
from orchestrator.worker.inspection_messages import Announced, Found, Request, Step, decode_request, framed
from orchestrator.worker.tether import hold_on


class Announcer:
    """Says what is about to happen, and arms the watchdog that ends the process when it takes too long.

    The watchdog is a C thread of faulthandler: it needs no GIL, so no busy loop can stop it, and it also ends a
    process whose parent is gone.
    """

    def __init__(self, reply: int, output: int, trace: int, request: Request) -> None:
        self._reply = reply
        self._output = output
        self._trace = trace
        self._mark = request.mark
        self._timeout = request.timeout
        self._armed_at = float("-inf")

    def __call__(self, step: Step, name: str) -> None:
        send(self._output, self._mark)
        send(self._reply, framed(Announced(step, name)))
        now = time.monotonic()
        if step is Step.IMPORT or now - self._armed_at > self._timeout / 10:
            self.arm()
            self._armed_at = now

    def arm(self) -> None:
        """Give the process another `timeout` seconds to live."""
        faulthandler.dump_traceback_later(self._timeout, exit=True, file=self._trace)


class Findings:
    """Collects what is found; each callable's signature is read once, however many jobs name it."""

    def __init__(self, registry: Registry, resources: dict[str, str], announce: Callable[[Step, str], None]) -> None:
        self._registry = registry
        self._resources = frozenset(resources)
        self._announce = announce
        self._binders: dict[str, Binder] = {}
        self._param_problems: list[tuple[int, ParamProblem]] = []
        self._resource_problems: dict[str, str] = {}

    def describe_registered(self) -> None:
        """Read the signature of everything that `@job` marked."""
        for name, function in self._registry.registered.items():
            try:
                self._binder(name)
            except CallableError as error:
                file, line = place(function)
                module = self._registry.module_of(name)
                self._registry.problems.append(PluginProblem(module=module, message=str(error), file=file, line=line))

    def check_all(self, checks: list[ParamCheck], unchecked: tuple[str, ...]) -> None:
        """Check every job's parameters, callable by callable."""
        by_call: dict[str, list[tuple[int, ParamCheck]]] = {}
        for index, check in enumerate(checks):
            by_call.setdefault(check.call, []).append((index, check))
        for call, group in by_call.items():
            try:
                binder = self._binder(call)
            except CallableError as error:
                self._no_callable(group, error.message, error.hint)
                continue
            if call not in unchecked:
                self._announce(Step.CHECK, call)
                for index, check in group:
                    self._check(index, check, binder)

    def answer(self, checks: list[ParamCheck]) -> tuple[ParamProblem, ...]:
        """Check some parameters, and forget them."""
        self.check_all(checks, ())
        found = sorted(self._param_problems, key=lambda pair: pair[0])
        self._param_problems.clear()
        return tuple(problem for _, problem in found)

    def check_resources(self, resources: dict[str, str]) -> None:
        """See whether each resource's `use` leads to something that can be called."""
        for name, use in resources.items():
            try:
                self._registry.factory(use)
            except PluginError as error:
                self._resource_problems[name] = str(error)

    def inspection(self) -> Inspection:
        """Everything found, the problems in the order of the checks."""
        self._param_problems.sort(key=lambda pair: pair[0])
        return Inspection(
            callables={name: _info(binder) for name, binder in self._binders.items()},
            problems=tuple(self._registry.problems),
            param_problems=tuple(problem for _, problem in self._param_problems),
            resource_problems=self._resource_problems,
        )

    def _binder(self, call: str) -> Binder:
        if call not in self._binders:
            self._binders[call] = self._registry.binder(call, self._resources)
        return self._binders[call]

    def _no_callable(self, group: list[tuple[int, ParamCheck]], message: str, hint: str | None) -> None:
        for index, check in group:
            problem = ParamProblem(job=check.job, kind="unknown_callable", path=(), message=message, hint=hint)
            self._param_problems.append((index, problem))

    def _check(self, index: int, check: ParamCheck, binder: Binder) -> None:
        try:
            faults = binder.problems(check.params, check.deferred)
        except BaseException as error:  # noqa: BLE001 - validators are user code
            message = f"checking the parameters of {check.call!r} raised {type(error).__name__}: {error}"
            self._param_problems.append((index, ParamProblem(job=check.job, kind="type", path=(), message=message)))
            return
        for kind, path, message, hint in faults:
            problem = ParamProblem(job=check.job, kind=kind, path=path, message=message, hint=hint)
            self._param_problems.append((index, problem))


def inspect(request: Request, announce: Callable[[Step, str], None]) -> Inspection:
    """Import, describe, check."""
    registry, _ = import_plugins(
        request.sources,
        request.root,
        announce=lambda module: announce(Step.IMPORT, module),
        offers=BUILTINS,
    )
    findings = Findings(registry, request.resources, announce)
    findings.describe_registered()
    findings.check_all(request.checks, request.unchecked)
    findings.check_resources(request.resources)
    return findings.inspection()


def _info(binder: Binder) -> CallableInfo:
    return msgspec.structs.replace(binder.info, warnings=tuple(binder.warnings))


def send(fd: int, data: bytes) -> None:
    """Write all of it."""
    left = memoryview(data)
    while left:
        left = left[os.write(fd, left) :]


def leave_a_trace(trace: int) -> None:
    """Make crashes, and calls of `os._exit` in this process, write where they happen to the trace file."""
    faulthandler.enable(trace)
    leave, reader = os._exit, os.getpid()

    def exit_traced(status: int) -> None:
        if os.getpid() == reader:
            faulthandler.dump_traceback(trace, all_threads=False)
        leave(status)

    os._exit = exit_traced  # type: ignore[assignment]


def main() -> None:
    """Answer the request on standard input, and end without waiting for threads that plugins started."""
    reply, trace, tether = map(int, sys.argv[1:])
    hold_on(tether)
    for fd in (reply, trace):
        os.set_inheritable(fd, False)  # noqa: FBT003
    leave = os._exit
    leave_a_trace(trace)
    request = decode_request(sys.stdin.buffer.read())
    announcer = Announcer(reply, os.dup(1), trace, request)
    announcer.arm()
    inspection = inspect(request, announcer)
    send(reply, framed(Found(inspection)))
    leave(0)


if __name__ == "__main__":
    main()
