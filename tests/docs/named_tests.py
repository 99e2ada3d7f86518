"""Which tests does a page name, as `tests/room/test_subject.py::test_name`, and which of them don't exist?"""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


def named_tests(text: str) -> list[tuple[str, str]]:
    """The tests that a text names: file and function."""
    return NAMED.findall(text)


def missing_tests(text: str) -> list[str]:
    """Those that a text names although they don't exist."""
    return [f"{file}::{test}" for file, test in named_tests(text) if test not in _tests_of(ROOT / file)]


@cache
def _tests_of(file: Path) -> frozenset[str]:
    if not file.exists():
        return frozenset()
    tree = ast.parse(file.read_text("utf-8"))
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
