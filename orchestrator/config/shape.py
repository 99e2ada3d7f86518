"""Does the data of a file have the shape of a model? pydantic's complaints become diagnostics in their place."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from orchestrator.config.fields import shown
from orchestrator.config.keys import close_to, hint_for
from orchestrator.config.model_file import WorkersShape
from orchestrator.config.model_hooks import HOOKS, GroupShape, HookShape, SlaShape
from orchestrator.config.model_job import AfterShape, TriggerShape
from orchestrator.config.model_policies import Policies, RetentionShape, RetryShape, UniqueShape
from orchestrator.config.model_queue import PerKeyShape
from orchestrator.config.model_step import StepShape
from orchestrator.config.report import Report
from orchestrator.config.shapes import Shape
from orchestrator.config.source import BROKEN, Path_, Source

S = TypeVar("S", bound=Shape)
_MOST_HINTS = 1_000
"""A suggestion compares a key with all known ones; a file with more mistakes has one cause."""
_WANTED = {
    "string_type": "text", "int_type": "a whole number", "bool_type": "true or false", "dict_type": "a mapping",
    "model_type": "a mapping", "list_type": "a list", "int_from_float": "a whole number",
}  # fmt: skip
_INNER: dict[str, type[Shape]] = {
    "retry": RetryShape,
    "retention": RetentionShape,
    "unique": UniqueShape,
    "after": AfterShape,
    "triggers": TriggerShape,
    "defaults": Policies,
    "workers": WorkersShape,
    "per_key": PerKeyShape,
    "sla": SlaShape,
    "group": GroupShape,
    **dict.fromkeys(HOOKS, HookShape),
    "steps": StepShape,
    "finally": StepShape,
}


def check(shape: type[S], data: Any, source: Source, path: Path_, report: Report) -> S | None:
    """The data as a model; none if it hasn't its shape, and `report` says why. `path` leads from the top of `source`
    to `data`, which may differ from what is written there by templates having been rendered."""
    try:
        return shape.model_validate(data)
    except ValidationError as error:
        details = error.errors(include_url=False)
    complaints = [_Complaint(shape, source, path, d) for d in details if d["input"] is not BROKEN]
    misspelt = set()
    if any(complaint.kind == "missing" for complaint in complaints):
        misspelt = {
            (*complaint.path[:-1], complaint.meant) for complaint in complaints[:_MOST_HINTS] if complaint.meant
        }
    for complaint in complaints:
        if complaint.kind != "missing" or complaint.path not in misspelt:
            complaint.tell(report)
    return None


def sound_part(shape: type[S], data: Any) -> S | None:
    """The model of what is right in data of which `check` has complained, so that this part is checked further in the
    same go. None if nothing can be said without what is wrong."""
    try:
        return shape.model_validate(data)
    except ValidationError as error:
        wrong = {detail["loc"][0] for detail in error.errors(include_url=False) if detail["loc"]}
    if not isinstance(data, dict):
        return None
    try:
        return shape.model_validate({key: value for key, value in data.items() if key not in wrong})
    except ValidationError:
        return None


class _Complaint:
    """One of pydantic's errors."""

    def __init__(self, shape: type[Shape], source: Source, top: Path_, detail: ErrorDetails) -> None:
        self.loc = detail["loc"]
        self.shape = shape
        for step in self.loc[:-1]:
            self.shape = _INNER.get(str(step), self.shape)
        self.source, self.path = source, (*top, *self.loc)
        self.kind, self.value, self.context = detail["type"], detail["input"], detail.get("ctx", {})
        self.text = detail["msg"]
        names: list[str] = [step for step in self.path if isinstance(step, str)]
        self.name = names[-1] if names else "the file"

    @property
    def meant(self) -> str | None:
        """The key that an unknown one is a misspelling of: it is not missing as well."""
        if self.kind != "extra_forbidden":
            return None
        hint = hint_for(self.name, self.value, self.shape)
        return hint.split("`")[1] if hint.startswith("did you mean `") and hint.endswith("`?") else None

    def tell(self, report: Report) -> None:
        place = self.source.value(self.path)
        if self.kind == "extra_forbidden":
            meant = hint_for(self.name, self.value, self.shape) if report.errors < _MOST_HINTS else None
            report.error("unknown-key", f"unknown key `{self.name}`", self.source.key(self.path), meant)
        elif self.kind == "missing":
            self._missing(report)
        elif self.kind == "told":
            message = self.context["message"]
            where = place if self.loc else self.source.key(self.path)
            prefix = f"`{self.name}`: " if self.loc else ""
            if self.context["code"] == "missing-key":
                prefix = f"job `{self.name}` "
            report.error(self.context["code"], f"{prefix}{message}", where, self.context["hint"])
        elif self.value is None:
            hint = f"give it one, or remove the line; {self._wanted()} is expected" if self._wanted() else None
            report.error("no-value", f"`{self.name}` has no value", place, hint or "give it one, or remove the line")
        else:
            code, message, hint = self._wrong_value()
            report.error(code, message, place, hint)

    def _missing(self, report: Report) -> None:
        place = self.source.key(self.path[:-1])
        owner = self.path[-2] if len(self.path) > 1 else None
        if self.name == "version":
            report.error("missing-key", "the file has no `version`", place, "add `version: 1` at its top")
        else:
            hint = 'say what makes the key: `by: "{{ params.tenant }}"`' if self.shape is PerKeyShape else None
            report.error("missing-key", f"`{owner}` has no `{self.name}`", place, hint)

    def _wanted(self) -> str:
        if expected := self.context.get("expected"):
            return str(expected).replace("'", "`")
        return _WANTED.get(self.kind, "")

    def _wrong_value(self) -> tuple[str, str, str | None]:
        value = shown(self.value)
        if self.name == "version":
            return "bad-version", f"version {value} is not known", "write `version: 1`"
        if self.kind in ("enum", "literal_error"):
            close = close_to(
                str(self.value), str(self.context["expected"]).replace("'", "").replace(" or ", ", ").split(", ")
            )
            message = f"`{self.name}` should be {self._wanted()}, not {value}"
            return "bad-choice", message, f"did you mean `{close}`?" if close else None
        if wanted := self._wanted():
            return "wrong-type", f"`{self.name}` should be {wanted}, not {value}", self._type_hint(wanted)
        if self.kind == "too_short":
            return "bad-value", f"`{self.name}` is an empty list", "name at least one, or remove the key"
        said = self.text.removeprefix("Input should be ")
        said = said.replace("greater than or equal to", "at least").replace("less than or equal to", "at most")
        return "bad-value", f"`{self.name}` should be {said}, not {value}", None

    def _type_hint(self, wanted: str) -> str | None:
        value, raw = self.value, self._raw()
        if isinstance(raw, str) and "{{" in raw and wanted in ("a whole number", "true or false"):
            how = "| int" if wanted == "a whole number" else "== 'true'"
            return f"a template gives text here; write {{{{ … {how} }}}}"
        if wanted == "true or false" and isinstance(value, str) and value.lower() in ("yes", "on", "y"):
            return "write true"
        if wanted == "true or false" and isinstance(value, str) and value.lower() in ("no", "off", "n"):
            return "write false"
        if self.name == "every" and isinstance(value, (int, float)):
            return f"write {shown(value)} seconds, or minutes, hours, days"
        if self.name == "retry":
            return "write {max_attempts: 3}, or the number of attempts, or false for a single one"
        if wanted == "text" and isinstance(value, (int, float, bool)):
            return f'put it in quotes: "{shown(value)}"'
        if wanted == "a whole number" and isinstance(value, str) and value.strip().isdigit():
            return f"write {value.strip()} without quotes"
        if wanted == "a list" and isinstance(value, str):
            return f"write [{value}]"
        if wanted == "a mapping" and self.name == "jobs":
            return "write each job as `name:` with its keys below"
        return None

    def _raw(self) -> Any:
        node = self.source.tree
        for step in self.path:
            try:
                node = node[step]
            except (KeyError, IndexError, TypeError):
                break
        return node
