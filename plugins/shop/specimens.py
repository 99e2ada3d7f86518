"""What does the example's database hold at first? Rows around the present moment, old enough and due enough to show."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from datetime import datetime, timedelta
from email.utils import make_msgid
from pathlib import Path
from typing import Any

from sqlalchemy import Table

from shop.schema import emails, logs, notifications, orders, products

Rows = list[dict[str, Any]]
_PAGES = sorted((Path(__file__).parents[1] / "data").glob("products*.json"))
_ORDERS = 5000
_LOGS = 900


def _catalogue() -> Rows:
    return [product for page in _PAGES for product in json.loads(page.read_text(encoding="utf-8"))["products"]]


def _products(_: random.Random, now: datetime) -> Rows:
    """A few that the supplier still lists, with old prices, and one that it doesn't: the first sync mends both."""
    stale = [{**product, "price_cents": product["price_cents"] - 100} for product in _catalogue()[:5]]
    dropped = {"sku": "OLD-001", "name": "Vanilla Syrup", "category": "Sweets", "price_cents": 690, "stock": 3}
    return [{**product, "seen_at": now - timedelta(days=1)} for product in (*stale, dropped)]


def _orders(rng: random.Random, now: datetime) -> Rows:
    """Two months of orders, more of them at weekends and by day."""
    catalogue = _catalogue()
    moments: list[datetime] = []
    while len(moments) < _ORDERS:
        moment = now - timedelta(days=70) * rng.random()
        if rng.random() < (1.0 if moment.weekday() >= 5 else 0.6) * (1.0 if 8 <= moment.hour < 22 else 0.1):
            moments.append(moment)
    return [_order(rng, moment, rng.choice(catalogue)) for moment in sorted(moments)]


def _order(rng: random.Random, placed_at: datetime, product: dict[str, Any]) -> dict[str, Any]:
    return {
        "placed_at": placed_at,
        "sku": product["sku"],
        "quantity": rng.choice((1, 1, 1, 2, 3)),
        "unit_price_cents": product["price_cents"],
        "currency": rng.choices(("EUR", "USD", "GBP"), (8, 1, 1))[0],
    }


def _logs(rng: random.Random, now: datetime) -> Rows:
    """Three months of log rows: two thirds are older than the 30 days after which they are archived."""
    levels = rng.choices(("INFO", "WARNING", "ERROR"), (90, 8, 2), k=_LOGS)
    return [
        {
            "created_at": now - timedelta(days=90) * (1 - n / _LOGS),
            "level": level,
            "source": rng.choice(("checkout", "payments", "stock")),
            "message": f"request {n} took {rng.randrange(5, 900)} ms",
        }
        for n, level in enumerate(levels)
    ]


def _emails(rng: random.Random, now: datetime) -> Rows:
    """A dozen that are due, and two for later."""
    return [
        {
            "key": f"welcome/{n}",
            "message_id": make_msgid(domain="shop.example"),
            "recipient": f"customer{n}@customers.example",
            "subject": "Welcome",
            "body": f"Thank you for your order. Your voucher: {rng.randrange(10**6):06}\n",
            "created_at": now,
            "due_at": now if n < 12 else now + timedelta(minutes=2 * (n - 11)),
        }
        for n in range(14)
    ]


def _notifications(_: random.Random, now: datetime) -> Rows:
    """One of each channel, three times; the webhooks go to the outbox file, since there is nobody to call."""
    contents: tuple[tuple[str, str, dict[str, Any]], ...] = (
        ("webhook", "outbox:warehouse", {"event": "order.paid"}),
        ("push", "device-7f3a", {"title": "Your parcel is on its way"}),
        ("sms", "+49 30 5550 1234", {"text": "Your parcel arrives today."}),
    )
    return [
        {
            "key": f"order-{order}/{channel}",
            "channel": channel,
            "target": target,
            "payload": {**payload, "order": order},
            "created_at": now,
            "due_at": now,
        }
        for order in (1001, 1002, 1003)
        for channel, target, payload in contents
    ]


ROWS: dict[Table, Callable[[random.Random, datetime], Rows]] = {
    products: _products,
    orders: _orders,
    logs: _logs,
    emails: _emails,
    notifications: _notifications,
}
"""The makers of each table's rows."""
