"""The list of mutations fits the source as it is; `make mutations` tries them, which takes its time."""

from __future__ import annotations

import ast
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

from soak.mutations.listing import MUTATIONS
from soak.mutations.mutation import ROOT, Mutation
from soak.mutations.place import Tree
from tests.soak.test_reliability_page import PROMISES


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: f"{mutation.promise}: {mutation.what}")
def test_a_mutation_fits_the_source_and_names_tests_that_exist(mutation: Mutation) -> None:
    mutated = mutation.applied((ROOT / mutation.file).read_text("utf-8"))
    ast.parse(mutated)
    for test in mutation.tests:
        file, _, function = test.partition("::")
        assert function.partition("[")[0] in _functions(ROOT / file)


def test_each_promise_has_mutations() -> None:
    counted = Counter(mutation.promise for mutation in MUTATIONS)
    assert sorted(counted) == list(range(1, len(PROMISES) + 1))
    assert min(counted.values()) >= 2


def test_a_mutation_is_noticed_in_a_copy_and_leaves_the_checkout_alone(tmp_path: Path) -> None:
    (mutation,) = (one for one in MUTATIONS if one.what == "any engine may end an attempt")
    before = (ROOT / mutation.file).read_bytes()
    tree = Tree(tmp_path)
    assert tree.failing(mutation.tests) == set()
    tree.apply(mutation)
    assert tree.failing(mutation.tests) == set(mutation.tests)
    tree.undo(mutation)
    assert tree.failing(mutation.tests) == set()
    assert (ROOT / mutation.file).read_bytes() == before


@cache
def _functions(file: Path) -> frozenset[str]:
    found = ast.walk(ast.parse(file.read_text("utf-8")))
    return frozenset(node.name for node in found if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
