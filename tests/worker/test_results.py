"""Which results are JSON values."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.worker.results import LIMIT, NotJson, plain

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=20,
)


@given(JSON)
def test_json_values_stay_what_they_are(value: Any) -> None:
    assert plain(value) == value


@given(st.recursive(JSON | st.sets(st.integers()) | st.tuples(st.floats()) | st.dates() | st.uuids(), st.lists))
def test_whatever_is_kept_is_json_that_python_reads_back(value: Any) -> None:
    try:
        kept = plain(value)
    except NotJson:
        return
    assert json.loads(json.dumps(kept, allow_nan=False)) == kept


def test_usual_python_values_have_a_json_form() -> None:
    assert plain(datetime(2024, 1, 2, 3, 4, tzinfo=UTC)) == "2024-01-02T03:04:00Z"
    assert plain({1: {2.5}, "b": b"\x00\xff", "n": math.inf}) == {"1": [2.5], "b": "AP8=", "n": None}


@pytest.mark.parametrize("value", [object(), Path("x"), "x" * (LIMIT + 1), "\udc80", 2**70, [lambda: 1]])
def test_anything_else_is_refused_in_words(value: Any) -> None:
    with pytest.raises(NotJson) as refused:
        plain({"deep": [value]})
    assert 0 < len(str(refused.value)) < 300
