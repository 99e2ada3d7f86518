"""Which parameters are templates, and what are they now? Jinja2 is imported only when there is one."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from orchestrator.core.flows import ItemsError, items_of
from orchestrator.core.hooks import EVENT, EVENT_NAMES
from orchestrator.core.json_values import TEMPLATE_KEY, holds_template
from orchestrator.core.runs import Cause
from orchestrator.worker.masking import Mask
from orchestrator.worker.messages import Assignment, Setup


class Renderer:
    """Renders templates with what the plan declares. Secrets are read anew each time, so a rotated one is noticed."""

    def __init__(self, setup: Setup, mask: Mask) -> None:
        self._setup = setup
        self._mask = mask

    def params(self, assignment: Assignment) -> dict[str, Any]:
        """The parameters of an attempt, with `run` and `job` known, and what a hook or a message is to tell of."""
        params = assignment.params
        if not params or not holds_template(params):
            return params
        told = {name: params[name] for name in EVENT_NAMES if name in params}
        rendered: dict[str, Any] = self._render(params, **self._names(assignment), **told)
        return rendered

    def arguments(self, assignment: Assignment, takes: Callable[[str], bool]) -> dict[str, Any]:
        """Those of them that the callable is given: a hook's job is told what happened only if it takes that."""
        params = self.params(assignment)
        if assignment.cause != Cause.HOOK.value or takes(EVENT):
            return params
        return {name: value for name, value in params.items() if name != EVENT}

    def is_wanted(self, assignment: Assignment) -> bool:
        """Whether the condition of a step holds; true for all else."""
        if (sight := assignment.sight) is None or sight.when is None:
            return True
        return bool(self._render(sight.when, **self._names(assignment)))

    def prepared(self, assignment: Assignment) -> dict[str, Any]:
        """What the runs of a step will be: its items, and for another job which of them are wanted, and the parameters
        of each (null for what isn't).

        Raises `ItemsError`.
        """
        sight = assignment.sight
        assert sight is not None  # noqa: S101 - only steps are prepared
        items: list[Any] | None = None
        if sight.foreach is not None:
            items = items_of(self._render(sight.foreach, **self._names(assignment)), is_matrix=sight.is_matrix)
        found: dict[str, Any] = {"items": items}
        each = items if items is not None else [None]
        wanted = [True] * len(each)
        if sight.when_of_item is not None:
            wanted = [bool(self._render(sight.when_of_item, **self._names(assignment, item))) for item in each]
            found["wanted"] = wanted
        if not sight.is_sub_job or not holds_template(assignment.params):
            return found
        # What is for others alone may not be there for an item that is not wanted.
        params = [
            self._render(assignment.params, **self._names(assignment, item)) if is_wanted else None
            for item, is_wanted in zip(each, wanted, strict=True)
        ]
        if holds_template(params):
            # What a step returned would be rendered by the other job, with its secrets.
            raise ItemsError(f"the key {TEMPLATE_KEY!r} is reserved: only jobs.yaml may hold templates")
        return {**found, "params": params}

    def _names(self, assignment: Assignment, item: Any = None) -> dict[str, Any]:
        """What an attempt adds to the names that templates start from."""
        run = {"id": assignment.run_id, "fire_time": assignment.fire_time, "attempt": assignment.number}
        names: dict[str, Any] = {"run": run, "job": {"name": assignment.job}}
        if (sight := assignment.sight) is None:
            return names
        if sight.too_large is not None:
            reason = f"the results that it reads are too large together, with that of step `{sight.too_large}`"
            raise ItemsError(f"{reason}: let steps hand each other names of files")
        whole = {"id": sight.flow_id, "fire_time": sight.fire_time, "attempt": 1}
        params = sight.params
        if holds_template(params):
            params = self._render(params, run=whole, job={"name": sight.flow_job})
        flow = {"id": sight.flow_id, "job": sight.flow_job, "fire_time": sight.fire_time, "params": params}
        names["flow"] = {**flow, "state": sight.state}
        names["steps"] = sight.steps
        names["matrix" if sight.is_matrix else "item"] = sight.item if item is None else item
        return names

    def options(self, options: dict[str, Any]) -> dict[str, Any]:
        """The options of a resource."""
        if not holds_template(options):
            return options
        rendered: dict[str, Any] = self._render(options)
        return rendered

    def _render(self, value: Any, **more: Any) -> Any:
        from orchestrator.config import templates  # slow to import, rarely needed

        secrets = templates.read_secrets(self._setup.secrets, Path(self._setup.root), os.environ)
        self._mask.learn(secrets.values())
        names = {"env": dict(os.environ), "vars": self._setup.vars, "secrets": secrets, **more}
        return templates.render(value, names)
