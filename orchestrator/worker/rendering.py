"""Which parameters are templates, and what are they now? Jinja2 is imported only when there is one."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from orchestrator.core.hooks import EVENT, EVENT_NAMES
from orchestrator.core.json_values import holds_template
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
        run = {"id": assignment.run_id, "fire_time": assignment.fire_time, "attempt": assignment.number}
        told = {name: params[name] for name in EVENT_NAMES if name in params}
        rendered: dict[str, Any] = self._render(params, run=run, job={"name": assignment.job}, **told)
        return rendered

    def arguments(self, assignment: Assignment, takes: Callable[[str], bool]) -> dict[str, Any]:
        """Those of them that the callable is given: a hook's job is told what happened only if it takes that."""
        params = self.params(assignment)
        if assignment.cause != Cause.HOOK.value or takes(EVENT):
            return params
        return {name: value for name, value in params.items() if name != EVENT}

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
