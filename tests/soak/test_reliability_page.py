"""docs/reliability.md names, for each of the ten promises, tests that exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "reliability.md").read_text("utf-8")
PROMISES = re.split(r"^## (?=\d+\. )", PAGE, flags=re.M)[1:]
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


def test_there_are_ten_promises() -> None:
    assert [int(promise.split(".")[0]) for promise in PROMISES] == list(range(1, 11))


@pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise.splitlines()[0])
def test_each_promise_has_its_mechanism_and_tests_that_exist(promise: str) -> None:
    named = NAMED.findall(promise)
    assert named, "it names no test"
    assert "*How:*" in promise
    missing = [f"{file}::{test}" for file, test in named if test not in _tests_of(ROOT / file)]
    assert missing == []


def _tests_of(file: Path) -> set[str]:
    if not file.exists():
        return set()
    tree = ast.parse(file.read_text("utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
