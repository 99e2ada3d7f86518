"""Do the hooks of jobs lead somewhere? Reads them, from `defaults` once and from each job, and checks their targets."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from orchestrator.config.keys import close_to
from orchestrator.config.model_hooks import HOOKS, HookShape
from orchestrator.config.model_policies import Policies
from orchestrator.config.rendering import plain
from orchestrator.config.report import Report
from orchestrator.config.sections import Entry
from orchestrator.config.source import Place
from orchestrator.core.catalogue import ParamCheck
from orchestrator.core.hooks import Hook, HookKind
from orchestrator.core.json_values import TEMPLATE_KEY
from orchestrator.core.plan import Job

Found = dict[HookKind, tuple[Hook, ...]]
_EVENT = {"event": {TEMPLATE_KEY: ""}}
"""Every hook's job is given it, if it has a parameter for it."""


class HookReader:
    """Reads hooks. `places` remembers where each one with a job is written, for what is found out later."""

    def __init__(
        self, defaults: Entry[Policies], jobs: Collection[str], notifiers: Collection[str], report: Report
    ) -> None:
        self._jobs = dict.fromkeys(jobs)
        self._notifiers = dict.fromkeys(notifiers)
        self._report = report
        self._written: list[tuple[Entry[Any], str, int, Hook]] = []
        self._defaults = self._own(defaults)

    def read(self, job: Entry[Any]) -> Found:
        """The hooks of a job: for each kind its own, else those of `defaults`."""
        merged = {**self._defaults, **self._own(job)}
        return {kind: hooks for kind, hooks in merged.items() if hooks}

    def checks(self, jobs: Mapping[str, Job]) -> Iterator[tuple[ParamCheck, Place]]:
        """For each hook with parameters: does the job's callable take them? And where they are written."""
        from orchestrator.config.inspecting import param_check

        for number, (entry, key, index, hook) in enumerate(self._written):
            target = jobs.get(hook.job or "")
            if target is not None:
                name = f"hook {number}"
                check = param_check(name, target.call, {**target.params, **hook.params, **_EVENT})
                yield check, entry.at(key, index, "params") if hook.params else entry.at(key, index, "job")

    def _own(self, entry: Entry[Any]) -> Found:
        return {
            HookKind(key.removeprefix("on_")): tuple(self._hooks(entry, key))
            for key in HOOKS
            if key in entry.value.model_fields_set
        }

    def _hooks(self, entry: Entry[Any], key: str) -> Iterator[Hook]:
        shapes: list[HookShape] = getattr(entry.value, key)
        for index, shape in enumerate(shapes):
            if shape.job is not None and shape.job not in self._jobs:
                self._unknown("job", shape.job, self._jobs, entry.at(key, index, "job"))
            elif shape.notify is not None and shape.notify not in self._notifiers:
                self._unknown("notifier", shape.notify, self._notifiers, entry.at(key, index, "notify"))
            else:
                hook = Hook(job=shape.job, notify=shape.notify, params=plain(shape.params or {}))
                if hook.job is not None:
                    self._written.append((entry, key, index, hook))
                yield hook

    def _unknown(self, what: str, name: str, known: Collection[str], place: Place) -> None:
        close = close_to(name, known)
        if close is not None:
            hint = f"did you mean `{close}`?"
        elif what == "notifier":
            hint = f"declare it: `notifiers: {{{name}: {{urls: […]}}}}`"
        else:
            hint = "name a job of this configuration, or write {notify: NAME} to tell somebody"
        self._report.error(f"unknown-{what}", f"there is no {what} `{name}`", place, hint)
