"""The large data set is worked through in chunks, and continued after a kill where the checkpoint says."""

from __future__ import annotations

import json
import signal
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from example_shop import Notes, Shop, context

from orchestrator import GiveUp, Retry


@pytest.fixture
def orders(shop: Shop) -> int:
    row = {"sku": "A", "quantity": 2, "unit_price_cents": 500, "currency": "EUR", "placed_at": datetime.now(UTC)}
    shop.insert(shop.schema.orders, *({**row, "currency": ("EUR", "USD")[n % 2]} for n in range(1050)))
    shop.cached.keep(shop.db, {"exchange-rates": {"EUR": 1.0, "USD": 1.25}}, timedelta(hours=1))
    return 1050


def totals(shop: Shop) -> list[tuple[int, int]]:
    return [(row.order_id, row.total_eur_cents) for row in shop.rows(shop.schema.order_totals)]


def expected(count: int) -> list[tuple[int, int]]:
    return [(n + 1, (1000, 800)[n % 2]) for n in range(count)]


def test_every_row_is_computed_in_chunks_with_progress(shop: Shop, orders: int) -> None:
    notes = Notes()
    assert shop.dataset.process(shop.db, context(notes=notes)) == {"orders": orders}
    assert totals(shop) == expected(orders)
    assert notes.progress == [(done, orders) for done in (*range(100, 1001, 100), 1050)]
    assert [saved["after"] for saved in notes.checkpoints] == [*range(100, 1001, 100), 1050]


def test_after_a_kill_it_continues_at_the_checkpoint(shop: Shop, orders: int) -> None:
    code, out = shop.run(
        "import dataset, json\n"
        "class Said(Notes):\n"
        "    def saved(self, value):\n"
        "        print(json.dumps(value), flush=True)\n"
        "    def progressed(self, done, total):\n"
        "        done == 500 and die()\n"
        "dataset.process(db, context(notes=Said()))\n"
    )
    assert code == -signal.SIGKILL
    assert totals(shop) == expected(500)
    checkpoint = json.loads(out.splitlines()[-1])
    notes = Notes()
    assert shop.dataset.process(shop.db, context(checkpoint=checkpoint, notes=notes)) == {"orders": orders}
    assert notes.progress[0] == (600, orders)
    assert totals(shop) == expected(orders)


def test_a_chunk_whose_checkpoint_was_lost_is_repeated_without_effect(shop: Shop, orders: int) -> None:
    rates = {"EUR": 1.0, "USD": 1.25}
    shop.dataset.process(shop.db, context())
    shop.dataset.process(shop.db, context(checkpoint={"after": 900, "done": 900, "rates": rates}))
    assert totals(shop) == expected(orders)


def test_a_continued_run_keeps_its_exchange_rates(shop: Shop, orders: int) -> None:
    checkpoint: dict[str, Any] = {"after": 0, "done": 0, "rates": {"EUR": 1.0, "USD": 2.0}}
    shop.dataset.process(shop.db, context(checkpoint=checkpoint))
    assert totals(shop)[1] == (2, 500)


def test_without_exchange_rates_it_asks_for_a_retry(shop: Shop) -> None:
    with pytest.raises(Retry, match="no exchange rates"):
        shop.dataset.process(shop.db, context())


def test_an_unknown_currency_is_named(shop: Shop, orders: int) -> None:
    shop.change(shop.schema.orders.update().where(shop.schema.orders.c.id == 3).values(currency="XYZ"))
    with pytest.raises(GiveUp, match="order 3 is in XYZ"):
        shop.dataset.process(shop.db, context())


def test_asked_to_stop_it_stops_between_chunks(shop: Shop, orders: int) -> None:
    notes = Notes()
    stopping = context(notes=notes)
    stopping._cancelled = lambda: len(notes.checkpoints) >= 3
    with pytest.raises(Retry, match="stopped after 300 of 1050"):
        shop.dataset.process(shop.db, stopping)
