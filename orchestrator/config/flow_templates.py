"""What do a step's templates read? Only what is known by then: results of steps that it needs, its item, the workflow's
own parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from orchestrator.config.flow_needs import Steps
from orchestrator.config.keys import close_to
from orchestrator.config.model_step import StepShape
from orchestrator.config.namespaces import STEP
from orchestrator.config.rendering import Rendering
from orchestrator.config.report import Report
from orchestrator.config.sections import Entry
from orchestrator.config.source import BROKEN, Place
from orchestrator.config.template_paths import Path, reading, templates_in
from orchestrator.core.flows import ItemsError, Step, StepKind, items_of
from orchestrator.core.json_values import TEMPLATE_KEY, holds_template
from orchestrator.core.plan import Job


class StepTemplates:
    """The templates of a workflow's steps."""

    def __init__(
        self,
        flow: Job,
        steps: Steps,
        before: Mapping[str, frozenset[str]],
        rendering: Rendering,
        report: Report,
    ) -> None:
        self._flow = flow
        self._steps = steps
        self._before = before
        self._rendering = rendering
        self._report = report

    def check(self, entry: Entry[StepShape], step: Step, params: dict[str, Any]) -> Step:
        """The step, with what it reads, and whether a worker has to look before its runs can be created."""
        items = entry.value.foreach if "foreach" in entry.value.model_fields_set else entry.value.matrix
        key = "matrix" if step.is_matrix else "foreach"
        reads: set[str] = set()
        loads: set[str] = set()
        # `params` are rendered for each item; `foreach` itself is not, and neither is a condition that reads no item.
        for name, value in (("when", step.when), (key, items), ("params", params)):
            for steps, text in templates_in(value):
                found = reading(text)
                place = entry.at(name, *steps)
                for path in sorted(found.paths):
                    self._check_path(path, entry, step, place, guarded=path in found.guarded, key=name)
                reads |= {path[1] for path in found.paths if path[0] == "steps" and len(path) > 1}
                loads |= {path[1] for path in found.paths if _reads_result(path)}
                if name == key or (name == "params" and step.kind is StepKind.JOB):
                    self._check_stored(text, place)
        self._check_when(step, entry)
        self._check_items(step, entry.at(key))
        return msgspec.structs.replace(
            step,
            reads=tuple(sorted(reads & set(self._steps))),
            loads=tuple(sorted(loads & set(self._steps))),
            prepares=_has_to_prepare(step, params),
            when_per_item=_reads_item(step.when),
        )

    def _check_path(
        self, path: Path, entry: Entry[StepShape], step: Step, place: Place, *, guarded: bool, key: str
    ) -> None:
        match path:
            case ("steps",):
                self._error("unnamed-step", "a template reads single steps", place, "write `steps.NAME.result`")
            case ("steps", name, *rest):
                self._check_step(name, rest, entry, place)
            case ("flow", "params", name, *_) if name not in self._flow.params and not guarded:
                known = ", ".join(self._flow.params) or "none"
                message = f"job `{self._flow.name}` has no parameter `{name}`"
                self._error("undefined-name", message, place, f"declare it under the job's `params`; known: {known}")
            case ("flow", "state", *_) if not step.is_final:
                message = "`flow.state` is known only in steps under `finally`"
                self._error("undefined-name", message, place, "read `steps.NAME.state`")
            case (("item" | "matrix") as root, *rest):
                self._check_item(root, rest, step, place, key)

    def _check_step(self, name: str, rest: list[str], entry: Entry[StepShape], place: Place) -> None:
        if name not in self._steps:
            longer = next((one for one in self._steps if one.startswith(f"{name}-")), None)
            close = close_to(name, self._steps)
            hint = f"did you mean `steps.{close}`?" if close else f"known: {', '.join(self._steps)}"
            if longer is not None:
                hint = f"a name with `-` is written steps['{longer}']"
            self._error("unknown-step", f"there is no step `{name}`", place, hint)
        elif name not in self._before[entry.name]:
            if name == entry.name:
                self._error("unneeded-step", f"step `{name}` reads itself", place, "it has no result yet")
                return
            message = f"step `{entry.name}` reads `steps.{name}`, which it doesn't need: it may not have ended by then"
            self._error("unneeded-step", message, place, f"add it: `needs: [{name}]`")
        elif rest and rest[0] not in STEP:
            message = f"a step has no `{rest[0]}`"
            hint = f"known: {', '.join(f'steps.{name}.{known}' for known in STEP)}"
            self._error("undefined-name", message, place, hint)

    def _check_item(self, root: str, rest: list[str], step: Step, place: Place, key: str) -> None:
        if key in ("foreach", "matrix"):
            self._error("undefined-name", f"`{root}` is not known in `{key}` itself", place)
        elif not step.is_many:
            missing = "foreach" if root == "item" else "matrix"
            self._error("undefined-name", f"step `{step.name}` has no `{missing}`, so there is no `{root}`", place)
        elif (root == "matrix") is not step.is_matrix:
            other = "matrix.NAME" if step.is_matrix else "item"
            self._error("undefined-name", f"there is no `{root}` here", place, f"write `{other}`")
        elif root == "matrix" and rest and isinstance(step.foreach, dict) and rest[0] not in step.foreach:
            known = ", ".join(f"matrix.{name}" for name in step.foreach)
            self._error("undefined-name", f"there is no `matrix.{rest[0]}`", place, f"known: {known}")

    def _check_stored(self, text: str, place: Place) -> None:
        """Items and the parameters of other jobs are stored and shown: no secret may be among them."""
        if self._rendering.holds_secret(text):
            message = "a secret can't be used here: what this gives is stored and shown"
            self._error("stored-secret", message, place, "let the callable's own `params` read it")

    def _check_when(self, step: Step, entry: Entry[StepShape]) -> None:
        when = step.when
        if when is None or isinstance(when, bool) or when is BROKEN or _is_expression(when):
            return
        message = "`when` should be one expression, true or false"
        self._error("bad-when", message, entry.at("when"), "write it like `steps.check.result.count > 0`")

    def _check_items(self, step: Step, place: Place) -> None:
        if step.foreach is None or holds_template(step.foreach):
            return
        try:
            items_of(step.foreach, is_matrix=step.is_matrix)
        except ItemsError as error:
            self._error("bad-foreach", str(error), place, "write a list, or a template that gives one")

    def _error(self, code: str, message: str, place: Place, hint: str | None = None) -> None:
        self._report.error(code, message, place, hint)


def _is_expression(when: Any) -> bool:
    from orchestrator.config.templates import compiled

    return isinstance(when, dict) and isinstance(text := when.get(TEMPLATE_KEY), str) and compiled(text).native


def _has_to_prepare(step: Step, params: dict[str, Any]) -> bool:
    """Whether templates have to be rendered before the step's runs can be created."""
    if holds_template(step.foreach) or (step.kind is StepKind.JOB and holds_template(params)):
        return True
    if not holds_template(step.when):
        return False
    # A callable's own attempt renders its condition; what no worker executes, or is many, needs the answer before.
    alone = step.kind in (StepKind.CALL, StepKind.WAIT_FOR)
    return not alone or (step.is_many and not _reads_item(step.when))


def _reads_result(path: Path) -> bool:
    """Whether this reads a step's result, or something of the step that only turns out later."""
    return path[0] == "steps" and (len(path) == 2 or path[2:3] == ("result",))


def _reads_item(when: Any) -> bool:
    """Whether a condition is to be asked for each item."""
    roots = {path[0] for _, text in templates_in(when) for path in reading(text).paths}
    return bool(roots & {"item", "matrix"})
