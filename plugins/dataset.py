"""Works through a large table in chunks, and continues where it stopped, whatever stopped it."""

from __future__ import annotations

from typing import Any

from shop.cached import cached
from shop.database import upsert
from shop.schema import order_totals, orders
from sqlalchemy import Connection, Engine, Row, func, select

from orchestrator import Context, GiveUp, Retry, job


@job
def process(db: Engine, ctx: Context, chunk: int = 100) -> dict[str, Any]:
    """Write every order's total in euros to `order_totals`.

    A chunk's results are one transaction, keyed by the order, so a chunk that is repeated after a kill writes the same
    again. The checkpoint keeps the exchange rates too: a run that continues tomorrow doesn't mix two days' rates.
    """
    state = ctx.checkpoint.load() or {"after": 0, "done": 0, "rates": _rates(db)}
    total = _count(db)
    while not ctx.cancelled and (rows := _next_chunk(db, state["after"], chunk)):
        with db.begin() as connection:
            _write(connection, db, [_total(row, state["rates"]) for row in rows])
        state = {**state, "after": rows[-1].id, "done": state["done"] + len(rows)}
        ctx.checkpoint.save(state)
        ctx.progress(state["done"], total)
    if ctx.cancelled:
        raise Retry(f"stopped after {state['done']} of {total} orders")
    ctx.log.info("%d orders in chunks of %d", state["done"], chunk)
    return {"orders": state["done"]}


def _rates(db: Engine) -> dict[str, float]:
    rates = cached(db, "exchange-rates")
    if rates is None:
        raise Retry("there are no exchange rates in the cache yet", delay=5)
    return dict(rates)


def _count(db: Engine) -> int:
    with db.connect() as connection:
        return connection.execute(select(func.count()).select_from(orders)).scalar_one()


def _next_chunk(db: Engine, after: int, size: int) -> list[Row[Any]]:
    """By key, not by OFFSET: each chunk costs the same, and no row that comes meanwhile shifts the others."""
    with db.connect() as connection:
        return list(connection.execute(select(orders).where(orders.c.id > after).order_by(orders.c.id).limit(size)))


def _total(order: Row[Any], rates: dict[str, float]) -> dict[str, Any]:
    rate = rates.get(order.currency)
    if rate is None:
        raise GiveUp(f"order {order.id} is in {order.currency}, which has no exchange rate")
    return {
        "order_id": order.id,
        "total_eur_cents": round(order.quantity * order.unit_price_cents / rate),
        "rate": rate,
    }


def _write(connection: Connection, db: Engine, rows: list[dict[str, Any]]) -> None:
    insert = upsert(db, order_totals)
    new = {"total_eur_cents": insert.excluded.total_eur_cents, "rate": insert.excluded.rate}
    connection.execute(insert.on_conflict_do_update(index_elements=["order_id"], set_=new), rows)
