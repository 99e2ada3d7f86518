"""What a callable that works off many runs in one call is given, and how it ends each of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Generic, TypeVar, overload

T = TypeVar("T")


class Item(Generic[T]):
    """One run of a batch. What the callable doesn't end by a word of its own ends as the whole call does."""

    __slots__ = ("attempt", "error", "params", "result", "run_id", "settled")

    def __init__(self, run_id: int, attempt: int, params: T) -> None:
        self.run_id = run_id
        self.attempt = attempt
        """1 for the first."""
        self.params = params
        self.settled = False
        self.result: Any = None
        self.error: BaseException | None = None

    def succeed(self, result: Any = None) -> None:
        """It is done, with a JSON value as its result. It counts once the call is over; the last word holds."""
        self.settled, self.result, self.error = True, result, None

    def fail(self, error: BaseException | str) -> None:
        """It went wrong: an exception, or text for one. `Retry(delay=…)` and `GiveUp(…)` mean what they always do."""
        self.settled, self.result = True, None
        self.error = error if isinstance(error, BaseException) else RuntimeError(error)


class Batch(Sequence[Item[T]]):
    """The runs of one call. A callable receives it in a parameter annotated `Batch`, or `Batch[T]`, where `T` (a
    dataclass, TypedDict or pydantic model) is what each run's parameters are made."""

    def __init__(self, items: Iterable[Item[T]]) -> None:
        self._items = tuple(items)

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[Item[T]]:
        return iter(self._items)

    @overload
    def __getitem__(self, index: int) -> Item[T]: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Item[T]]: ...
    def __getitem__(self, index: int | slice) -> Item[T] | Sequence[Item[T]]:
        return self._items[index]
