"""The shape of a step of a workflow."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import ConfigDict, WithJsonSchema, model_validator

from orchestrator.config.fields import Mapping, Span, Texts, wrong
from orchestrator.config.model_policies import StepPolicies
from orchestrator.config.shapes import key
from orchestrator.core.flows import OnFailure, StepKind

_KINDS = tuple(kind.value for kind in StepKind)
_ONE_OF = "`call`, `job`, `approve`, `wait_for` and `sleep`"
_BESIDES = {"needs", "needs_any", "when", "on_failure", "description"}
_MANY = {"foreach", "matrix", "max_parallel"}
_TAKES: dict[str, set[str]] = {
    "job": {*_MANY, "params", "timeout"},
    "approve": {"timeout"},
    "sleep": set(),
}
"""What kinds that execute nothing themselves take, besides what all do."""
_OWN = {"every": "wait_for"}
_When = Annotated[Any, WithJsonSchema({"type": ["string", "boolean"]})]
_Items = Annotated[Any, WithJsonSchema({"type": ["array", "string"]})]


class StepShape(StepPolicies):
    """One step: exactly one of `call`, `job`, `approve`, `wait_for` and `sleep`, and what it waits for."""

    model_config = ConfigDict(json_schema_extra={"oneOf": [{"required": [kind]} for kind in _KINDS]})

    call: str = key("The callable that it executes.")
    job: str = key("Another job that it runs, which may be a workflow itself; the step ends as that run does.")
    approve: str = key("A question: the step waits until somebody answers it with `orchestrator approve RUN STEP`.")
    wait_for: str = key("A callable that is called again and again until what it returns is true.")
    every: Span = key("How long a `wait_for` step waits before it looks again.")
    sleep: Span = key("The step does nothing for so long.")
    params: Mapping = key(
        "The callable's arguments by name, or the other job's parameters. Templates may read the results of the steps "
        "that it needs: `{{ steps.NAME.result }}`."
    )
    needs: Texts = key("The steps that have to succeed before it starts.")
    needs_any: Texts = key("Steps that have to end before it starts; one of them has to succeed.")
    when: _When = key(
        "A condition, like `steps.check.result.count > 0`: if it is false the step is skipped. A step with a condition "
        "of its own isn't skipped because one that it needs was."
    )
    foreach: _Items = key("A list, or a template that gives one: the step runs once for each `item` of it.")
    matrix: Mapping = key("Lists by name: the step runs once for each combination, `matrix.NAME` being its values.")
    max_parallel: int = key("How many items of a `foreach` or `matrix` may be under way at once.", ge=1)
    on_failure: OnFailure = key(
        "What its failure means: `fail` starts nothing more and fails the workflow, `continue` goes on as if it had "
        "succeeded, `skip_dependents` skips what needs it and fails the workflow when all else has ended.",
        strict=False,
    )
    description: str = key("What it is for.")

    @model_validator(mode="after")
    def _one_kind(self) -> StepShape:
        kinds = [kind for kind in _KINDS if kind in self.model_fields_set]
        if len(kinds) != 1:
            found = " and ".join(f"`{kind}`" for kind in kinds) if kinds else "none"
            raise wrong("bad-step", f"a step needs exactly one of {_ONE_OF}; this one has {found}")
        self._check_keys(kinds[0])
        if {"foreach", "matrix"} <= self.model_fields_set:
            raise wrong("bad-step", "a step has `foreach` or `matrix`, not both", "make the list a part of the matrix")
        if "max_parallel" in self.model_fields_set and not self.model_fields_set & {"foreach", "matrix"}:
            raise wrong("bad-step", "`max_parallel` limits the items of a `foreach` or `matrix`; this step has neither")
        return self

    def _check_keys(self, kind: str) -> None:
        for name in type(self).model_fields:
            if name not in self.model_fields_set or name in _BESIDES or name == kind:
                continue
            owner = _OWN.get(name)
            if (owner is not None and owner != kind) or (kind in _TAKES and name not in _TAKES[kind]):
                hint = f"it belongs to `{owner}`" if owner else None
                if kind == "job" and owner is None:
                    hint = f"set it in the job `{self.job}` itself"
                raise wrong("bad-step", f"`{name}` means nothing to a step with `{kind}`", hint)

    @property
    def kind(self) -> StepKind:
        """Which of the kinds it is."""
        return next(kind for kind in StepKind if kind.value in self.model_fields_set)
