"""How an edited configuration reaches the engine while it works: compiled by another process, then applied or refused.

Every way to ask for it (an edit, SIGHUP, `orchestrator reload`) ends here, so what is asked twice is done once, and
what is asked while it is being done is done again.
"""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from orchestrator.cli.watching import Watcher
from orchestrator.client.compiled import Compiled, summary
from orchestrator.client.planning import compile_again
from orchestrator.client.survey import Ground, Survey, changed_files, forget_bytecode, ground_of, survey
from orchestrator.core.errors import ConfigError, StoreError
from orchestrator.engine.events import Emit, Event

if TYPE_CHECKING:
    from orchestrator.core.plan import Plan
    from orchestrator.engine.engine import Engine

ABSENCE_SECONDS = 0.8
"""For how long a file may be missing before that is what its author means: editors replace files."""
_LOOK_AGAIN = 0.05
_RETRY_SECONDS = 5.0
_UNHURRIED = 10
"""Reloads in a row, each at once after the one before, until they are held back: a plugin may write into its folder."""
_AT_ONCE = 2.0
_LONGEST_HOLD = 15.0


class Audience(Protocol):
    """Who hears of reloads."""

    def reloading(self) -> None:
        """One begins."""

    def reloaded(self, plan: Plan, *, refused: str | None) -> None:
        """It is over; this plan is the one in use."""

    def mistakes(self, compiled: Compiled) -> None:
        """What is wrong or odd about the configuration."""


class Reloader:
    """Keeps an engine's plan as its files are. `run` it beside the engine."""

    def __init__(
        self, engine: Engine, compiled: Compiled, plan: Plan, began: int, *, emit: Emit, audience: Audience, watch: bool
    ) -> None:
        """`plan` was compiled from what the files were at `began` (nanoseconds, as `time.time_ns`), or later."""
        self._engine = engine
        self._plan = plan
        self._began = began
        self._ground = ground_of(plan, compiled)
        self._emit = emit
        self._audience = audience
        self._watching = watch
        self._stirred = asyncio.Event()
        self._asked = False
        self._refused = False
        self._seen = Survey({}, frozenset())
        self._in_a_row = 0
        self._ended = 0.0

    def ask(self) -> None:
        """Reload, whether or not a change can be seen."""
        self._asked = True
        self._stirred.set()

    async def run(self) -> None:
        """Reload whenever there is reason to, until cancelled."""
        watcher = Watcher(self._stirred.set)
        try:
            await self._settle_on(watcher, self._ground)
            while True:
                await self._stirred.wait()
                self._stirred.clear()
                try:
                    await self._look(watcher)
                except (OSError, RuntimeError, StoreError) as error:
                    self._delay(error)  # no process, thread or descriptor to be had, or no write: for the moment
        finally:
            watcher.close()

    async def _look(self, watcher: Watcher) -> None:
        asked, self._asked = self._asked, False
        now = await self._survey_whole()
        changed = changed_files(self._seen, now)
        ground, self._seen = self._ground, now
        if asked or changed:
            if not asked:
                await self._hold_back()
            self._began = time.time_ns()
            forget_bytecode(changed)
            ground = await self._reload(asked=asked, code=any(file.endswith(".py") for file in changed))
            self._ended = time.monotonic()
        if ground != self._ground or now.folders != watcher.folders:
            await self._settle_on(watcher, ground)

    async def _settle_on(self, watcher: Watcher, ground: Ground) -> None:
        """Look after the files of the present configuration. What was written since it was read is a reason to go on:
        for files that were looked after before, that is known; for others their time tells."""
        why_not = None
        while (now := await asyncio.to_thread(survey, ground)).folders != watcher.folders and self._watching:
            why_not = await watcher.watch(now.folders, ground.may_concern)
        if why_not:
            self._say(
                "config.unwatched", "warning", reason=why_not, note="its files are looked at every second instead"
            )
        same = (ground.patterns, ground.folders) == (self._ground.patterns, self._ground.folders)
        kept = {path: mark for path, mark in self._seen.marks.items() if same or path in now.marks}
        new = {path: mark for path, mark in now.marks.items() if path not in kept and mark.changed <= self._began}
        self._ground, self._seen = ground, Survey(new | kept, now.folders)
        if self._watching and changed_files(self._seen, now):
            self._stirred.set()

    async def _survey_whole(self) -> Survey:
        """The files as they are, once those that are being replaced are there again."""
        patience = time.monotonic() + ABSENCE_SECONDS
        while True:
            found = await asyncio.to_thread(survey, self._ground)
            lacking = [path for path in self._seen.marks if path not in found.marks and path in self._plan.files]
            if not lacking or time.monotonic() > patience:
                return found
            await asyncio.sleep(_LOOK_AGAIN)

    async def _hold_back(self) -> None:
        """Slow down what would never end: an import that writes into the folders that are watched."""
        at_once = time.monotonic() - self._ended < _AT_ONCE
        self._in_a_row = self._in_a_row + 1 if at_once else 0
        if self._in_a_row > _UNHURRIED:
            await asyncio.sleep(min(_LONGEST_HOLD, 2.0 ** (self._in_a_row - _UNHURRIED)))

    async def _reload(self, *, asked: bool, code: bool) -> Ground:
        """Compile and judge; gives what to look after now. Where nothing differs, the workers are left alone."""
        self._audience.reloading()
        ground, refused = self._ground, None
        try:
            compiled = await compile_again(Path(self._plan.path))
        except ConfigError as error:
            refused = str(error)
            await self._refuse(refused)
        else:
            self._audience.mistakes(compiled)
            plan = compiled.plan if compiled.usable else None
            ground = ground_of(plan or self._plan, compiled)
            if plan is None:
                refused = summary(compiled)
                await self._refuse(refused)
            elif asked or code or self._refused or plan != self._plan:
                await self._apply(plan)
        self._audience.reloaded(self._plan, refused=refused)
        return ground

    async def _apply(self, plan: Plan) -> None:
        await self._engine.apply(plan)
        self._plan, self._refused = plan, False

    async def _refuse(self, why: str) -> None:
        self._refused = True
        await self._engine.refuse(why)

    def _delay(self, error: Exception) -> None:
        """What a reload needs is not to be had at the moment; it is made good later."""
        self._say("config.delayed", "error", error=str(error))
        asyncio.get_running_loop().call_later(_RETRY_SECONDS, self.ask)

    def _say(self, name: str, level: str, **fields: str) -> None:
        self._emit(Event(name=name, at=datetime.now(UTC), level=level, fields=dict(fields)))
