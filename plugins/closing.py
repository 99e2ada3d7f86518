"""The steps of a workflow that closes the days that are over. Each may be repeated: it then writes the same again."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

from shop import books
from shop.database import upsert
from shop.letters import enqueue
from shop.periods import Period, day_of
from shop.schema import closings
from sqlalchemy import Engine

from orchestrator import Context, GiveUp, job


@job
def open_days(db: Engine, ctx: Context, at_most: int = 14) -> list[str]:
    """The oldest days that aren't closed; what is left is for the next time."""
    days = books.days_to_close(db, ctx.fire_time or datetime.now(UTC), ctx.timezone)
    ctx.log.info("%d days to close", len(days))
    return [day.isoformat() for day in days[:at_most]]


@job
def sum_up(db: Engine, ctx: Context, day: date, large: float) -> dict[str, Any]:
    """Write a day's figures down; orders of `large` euros and more are counted."""
    figures = books.figures_of_day(db, day_of(day, ctx.timezone), _cents(large))
    if figures.unknown:
        lacking = f"{day} has orders without a total in euros ({figures.unknown})"
        raise GiveUp(f"{lacking}: let convert-orders run first")
    books.keep_figures(db, day, figures)
    return {"day": day.isoformat(), "orders": figures.orders, "euros": figures.cents / 100, "large": figures.large}


@job
def report_large(db: Engine, ctx: Context, days: list[date], large: float, to: str) -> dict[str, Any]:
    """Queue a mail that lists the large orders of these days: one mail, since its key is made of what it tells."""
    periods = _periods(days, ctx)
    found = [(day, order) for day in periods for order in books.large_orders(db, day, _cents(large))]
    lines = [f"{day.name}  order {order.id:6}  {order.total_eur_cents / 100:10.2f} EUR" for day, order in found]
    email_id = enqueue(
        db,
        key=f"large-orders/{days[0]}/{days[-1]}/{to}",
        to=to,
        subject=f"{len(found)} large orders",
        body="\n".join([*lines, ""]),
    )
    return {"orders": len(found), "email_id": email_id}


@job
def book(db: Engine, ctx: Context, days: list[date], chunk: int = 100) -> dict[str, int]:
    """Add the days' orders to the accounts, then mark the days as closed.

    A chunk is one transaction of the database, and the place is saved after it. When a kill comes between the two
    the next attempt does the chunk again, and finds that its orders are booked.
    """
    order_ids = books.orders_of(db, _periods(days, ctx))
    for some in ctx.chunked(order_ids, chunk):
        with db.begin() as connection:
            books.book(connection, db, some)
    books.close(db, days, datetime.now(UTC))
    return {"days": len(days), "orders": len(order_ids)}


@job
def record(db: Engine, run: int, state: str, days: list[date] | None) -> None:
    """Keep how a closing ended: one row for each, whatever became of it."""
    row = {"state": state, "days": len(days or []), "ended_at": datetime.now(UTC)}
    insert = upsert(db, closings).values(run_id=run, **row)
    with db.begin() as connection:
        connection.execute(insert.on_conflict_do_update(index_elements=["run_id"], set_=row))


def _periods(days: list[date], ctx: Context) -> list[Period]:
    return [day_of(day, ctx.timezone) for day in days]


def _cents(euros: float) -> int:
    return round(euros * 100)
