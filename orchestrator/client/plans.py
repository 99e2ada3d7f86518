"""By which plan are runs asked for? By that of the project's files, read again when they change; or, without files, by
the newest that an engine has stored."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from orchestrator.client.compiled import Compiled, summary
from orchestrator.client.planning import Compilation
from orchestrator.client.survey import Ground, Survey, changed_files, forget_bytecode, ground_of, survey
from orchestrator.core.errors import ConfigError
from orchestrator.core.plan import Plan
from orchestrator.store.plans import newest_plan
from orchestrator.store.store import Store

LOOK_EVERY = 0.2
"""Seconds between looks at the files."""
_log = logging.getLogger("orchestrator.client")


class PlanSource(Protocol):
    """Where a client's plan comes from."""

    def current(self) -> Plan:
        """The plan as it is now. Raises `ConfigError` if there is none that can be used."""

    def renew(self) -> None:
        """This process has been forked from the one that made it."""


class FilePlan:
    """Compiled by another process, so that nothing of it stays in this one. While the files are wrong, the last plan
    that was right is used, as an engine does."""

    def __init__(self, config: Path) -> None:
        self._config = config
        self._working = threading.Lock()
        self._plan: Plan | None = None
        self._ground = Ground(frozenset(), (), ())
        self._seen = Survey({}, frozenset())
        self._looked = 0.0

    def current(self) -> Plan:
        plan = self._plan
        # While one thread reads the files again, the others go on with what there is.
        if self._working.acquire(blocking=plan is None):
            try:
                if self._plan is None or self._changed():
                    self._compile()
                plan = self._plan
            finally:
                self._working.release()
        assert plan is not None  # noqa: S101 - for the type checker: compiling gives a plan or raises
        return plan

    def renew(self) -> None:
        self._working = threading.Lock()

    def _changed(self) -> bool:
        if time.monotonic() - self._looked < LOOK_EVERY:
            return False
        self._looked = time.monotonic()
        changed = changed_files(self._seen, survey(self._ground))
        forget_bytecode(changed)
        return bool(changed)

    def _compile(self) -> None:
        began = time.time_ns()
        try:
            with Compilation(self._config) as compilation:
                compiled = compilation.result()
        except ConfigError as error:
            compiled = Compiled(plan=None, diagnostics=[], ok=False, usable=False, failure=str(error))
        plan = compiled.plan if compiled.usable else None
        if plan is None and self._plan is None:
            raise ConfigError(f"{self._config} can't be used: {summary(compiled)}")
        if plan is None:
            _log.warning("%s can't be used as it is now, the last one is: %s", self._config, summary(compiled))
        self._plan = plan or self._plan
        if self._plan is not None:
            self._ground = ground_of(self._plan, compiled)
        now = survey(self._ground)
        # What was written since the reading began may not have been read.
        self._seen = Survey({path: mark for path, mark in now.marks.items() if mark.changed <= began}, now.folders)
        self._looked = time.monotonic()


class StoredPlan:
    """What the engines work by."""

    def __init__(self, store: Callable[[], Store]) -> None:
        self._store = store
        self._known: tuple[int, Plan] | None = None

    def current(self) -> Plan:
        known = self._known
        found = self._store().read(newest_plan, known[0] if known is not None else None) or known
        if found is None:
            raise ConfigError(
                f"no engine has worked on {self._store().database.path} yet, so its jobs are not known: "
                "start `orchestrator run`, or give the client its config"
            )
        self._known = found
        return found[1]

    def renew(self) -> None:
        """There is nothing in it that a fork could break."""
