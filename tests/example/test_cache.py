"""The cache is refreshed from its sources, warmed where it is cold, and rid of what is old."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from example_servers import Reply, WebServer
from example_shop import DATA, Shop, context

from orchestrator import GiveUp

RATES = str(DATA / "exchange_rates.json")


@pytest.fixture
def http() -> Iterator[httpx.Client]:
    with httpx.Client(timeout=5) as client:
        yield client


def entries(shop: Shop) -> dict[str, object]:
    return {row.key: row.value for row in shop.rows(shop.schema.cache)}


def age(shop: Shop, key: str, left: timedelta) -> None:
    table = shop.schema.cache
    shop.change(table.update().where(table.c.key == key).values(expires_at=datetime.now(UTC) + left))


def test_refresh_gets_rates_from_the_web_and_products_on_sale_from_the_database(
    shop: Shop, http: httpx.Client, web: WebServer
) -> None:
    web.answer = lambda _: Reply(200, json.dumps({"base": "EUR", "rates": {"USD": 1.1}}).encode())
    row = {"name": "N", "category": "C", "price_cents": 5, "seen_at": datetime.now(UTC)}
    for sku, stock, gone_at in (("A", 1, None), ("B", 0, None), ("C", 1, datetime.now(UTC))):
        shop.insert(shop.schema.products, {**row, "sku": sku, "stock": stock, "gone_at": gone_at})
    assert shop.cache.refresh(shop.db, http, context(), web.url) == {"refreshed": ["exchange-rates", "products"]}
    assert entries(shop) == {
        "exchange-rates": {"USD": 1.1, "EUR": 1.0},
        "products": [{"sku": "A", "name": "N", "price_cents": 5}],
    }


def test_a_refresh_replaces_and_can_be_of_one_entry(shop: Shop, http: httpx.Client) -> None:
    shop.cached.keep(shop.db, {"exchange-rates": {"EUR": 9}, "products": ["old"]}, timedelta(hours=1))
    shop.cache.refresh(shop.db, http, context(), RATES, keys=["exchange-rates"])
    assert shop.cached.cached(shop.db, "exchange-rates")["USD"] == 1.0321
    assert shop.cached.cached(shop.db, "products") == ["old"]


def test_a_failed_refresh_keeps_the_old_entry(shop: Shop, http: httpx.Client, web: WebServer) -> None:
    shop.cache.refresh(shop.db, http, context(), RATES)
    before = entries(shop)
    web.answer = lambda _: Reply(500)
    with pytest.raises(httpx.HTTPStatusError):
        shop.cache.refresh(shop.db, http, context(), web.url)
    for nonsense in ([], {}, {"rates": {"USD": 0}}, {"rates": {"USD": "1"}}):
        nonsensical = Reply(200, json.dumps(nonsense).encode())
        web.answer = lambda _, reply=nonsensical: reply
        with pytest.raises(GiveUp, match="holds no exchange rates"):
            shop.cache.refresh(shop.db, http, context(), web.url)
    assert entries(shop) == before


def test_warm_up_gets_only_what_is_cold(shop: Shop, http: httpx.Client) -> None:
    def warm() -> list[str]:
        return shop.cache.warm_up(shop.db, http, context(), RATES)["refreshed"]

    assert warm() == ["exchange-rates", "products"]
    assert warm() == []
    age(shop, "products", timedelta(minutes=5))
    assert warm() == ["products"]


def test_old_entries_are_not_given_out_and_then_deleted(shop: Shop, http: httpx.Client) -> None:
    shop.cache.refresh(shop.db, http, context(), RATES)
    age(shop, "exchange-rates", timedelta(seconds=-1))
    assert shop.cached.cached(shop.db, "exchange-rates") is None
    assert shop.cache.expire(shop.db, context()) == {"expired": ["exchange-rates"]}
    assert shop.cache.expire(shop.db, context()) == {"expired": []}
    assert list(entries(shop)) == ["products"]
