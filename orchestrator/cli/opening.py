"""How a command reaches the state and the engines that share it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING

from orchestrator.cli.engines import lives
from orchestrator.client.place import Place

if TYPE_CHECKING:
    from orchestrator.store.store import Store


@contextmanager
def opened_store(place: Place, *, create: bool = False) -> Iterator[Store]:
    """The project's store; unless `create` says so, a database that isn't there is an error, not an empty one."""
    from orchestrator.store.store import Store

    store = Store(place.url, create=create)
    try:
        yield store
    finally:
        store.close()


def wake_engines(store: Store, now: datetime) -> bool:
    """Tell every engine to look at the store now; gives whether there is any that lives."""
    from orchestrator.store import instances, wake

    engines = store.read(instances.living)
    wake.wake(engines)
    return any(lives(engine, now) for engine in engines)
