"""docs/reliability.md names, for each of the ten promises, tests that exist."""

from __future__ import annotations

import re

import pytest

from tests.docs.named_tests import ROOT, missing_tests, named_tests

PAGE = (ROOT / "docs" / "reliability.md").read_text("utf-8")
PROMISES = re.split(r"^## (?=\d+\. )", PAGE, flags=re.M)[1:]


def test_there_are_ten_promises() -> None:
    assert [int(promise.split(".")[0]) for promise in PROMISES] == list(range(1, 11))


@pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise.splitlines()[0])
def test_each_promise_has_its_mechanism_and_tests_that_exist(promise: str) -> None:
    assert named_tests(promise), "it names no test"
    assert "*How:*" in promise
    assert missing_tests(promise) == []
