"""Keeps what is slow to get, and often read, in the table `cache`: exchange rates and the list of products."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

from shop.cached import keep
from shop.schema import cache, products
from shop.sources import fetch
from sqlalchemy import Engine, delete, select

from orchestrator import Context, Duration, GiveUp, job

if TYPE_CHECKING:
    import httpx

Key = Literal["exchange-rates", "products"]
_DAY = timedelta(days=1)


@job(isolation="thread")
def refresh(
    db: Engine, http: httpx.Client, ctx: Context, rates: str, keys: list[Key] | None = None, ttl: Duration = _DAY
) -> dict[str, Any]:
    """Get the entries anew. If one can't be had, the old entry stays until it expires, and the run fails."""
    loaded = {key: load(db, http, rates) for key, load in _LOADERS.items() if keys is None or key in keys}
    keep(db, loaded, ttl)
    ctx.log.info("refreshed %s", ", ".join(loaded))
    return {"refreshed": list(loaded)}


@job(isolation="thread")
def warm_up(
    db: Engine, http: httpx.Client, ctx: Context, rates: str, ttl: Duration = _DAY, ahead: Duration = timedelta(hours=1)
) -> dict[str, Any]:
    """Get what is missing or expires within `ahead`, so that nobody has to wait for it; leave the rest alone."""
    soon = datetime.now(UTC) + ahead
    with db.connect() as connection:
        fresh = set(connection.execute(select(cache.c.key).where(cache.c.expires_at > soon)).scalars())
    cold = [key for key in _LOADERS if key not in fresh]
    return refresh(db, http, ctx, rates, keys=cold, ttl=ttl) if cold else {"refreshed": []}


@job
def expire(db: Engine, ctx: Context) -> dict[str, Any]:
    """Delete the entries whose time is over."""
    with db.begin() as connection:
        late = delete(cache).where(cache.c.expires_at <= datetime.now(UTC)).returning(cache.c.key)
        keys = sorted(connection.execute(late).scalars())
    ctx.log.info("expired: %s", ", ".join(keys) or "nothing")
    return {"expired": keys}


def _load_rates(db: Engine, http: httpx.Client, source: str) -> dict[str, float]:  # noqa: ARG001
    data = fetch(http, source).data
    rates = data.get("rates") if isinstance(data, dict) else None
    if not isinstance(rates, dict) or not all(type(rate) in (int, float) and rate > 0 for rate in rates.values()):
        raise GiveUp(f"{source} holds no exchange rates")
    return {**rates, data.get("base", "EUR"): 1.0}


def _load_products(db: Engine, http: httpx.Client, source: str) -> list[dict[str, Any]]:  # noqa: ARG001
    wanted = select(products.c.sku, products.c.name, products.c.price_cents).where(
        products.c.gone_at.is_(None), products.c.stock > 0
    )
    with db.connect() as connection:
        return [dict(row) for row in connection.execute(wanted.order_by(products.c.sku)).mappings()]


_LOADERS: dict[Key, Callable[[Engine, httpx.Client, str], Any]] = {
    "exchange-rates": _load_rates,
    "products": _load_products,
}
