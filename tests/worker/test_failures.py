"""Exceptions as data, whatever they are."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.worker.failures import describe


def raised(error: BaseException) -> BaseException:
    try:
        raise error  # noqa: TRY301
    except BaseException as caught:  # noqa: BLE001
        return caught


class Nasty(Exception):  # noqa: N818
    def __str__(self) -> str:
        raise MemoryError

    __repr__ = __str__


@given(st.text())
def test_any_message_can_be_sent(text: str) -> None:
    info = describe(raised(ValueError(text)))
    assert msgspec.json.decode(msgspec.json.encode(info))["type"] == "ValueError"


@pytest.mark.parametrize(
    "error", [Nasty(), SystemExit(2), KeyboardInterrupt(), ExceptionGroup("many", [ValueError("a"), Nasty()])]
)
def test_strange_exceptions_are_described(error: BaseException) -> None:
    info = describe(raised(error))
    assert info.message
    assert "BaseException" in info.names


def test_names_lead_from_the_class_to_its_bases() -> None:
    info = describe(raised(msgspec.ValidationError("x")))
    assert info.type == "msgspec.ValidationError"
    assert info.names[:4] == ("msgspec.ValidationError", "msgspec.DecodeError", "msgspec.MsgspecError", "ValueError")


def test_long_tracebacks_keep_their_head_and_their_end() -> None:
    error: BaseException = ValueError("the first")
    for number in range(500):
        try:
            raise KeyError(number) from error  # noqa: TRY301
        except KeyError as later:
            error = later
    info = describe(error)
    assert "the first" in info.traceback
    assert "KeyError: 499" in info.traceback
    assert "characters left out" in info.traceback
    assert len(info.traceback) < 70_000


def test_context_and_causes_are_part_of_the_traceback() -> None:
    try:
        try:
            raise OSError("disk")  # noqa: TRY301
        except OSError:
            raise LookupError("gone")  # noqa: B904 - the implicit context is the point
    except LookupError as error:
        info = describe(error)
    assert "During handling of the above exception" in info.traceback
    assert info.traceback.index("disk") < info.traceback.index("gone")
