"""How did the shop do in a period? Every figure is one aggregate that the database computes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import Connection, Engine, Table, func, select
from sqlalchemy.sql.elements import ColumnElement

from shop.periods import Period
from shop.schema import emails, logs, notifications, order_totals, orders, products

_TOP = 5


@dataclass(frozen=True)
class Day:
    """One bar of the chart."""

    date: date
    revenue: float


@dataclass(frozen=True)
class Figures:
    """What a report tells. Revenue is in euros."""

    orders: int
    revenue: float
    previous_revenue: float
    days: list[Day]
    best: list[dict[str, Any]]
    deliveries: dict[str, dict[str, int]]
    errors: int

    @property
    def change(self) -> float | None:
        """The change of revenue since the period before, in per cent; None if there was none to compare with."""
        return (self.revenue / self.previous_revenue - 1) * 100 if self.previous_revenue else None


def figures_of(db: Engine, period: Period, previous: Period) -> Figures:
    """Compute a report's figures; `previous` is the period that it compares with."""
    with db.connect() as connection:
        count, revenue = _revenue(connection, *period.bounds)
        start, end = period.bounds
        return Figures(
            orders=count,
            revenue=revenue,
            previous_revenue=_revenue(connection, *previous.bounds)[1],
            days=[Day(day, _revenue(connection, *_bounds_of(period, day))[1]) for day in period.days],
            best=_best(connection, start, end),
            deliveries={table.name: _by_status(connection, table, start, end) for table in (emails, notifications)},
            errors=connection.execute(
                select(func.count()).where(_between(logs.c.created_at, start, end), logs.c.level == "ERROR")
            ).scalar_one(),
        )


def _bounds_of(period: Period, day: date) -> tuple[datetime, datetime]:
    following = date.fromordinal(day.toordinal() + 1)
    return period.midnight(day), period.midnight(following)


def _revenue(connection: Connection, start: datetime, end: datetime) -> tuple[int, float]:
    wanted = (
        select(func.count(), func.coalesce(func.sum(order_totals.c.total_eur_cents), 0))
        .select_from(orders.join(order_totals, orders.c.id == order_totals.c.order_id))
        .where(_between(orders.c.placed_at, start, end))
    )
    count, cents = connection.execute(wanted).one()
    return count, cents / 100


def _best(connection: Connection, start: datetime, end: datetime) -> list[dict[str, Any]]:
    revenue = func.sum(order_totals.c.total_eur_cents)
    name = func.coalesce(products.c.name, orders.c.sku)
    wanted = (
        select(name.label("name"), func.sum(orders.c.quantity).label("sold"), (revenue / 100.0).label("revenue"))
        .select_from(
            orders.join(order_totals, orders.c.id == order_totals.c.order_id).outerjoin(
                products, products.c.sku == orders.c.sku
            )
        )
        .where(_between(orders.c.placed_at, start, end))
        .group_by(orders.c.sku, products.c.name)
        .order_by(revenue.desc(), orders.c.sku)
        .limit(_TOP)
    )
    return [dict(row) for row in connection.execute(wanted).mappings()]


def _by_status(connection: Connection, table: Table, start: datetime, end: datetime) -> dict[str, int]:
    wanted = (
        select(table.c.status, func.count().label("rows"))
        .where(_between(table.c.created_at, start, end))
        .group_by(table.c.status)
        .order_by(table.c.status)
    )
    return {row.status: row.rows for row in connection.execute(wanted)}


def _between(column: ColumnElement[Any], start: datetime, end: datetime) -> ColumnElement[bool]:
    return (column >= start) & (column < end)
