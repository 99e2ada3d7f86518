"""Which Jinja2 expressions may a configuration use? Ones that end soon, stay small and can't reach the interpreter.

There are no variables that grow (`set`), no macros and no includes; what multiplies text or repeats work is charged
to a budget per rendering; attributes and filters are those listed here.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import date, datetime, time, timedelta
from typing import Any

from jinja2 import StrictUndefined, Undefined, nodes, pass_context
from jinja2.exceptions import SecurityError
from jinja2.filters import FILTERS
from jinja2.runtime import Context, LoopContext
from jinja2.sandbox import ImmutableSandboxedEnvironment

from orchestrator.config.namespaces import Names

MAX_OUTPUT = 2**20
_MAX_ROUNDS = 10_000
_MAX_RANGE = 1_000
_MAX_TEXT = 10_000
_MAX_BITS = 1_024
BUDGET = "__budget__"
_FILTERS = (
    "abs", "capitalize", "count", "d", "default", "dictsort", "e", "escape", "first", "float", "int", "items", "last",
    "length", "list", "lower", "map", "max", "min", "reject", "rejectattr", "reverse", "round", "select", "selectattr",
    "sort", "string", "sum", "title", "trim", "truncate", "unique", "upper", "urlencode", "wordcount",
)  # fmt: skip
_ATTRIBUTES: tuple[tuple[type, frozenset[str]], ...] = (
    (str, frozenset({
        "capitalize", "casefold", "count", "endswith", "find", "index", "isalnum", "isalpha", "isdigit", "islower",
        "isnumeric", "isspace", "isupper", "lower", "lstrip", "partition", "removeprefix", "removesuffix", "rpartition",
        "rsplit", "rstrip", "split", "splitlines", "startswith", "strip", "swapcase", "title", "upper",
    })),
    (dict, frozenset({"get", "items", "keys", "values"})),
    (list, frozenset({"count", "index"})),
    (datetime, frozenset({
        "astimezone", "ctime", "date", "day", "fold", "hour", "isocalendar", "isoformat", "isoweekday", "microsecond",
        "minute", "month", "replace", "second", "strftime", "time", "timestamp", "weekday", "year",
    })),
    (date, frozenset({"day", "isocalendar", "isoformat", "isoweekday", "month", "strftime", "weekday", "year"})),
    (time, frozenset({"hour", "isoformat", "minute", "second", "strftime"})),
    (timedelta, frozenset({"days", "seconds", "total_seconds"})),
    (LoopContext, frozenset({"first", "index", "index0", "last", "length", "revindex", "revindex0"})),
)  # fmt: skip
_NODES = (
    nodes.Template, nodes.Output, nodes.TemplateData, nodes.If, nodes.For, nodes.Name, nodes.Const, nodes.Tuple,
    nodes.List, nodes.Dict, nodes.Pair, nodes.Keyword, nodes.Getattr, nodes.Getitem, nodes.Slice, nodes.Filter,
    nodes.Test, nodes.Compare, nodes.Operand, nodes.BinExpr, nodes.UnaryExpr, nodes.CondExpr, nodes.Concat, nodes.Call,
)  # fmt: skip


class Budget:
    """How much one rendering may still produce."""

    def __init__(self, size: int = MAX_OUTPUT) -> None:
        self.rounds = _MAX_ROUNDS
        self.size = size

    def spend(self, size: int) -> None:
        """Charge characters or values. Raises `SecurityError` when too much was made."""
        self.size -= size
        if self.size < 0:
            raise SecurityError("the template makes too much text")


class Strict(StrictUndefined):
    """What isn't there is an error that says what isn't there."""

    @property
    def _undefined_message(self) -> str:
        if self._undefined_hint:
            return self._undefined_hint
        name, owner = self._undefined_name, self._undefined_obj
        if isinstance(owner, Names):
            return owner.missing(str(name))
        if isinstance(name, int):
            return f"there is no item {name}"
        return f"there is no `{name}` in it"


class Sandbox(ImmutableSandboxedEnvironment):
    """The one environment that templates are compiled in."""

    intercepted_binops = frozenset({"*", "**", "%"})

    def __init__(self) -> None:
        super().__init__(undefined=Strict, keep_trailing_newline=True, finalize=_written, cache_size=0)
        self.globals = {"range": _range}
        self.filters = {name: FILTERS[name] for name in _FILTERS}
        self.filters |= {"join": _join, "replace": _replace, "tojson": _to_json, "rounds": _rounds}

    def getattr(self, obj: Any, attribute: str) -> Any:
        """A mapping's own keys come before Python's methods: `vars.items` is the variable."""
        if isinstance(obj, dict):
            if attribute in obj:
                return obj[attribute]
            if isinstance(obj, Names):
                return self.undefined(obj=obj, name=attribute)
        return super().getattr(obj, attribute)

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        for kind, names in _ATTRIBUTES:
            if isinstance(obj, kind):
                return attr in names and super().is_safe_attribute(obj, attr, value)
        return False

    def unsafe_undefined(self, obj: Any, attribute: str) -> Undefined:
        return self.undefined(
            f"`.{attribute}` of {type(obj).__name__} is not available in templates", name=attribute, exc=SecurityError
        )

    def wrap_str_format(self, value: Any) -> None:
        """`str.format` gets no special treatment: it is not among the attributes, as its widths have no limit."""

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        if operator == "%" and isinstance(left, str):
            raise SecurityError("text can't be formatted with `%` here; join it with `~`")
        if operator == "**" and _bits(left) * abs(right) > _MAX_BITS:
            raise SecurityError("the power is too large")
        if operator == "*":
            _check_product(left, right, context[BUDGET])
        return super().call_binop(context, operator, left, right)


def refuse_nodes(every: Iterable[nodes.Node]) -> None:
    """Raise `SecurityError` on a kind of statement that is not allowed; make every loop count its rounds."""
    for node in every:
        if isinstance(node, nodes.Filter) and node.name not in (*_FILTERS, "join", "replace", "tojson"):
            raise SecurityError(f"there is no filter `{node.name}` here")
        if not isinstance(node, _NODES):
            raise SecurityError(f"`{type(node).__name__.lower()}` can't be used in a configuration")
        if isinstance(node, nodes.For):
            if node.recursive:
                raise SecurityError("a recursive loop can't be used in a configuration")
            node.iter = nodes.Filter(node.iter, "rounds", [], [], None, None, lineno=node.lineno)


def _bits(value: Any) -> int:
    return max(1, abs(value).bit_length()) if isinstance(value, int) else 0


def _check_product(left: Any, right: Any, budget: Budget) -> None:
    if isinstance(left, int) and isinstance(right, int):
        if _bits(left) + _bits(right) > _MAX_BITS:
            raise SecurityError("the product is too large")
        return
    for one, times in ((left, right), (right, left)):
        if isinstance(one, (list, tuple)):
            raise SecurityError("a list can't be multiplied here")
        if isinstance(one, str) and isinstance(times, int):
            if len(one) * times > _MAX_TEXT:
                raise SecurityError(f"text may be multiplied to {_MAX_TEXT:,} characters at most")
            budget.spend(len(one) * max(0, times))


@pass_context
def _range(context: Context, *arguments: int) -> list[int]:
    numbers = range(*arguments)
    if len(numbers) > _MAX_RANGE:
        raise SecurityError(f"a range may have {_MAX_RANGE:,} numbers at most")
    context[BUDGET].spend(len(numbers))
    return list(numbers)


@pass_context
def _rounds(context: Context, values: Iterable[Any]) -> list[Any]:
    budget, taken = context[BUDGET], []
    for value in values:
        budget.rounds -= 1
        if budget.rounds < 0:
            raise SecurityError(f"loops may go round {_MAX_ROUNDS:,} times at most")
        taken.append(value)
    return taken


@pass_context
def _replace(context: Context, text: str, old: str, new: str) -> str:
    text, old, new = str(text), str(old), str(new)
    context[BUDGET].spend(len(text) + text.count(old) * len(new))
    return text.replace(old, new)


@pass_context
def _join(context: Context, values: Iterable[Any], d: str = "", attribute: str | None = None) -> str:
    parts: list[str] = []
    for value in values:
        part = str(value if attribute is None else context.environment.getitem(value, attribute))
        context[BUDGET].spend(len(part) + len(d))
        parts.append(part)
    return d.join(parts)


def _to_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _written(value: Any) -> Any:
    return value.isoformat() if isinstance(value, (date, time)) else value
