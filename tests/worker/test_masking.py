"""Secrets that a callable was given don't leave the worker in what it prints, raises or returns."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from orchestrator.core.batches import ItemEnd
from orchestrator.core.runs import ErrorInfo, Outcome
from orchestrator.worker.masking import Mask
from orchestrator.worker.messages import Checkpointed, Finished, Logged

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def mask() -> Mask:
    mask = Mask()
    mask.learn(["s3cret-token", "line one\nline two", "abc", "s3cret-token-longer"])
    return mask


def logged(text: str) -> Logged:
    return Logged(run_id=1, attempt=1, at=NOW, stream="stdout", text=text)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("token=s3cret-token;", "token=***;"),
        ("s3cret-token-longer", "***"),
        ("line two\n", "***\n"),
        ("abc stays, it is too short to look for", "abc stays, it is too short to look for"),
    ],
)
def test_output_shows_stars(mask: Mask, text: str, shown: str) -> None:
    hidden = mask.hide(logged(text))
    assert isinstance(hidden, Logged)
    assert hidden.text == shown


def test_errors_and_results_show_stars(mask: Mask) -> None:
    error = ErrorInfo(type="E", message="401 for s3cret-token", traceback="post('s3cret-token')")
    result: Any = {"s3cret-token": ["x s3cret-token", 1, None]}
    end = Finished(
        run_id=1,
        attempt=1,
        sequence=1,
        outcome=Outcome.FAILED,
        started_at=NOW,
        finished_at=NOW,
        result=result,
        error=error,
    )
    item = ItemEnd(run_id=2, outcome=Outcome.FAILED, result=result, error=error)
    hidden = mask.hide(msgspec.structs.replace(end, items=(item,)))
    assert isinstance(hidden, Finished)
    for one in (hidden, *hidden.items):
        assert one.error == ErrorInfo(type="E", message="401 for ***", traceback="post('***')")
        assert one.result == {"***": ["x ***", 1, None]}


def test_checkpoints_are_kept_as_they_are(mask: Mask) -> None:
    saved = Checkpointed(run_id=1, attempt=1, value="s3cret-token")
    assert mask.hide(saved) is saved


def test_without_secrets_nothing_is_touched() -> None:
    message = logged("anything")
    assert Mask().hide(message) is message
