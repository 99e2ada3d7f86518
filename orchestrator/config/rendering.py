"""Which templates are rendered when the file is read, and which wait for the attempt? What depends on a run or holds a
secret waits, but is checked now: its syntax, and every name in it."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any

from orchestrator.config import namespaces
from orchestrator.config.keys import close_to
from orchestrator.config.namespaces import EVENT, FLOW, JOB, RUN
from orchestrator.config.report import Report
from orchestrator.config.source import BROKEN, Block, Items, Path_, Source
from orchestrator.config.templates import Compiled, Mention, TemplateFault, compiled, evaluate, is_template
from orchestrator.core.hooks import EVENT_NAMES
from orchestrator.core.json_values import TEMPLATE_KEY, holds_template


class Use(Enum):
    """What a value is for decides which names it may use."""

    SETTING = ("env", "vars")
    OPTIONS = ("env", "vars", "secrets")
    PARAMS = ("env", "vars", "secrets", "run", "job")
    KEY = ("env", "vars", "params")
    """A setting that may hold `{{ params.… }}`: such a text is left as it is, for `key_texts` to read."""
    HOOK = ("env", "vars", "secrets", "run", "job", "event")
    MESSAGE = ("env", "vars", "event", "events", "count")
    STEP = ("env", "vars", "secrets", "run", "job", "flow", "steps", "item", "matrix")
    """In a step of a workflow; which steps it may read is checked by whoever knows them all."""
    EARLY = ("env",)
    """Read before the variables are known."""


_WHY_NOT = {
    "secrets": "secrets can be used in `params`, `with` and `vars` only: this setting is stored and shown",
    "run": "`run` is known only in a job's `params`, which are rendered for each attempt",
    "job": "`job` is known only in a job's `params`, which are rendered for each attempt",
    "vars": "variables are not known here; `env` is",
    "params": "a run's parameters can be used in `unique`, and in `by` and `rate_limit_by` of a queue, only",
    "event": "`event` is known only in a hook's `params`, and in the `subject` and `body` of a notifier",
    "events": "`events` are known only in the `subject` and `body` of a notifier",
    "count": "`count` is known only in the `subject` and `body` of a notifier",
    "steps": "`steps` is known only in the steps of a workflow: in their `params`, `when`, `foreach` and `matrix`",
    "flow": "`flow` is known only in the steps of a workflow: in their `params`, `when`, `foreach` and `matrix`",
    "item": "`item` is known only in a step of a workflow that has `foreach`",
    "matrix": "`matrix` is known only in a step of a workflow that has a `matrix`",
}


_LATER = frozenset({"secrets", "run", "job", "flow", "steps", "item", "matrix", *EVENT_NAMES})
"""Names whose values only the worker has."""


class Rendering:
    """Renders the values of files whose variables and secrets are known."""

    def __init__(self, environ: Mapping[str, str], report: Report) -> None:
        self.vars: dict[str, Any] = namespaces.Names("vars", {})
        self.secrets: frozenset[str] = frozenset()
        self._deferred: set[str] = set()
        self._environ = namespaces.Names("env", environ)
        self._report = report

    def value(self, value: Any, source: Source, path: Path_, use: Use) -> Any:
        """The value with its templates rendered or, where they must wait, as markers. Parts that fail are `BROKEN`."""
        if not _has_template(value):
            return value
        if isinstance(value, str):
            return self._text(value, source, path, use)
        if isinstance(value, Block):
            if TEMPLATE_KEY in value and use is not Use.SETTING:
                message = f"the key `{TEMPLATE_KEY}` is reserved"
                self._report.error("reserved-key", message, source.key((*path, TEMPLATE_KEY)), "use another name")
                return BROKEN
            return like(value, {k: self.value(v, source, (*path, k), use) for k, v in value.items()})
        return Items(self.value(v, source, (*path, i), use) for i, v in enumerate(value))

    def variable(self, name: str, value: Any, source: Source, path: Path_) -> None:
        """Settle a variable; the variables that it mentions come before it."""
        done = self.value(value, source, path, Use.OPTIONS)
        self.vars[name] = done
        if holds_template(done):
            self._deferred.add(name)

    def forget(self, name: str) -> None:
        """A variable that can't be settled: what uses it says nothing more."""
        self.vars[name] = BROKEN

    def holds_secret(self, text: str) -> bool:
        """Whether a template, which has no fault, reads a secret, itself or by way of a variable."""
        return any(
            root == "secrets" or (root == "vars" and (name in self._deferred or (name is None and self._deferred)))
            for root, name in compiled(text).mentions
        )

    def _text(self, text: str, source: Source, path: Path_, use: Use) -> Any:
        try:
            template = compiled(text)
            if self._uses_broken(template):
                return BROKEN
            if use is Use.KEY and any(mention.root == "params" for mention in template.mentions):
                return text
            self._check(template, use)
            if self._must_wait(template):
                return {TEMPLATE_KEY: text}
            return evaluate(text, {"env": self._environ, "vars": self.vars})
        except TemplateFault as fault:
            self._report.error(fault.code, str(fault), source.value(path), fault.hint)
            return BROKEN

    def _uses_broken(self, template: Compiled) -> bool:
        for root, name in template.mentions:
            if root == "vars" and (BROKEN in self.vars.values() if name is None else self.vars.get(name) is BROKEN):
                return True
        return False

    def _must_wait(self, template: Compiled) -> bool:
        for root, name in template.mentions:
            if root in _LATER:
                return True
            if root == "vars" and (name in self._deferred or (name is None and self._deferred)):
                return True
        return False

    def _check(self, template: Compiled, use: Use) -> None:
        for mention in sorted(template.mentions, key=str):
            self._check_root(mention.root, use)
            if mention.root in ("steps", "item", "matrix"):
                continue
            known = self._known(mention.root)
            if mention.name is not None and mention.name not in known and mention not in template.guarded:
                raise _unknown(mention, known)

    def _check_root(self, root: str, use: Use) -> None:
        if root in use.value:
            return
        if root in _WHY_NOT:
            raise TemplateFault("undefined-name", f"`{root}` can't be used here", _WHY_NOT[root])
        close = close_to(root, use.value)
        known = ", ".join(use.value)
        hint = f"did you mean `{close}`?" if close else f"known: {known}; an environment variable is {{{{ env.NAME }}}}"
        if use is Use.STEP:
            hint += "; the name of a step that has a `-` is written steps['a-b']"
        raise TemplateFault("undefined-name", f"the template's name `{root}` is not known", hint)

    def _known(self, root: str) -> Any:
        known: dict[str, Any] = {"env": self._environ, "vars": self.vars, "secrets": self.secrets}
        return {**known, "run": RUN, "job": JOB, "flow": FLOW, "event": EVENT, "events": (), "count": ()}[root]


def _unknown(mention: Mention, known: Any) -> TemplateFault:
    root, name = mention.root, str(mention.name)
    code = "missing-env" if root == "env" else "undefined-name"
    return TemplateFault(code, namespaces.missing(root, name), namespaces.hint(root, name, known))


def plain(value: Any) -> Any:
    """The value without positions, as the plan keeps it."""
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items()}
    return [plain(inner) for inner in value] if isinstance(value, list) else value


def has_broken(value: Any) -> bool:
    """Whether something in a value could not be read."""
    if isinstance(value, dict):
        return any(map(has_broken, value.values()))
    return value is BROKEN or (isinstance(value, list) and any(map(has_broken, value)))


def _has_template(value: Any) -> bool:
    if isinstance(value, str):
        return is_template(value)
    if isinstance(value, dict):
        return TEMPLATE_KEY in value or any(map(_has_template, value.values()))
    return isinstance(value, list) and any(map(_has_template, value))


def like(block: Block, values: dict[str, Any]) -> Block:
    """The values in the places of a block's own."""
    changed = Block(values)
    changed.spots = block.spots
    return changed
