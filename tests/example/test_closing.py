"""The steps that close the shop's days: what they find, write and mail, and that a repetition changes nothing."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from example_shop import Notes, Shop, context
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.exc import IntegrityError

from orchestrator import GiveUp

BERLIN = ZoneInfo("Europe/Berlin")
DAYS = [date(2025, 3, 1), date(2025, 3, 2), date(2025, 3, 3)]


def noon(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, 12, tzinfo=BERLIN)


def sell(shop: Shop, moment: datetime, *cents: int | None, sku: str = "A") -> None:
    """Orders at this moment. None is one that has no total yet."""
    for amount in cents:
        order = {"placed_at": moment, "sku": sku, "quantity": 1, "unit_price_cents": amount or 1, "currency": "EUR"}
        shop.insert(shop.schema.orders, order)
        order_id = shop.rows(shop.schema.orders)[-1].id
        if amount is not None:
            shop.insert(shop.schema.order_totals, {"order_id": order_id, "total_eur_cents": amount, "rate": 1.0})


def list_product(shop: Shop) -> None:
    product = {"sku": "A", "name": "Tea", "category": "Tea", "price_cents": 1, "stock": 1}
    shop.insert(shop.schema.products, {**product, "seen_at": datetime.now(UTC)})


def sum_up(shop: Shop, day: date, large: float = 150) -> dict[str, Any]:
    result: dict[str, Any] = shop.closing.sum_up(shop.db, context(), day, large)
    return result


def balances(shop: Shop) -> dict[str, int]:
    return {row.name: row.balance_eur_cents for row in shop.rows(shop.schema.accounts)}


def open_days(shop: Shop, **params: Any) -> list[str]:
    """Asked at three in the night after the last of the days."""
    at = datetime(2025, 3, 4, 3, tzinfo=BERLIN)
    found: list[str] = shop.closing.open_days(shop.db, context(fire_time=at), **params)
    return found


def test_the_days_that_are_over_are_found_oldest_first(shop: Shop) -> None:
    assert open_days(shop) == []
    sell(shop, noon(DAYS[0]), 100)
    sell(shop, noon(date(2025, 3, 4)), 100)
    assert open_days(shop) == [day.isoformat() for day in DAYS]
    assert open_days(shop, at_most=2) == [day.isoformat() for day in DAYS[:2]]
    assert len(shop.closing.open_days(shop.db, context())) == 14


def test_a_day_is_closed_once_it_is_booked_not_when_it_is_summed_up(shop: Shop) -> None:
    sell(shop, noon(DAYS[0]), 100)
    sum_up(shop, DAYS[0])
    assert len(open_days(shop)) == 3
    shop.closing.book(shop.db, context(), DAYS[:1])
    assert open_days(shop) == [day.isoformat() for day in DAYS[1:]]
    sum_up(shop, DAYS[0])
    assert len(open_days(shop)) == 2


def test_a_day_lasts_from_midnight_to_midnight_where_the_shop_is(shop: Shop) -> None:
    day = date(2025, 3, 30)  # 23 hours long
    start = datetime(2025, 3, 30, tzinfo=BERLIN)
    end = datetime(2025, 3, 31, tzinfo=BERLIN)
    for moment, cents in (
        (start - timedelta(seconds=1), 1),
        (start, 20),
        (end - timedelta(seconds=1), 300),
        (end, 4000),
    ):
        sell(shop, moment.astimezone(UTC), cents)
    assert sum_up(shop, day, large=3) == {"day": "2025-03-30", "orders": 2, "euros": 3.2, "large": 1}
    (row,) = shop.rows(shop.schema.closed_days)
    assert (row.day, row.orders, row.total_eur_cents, row.large_orders, row.closed_at) == (day, 2, 320, 1, None)


def test_a_day_with_orders_that_have_no_total_is_not_summed_up(shop: Shop) -> None:
    sell(shop, noon(DAYS[0]), 100, None)
    with pytest.raises(GiveUp, match="2025-03-01 has orders without a total"):
        sum_up(shop, DAYS[0])
    assert shop.rows(shop.schema.closed_days) == []
    with pytest.raises(IntegrityError):
        shop.closing.book(shop.db, context(), DAYS[:1])
    assert shop.rows(shop.schema.bookings) == []


def test_large_orders_are_listed_in_one_mail(shop: Shop) -> None:
    sell(shop, noon(DAYS[0]), 14_999, 15_000)
    sell(shop, noon(DAYS[2]), 20_000)
    for _ in range(2):
        told = shop.closing.report_large(shop.db, context(), DAYS, 150, "boss@shop.example")
    assert told["orders"] == 2
    (mail,) = shop.rows(shop.schema.emails)
    assert (mail.subject, mail.recipient) == ("2 large orders", "boss@shop.example")
    assert [line.split()[2:] for line in mail.body.splitlines()] == [["2", "150.00", "EUR"], ["3", "200.00", "EUR"]]


def test_orders_are_added_to_the_accounts_in_chunks(shop: Shop) -> None:
    list_product(shop)
    sell(shop, noon(DAYS[0]), 100, 200, 300)
    sell(shop, noon(DAYS[1]), 4000, sku="forgotten")
    sell(shop, noon(DAYS[2]), 50_000)
    notes = Notes()
    assert shop.closing.book(shop.db, context(notes=notes), DAYS[:2], chunk=3) == {"days": 2, "orders": 4}
    assert balances(shop) == {"Tea": 600, "Other": 4000}
    assert notes.progress == [(3, 4), (4, 4)]
    assert [row.order_id for row in shop.rows(shop.schema.bookings)] == [1, 2, 3, 4]


class Killed(BaseException):
    """Stands for the end of the process."""


class Dying(Notes):
    """Dies when so many orders are done, before that is saved."""

    def __init__(self, at: int) -> None:
        super().__init__()
        self._at = at

    def saved(self, value: Any) -> None:
        if len(self.checkpoints) >= self._at:
            raise Killed
        super().saved(value)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(chunks=st.lists(st.integers(1, 5), min_size=1, max_size=4), deaths=st.lists(st.integers(0, 3), max_size=4))
def test_whatever_is_repeated_each_order_is_booked_once(shop: Shop, chunks: list[int], deaths: list[int]) -> None:
    """Attempts that die between a transaction and its checkpoint, and runs that know nothing of each other."""
    for table in ("orders", "order_totals", "bookings", "accounts"):
        shop.change(getattr(shop.schema, table).delete())
    sell(shop, noon(DAYS[0]), *range(1, 10))
    for chunk in chunks:
        checkpoint = None
        for at in deaths:
            notes = Dying(at)
            try:
                shop.closing.book(shop.db, context(checkpoint=checkpoint, notes=notes), DAYS[:1], chunk)
            except Killed:
                checkpoint = notes.checkpoints[-1] if notes.checkpoints else checkpoint
        shop.closing.book(shop.db, context(checkpoint=checkpoint), DAYS[:1], chunk)
    assert balances(shop) == {"Other": sum(range(1, 10))}
    assert len(shop.rows(shop.schema.bookings)) == 9


def test_a_closing_is_recorded_once_and_its_record_follows_its_state(shop: Shop) -> None:
    shop.closing.record(shop.db, 7, "failed", None)
    shop.closing.record(shop.db, 7, "succeeded", DAYS)
    shop.closing.record(shop.db, 8, "failed", DAYS)
    assert [(row.run_id, row.state, row.days) for row in shop.rows(shop.schema.closings)] == [
        (7, "succeeded", 3),
        (8, "failed", 3),
    ]
