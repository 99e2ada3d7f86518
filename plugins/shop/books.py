"""What has been closed, and how do orders get into the books once each, however often it is tried?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Engine, Row, func, select, update

from shop.database import upsert
from shop.periods import Period
from shop.schema import accounts, bookings, closed_days, order_totals, orders, products

_NO_CATEGORY = "Other"
"""The account for products that the catalogue has forgotten."""


@dataclass(frozen=True)
class DayFigures:
    """A day in numbers. Orders of which `unknown` counts have no total in euros yet."""

    orders: int
    unknown: int
    cents: int
    large: int


def days_to_close(db: Engine, now: datetime, zone: ZoneInfo) -> list[date]:
    """The days since the first order that are over and not closed, the oldest first. Days without orders count."""
    with db.connect() as connection:
        first = connection.execute(select(func.min(orders.c.placed_at))).scalar_one()
        done = select(closed_days.c.day).where(closed_days.c.closed_at.is_not(None))
        closed = set(connection.execute(done).scalars())
    if first is None:
        return []
    start, today = first.astimezone(zone).date(), now.astimezone(zone).date()
    days = (start + timedelta(days=n) for n in range((today - start).days))
    return [day for day in days if day not in closed]


def figures_of_day(db: Engine, day: Period, large: int) -> DayFigures:
    """The day's orders, those of at least `large` cents counted apart."""
    total = order_totals.c.total_eur_cents
    columns = func.count(), func.count() - func.count(total), func.coalesce(func.sum(total), 0)
    source = orders.outerjoin(order_totals, orders.c.id == order_totals.c.order_id)
    with db.connect() as connection:
        count, unknown, cents = connection.execute(select(*columns).select_from(source).where(_placed(day))).one()
    return DayFigures(count, unknown, cents, len(large_orders(db, day, large)))


def large_orders(db: Engine, day: Period, large: int) -> Sequence[Row[Any]]:
    """`id` and `total_eur_cents` of the day's orders that come to at least `large` cents."""
    wanted = (
        select(orders.c.id, order_totals.c.total_eur_cents)
        .join_from(orders, order_totals, orders.c.id == order_totals.c.order_id)
        .where(_placed(day), order_totals.c.total_eur_cents >= large)
        .order_by(orders.c.id)
    )
    with db.connect() as connection:
        return connection.execute(wanted).all()


def keep_figures(db: Engine, day: date, figures: DayFigures) -> None:
    """Write a day's figures, in place of what they were. Whether the day is closed stays as it is."""
    new = {"orders": figures.orders, "total_eur_cents": figures.cents, "large_orders": figures.large}
    insert = upsert(db, closed_days).values(day=day, **new)
    with db.begin() as connection:
        connection.execute(insert.on_conflict_do_update(index_elements=["day"], set_=new))


def orders_of(db: Engine, days: Sequence[Period]) -> list[int]:
    """The ids of the orders of these days: in the same order whenever it is asked."""
    with db.connect() as connection:
        found = [connection.execute(select(orders.c.id).where(_placed(day)).order_by(orders.c.id)) for day in days]
        return [order_id for day in found for order_id in day.scalars()]


def book(connection: Connection, db: Engine, order_ids: Sequence[int]) -> None:
    """Add orders to the balances of their accounts, all in the caller's transaction.

    Adding is not idempotent, so only what becomes a row of `bookings` here is added: rows that are there already have
    been added by the transaction that wrote them.
    """
    rows = [dict(row) for row in connection.execute(_entries(order_ids)).mappings()]
    new = upsert(db, bookings).values(rows).on_conflict_do_nothing(index_elements=["order_id"])
    sums: Counter[str] = Counter()
    for account, cents in connection.execute(new.returning(bookings.c.account, bookings.c.eur_cents)):
        sums[account] += cents
    insert = upsert(db, accounts)
    balance = {"balance_eur_cents": accounts.c.balance_eur_cents + insert.excluded.balance_eur_cents}
    for account, cents in sorted(sums.items()):  # in one order, so that two processes don't wait for each other
        row = {"name": account, "balance_eur_cents": cents}
        connection.execute(insert.values(row).on_conflict_do_update(index_elements=["name"], set_=balance))


def close(db: Engine, days: Sequence[date], now: datetime) -> None:
    """Note that these days' orders are all in the books."""
    with db.begin() as connection:
        connection.execute(update(closed_days).where(closed_days.c.day.in_(days)).values(closed_at=now))


def _entries(order_ids: Sequence[int]) -> Any:
    account = func.coalesce(products.c.category, _NO_CATEGORY).label("account")
    # Without a total an order has no amount, which `bookings` refuses: it can't be left out in silence.
    source = orders.outerjoin(order_totals, orders.c.id == order_totals.c.order_id).outerjoin(
        products, products.c.sku == orders.c.sku
    )
    columns = orders.c.id.label("order_id"), account, order_totals.c.total_eur_cents.label("eur_cents")
    return select(*columns).select_from(source).where(orders.c.id.in_(order_ids))


def _placed(day: Period) -> Any:
    start, end = day.bounds
    return (orders.c.placed_at >= start) & (orders.c.placed_at < end)
