"""What type does a parameter's annotation mean? Text is resolved where the function was written."""

from __future__ import annotations

import ast
import importlib
import inspect
import sys
import types
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any


def signature_of(function: Callable[..., Any]) -> inspect.Signature:
    """The signature with annotations as they are, even those that can't be evaluated. Raises `ValueError`."""
    if sys.version_info >= (3, 14):
        import annotationlib  # only there since annotations are lazy

        return inspect.signature(function, annotation_format=annotationlib.Format.FORWARDREF)
    return inspect.signature(function)


def resolve(annotation: Any, function: Any) -> Any:
    """The type that `annotation` of `function` means. Raises whatever evaluating it raises."""
    if isinstance(annotation, type) and not isinstance(annotation, types.GenericAlias):
        return annotation
    names = getattr(function, "__globals__", {})
    for _ in range(8):
        try:
            return _evaluate(annotation, names)
        except NameError as error:
            found = _typing_only(error.name, function) if error.name not in names else None
            if found is None:
                raise
            names = {**names, error.name: found}
    return _evaluate(annotation, names)


def _evaluate(annotation: Any, names: dict[str, Any]) -> Any:
    holder = types.SimpleNamespace(__annotations__={"it": annotation})
    return typing.get_type_hints(holder, globalns=names, include_extras=True)["it"]


def _typing_only(name: str | None, function: Any) -> Any:
    """What a plugin imported as `name` under `if TYPE_CHECKING:`, as linters advise to; none if nothing did."""
    code = getattr(function, "__code__", None)
    if code is None or name is None:
        return None
    try:
        tree = ast.parse(Path(code.co_filename).read_bytes())
    except (OSError, SyntaxError, ValueError):
        return None
    package = function.__globals__.get("__package__") or ""
    for node in tree.body:
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            for statement in node.body:
                if (found := _imported(statement, name, package)) is not None:
                    return found
    return None


def _imported(statement: ast.stmt, name: str, package: str) -> Any:
    if isinstance(statement, ast.ImportFrom):
        for alias in statement.names:
            if (alias.asname or alias.name) == name:
                source = "." * statement.level + (statement.module or "")
                return getattr(importlib.import_module(source, package), alias.name)
    elif isinstance(statement, ast.Import):
        for alias in statement.names:
            if alias.asname == name:
                return importlib.import_module(alias.name)
            if alias.asname is None and alias.name.partition(".")[0] == name:
                importlib.import_module(alias.name)
                return sys.modules[name]
    return None
