"""Which tables does the shop have?"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import JSON, Column, Date, DateTime, Float, Index, Integer, MetaData, String, Table, Text
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator

metadata = MetaData()


class Instant(TypeDecorator[datetime]):
    """An aware datetime, kept in UTC also where the database knows no timezones."""

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        return None if value is None else value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        return None if value is None else value.replace(tzinfo=UTC)


def _delivery_columns() -> list[Column[Any]]:
    """What a row needs that is to be delivered; `shop.deliveries` moves it from state to state."""
    return [
        Column("status", String(10), nullable=False, default="pending"),  # pending, sending, sent, failed
        Column("due_at", Instant, nullable=False),
        Column("attempts", Integer, nullable=False, default=0),
        Column("claimed_until", Instant),
        Column("last_error", Text),
        Column("finished_at", Instant),
    ]


emails = Table(
    "emails",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("key", String(200), nullable=False, unique=True),  # queueing the same message twice makes one row
    Column("message_id", String(200), nullable=False, unique=True),  # made once, so that a repetition can be told
    Column("recipient", String(320), nullable=False),
    Column("subject", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("html", Text),
    Column("created_at", Instant, nullable=False),
    *_delivery_columns(),
)
Index("emails_by_due", emails.c.status, emails.c.due_at)

notifications = Table(
    "notifications",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("key", String(200), nullable=False, unique=True),  # sent as Idempotency-Key, the same at every attempt
    Column("channel", String(10), nullable=False),  # webhook, push, sms
    Column("target", Text, nullable=False),  # a URL, a device, a telephone number
    Column("payload", JSON, nullable=False),
    Column("created_at", Instant, nullable=False),
    *_delivery_columns(),
)
Index("notifications_by_due", notifications.c.status, notifications.c.due_at)

logs = Table(
    "logs",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("created_at", Instant, nullable=False, index=True),
    Column("level", String(10), nullable=False),
    Column("source", String(50), nullable=False),
    Column("message", Text, nullable=False),
)

products = Table(
    "products",
    metadata,
    Column("sku", String(50), primary_key=True),
    Column("name", Text, nullable=False),
    Column("category", String(50), nullable=False),
    Column("price_cents", Integer, nullable=False),
    Column("stock", Integer, nullable=False),
    Column("page", Text),  # the page of the source that listed it last
    Column("seen_at", Instant, nullable=False),  # when the source said something of it last
    Column("gone_at", Instant),  # when the source stopped listing it
)

sync_pages = Table(
    "sync_pages",
    metadata,
    Column("url", Text, primary_key=True),
    Column("etag", Text),
    Column("next_url", Text),
)

orders = Table(
    "orders",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("placed_at", Instant, nullable=False, index=True),
    Column("sku", String(50), nullable=False),
    Column("quantity", Integer, nullable=False),
    Column("unit_price_cents", Integer, nullable=False),
    Column("currency", String(3), nullable=False),
)

order_totals = Table(
    "order_totals",
    metadata,
    Column("order_id", Integer, primary_key=True),
    Column("total_eur_cents", Integer, nullable=False),
    Column("rate", Float, nullable=False),
)

closed_days = Table(
    "closed_days",
    metadata,
    Column("day", Date, primary_key=True),
    Column("orders", Integer, nullable=False),
    Column("total_eur_cents", Integer, nullable=False),
    Column("large_orders", Integer, nullable=False),
    Column("closed_at", Instant),  # when all its orders were booked
)

bookings = Table(
    "bookings",
    metadata,
    Column("order_id", Integer, primary_key=True),  # an order is booked once
    Column("account", String(50), nullable=False),
    Column("eur_cents", Integer, nullable=False),
)

accounts = Table(
    "accounts",
    metadata,
    Column("name", String(50), primary_key=True),
    Column("balance_eur_cents", Integer, nullable=False),
)

closings = Table(
    "closings",
    metadata,
    Column("run_id", Integer, primary_key=True),  # of the workflow
    Column("state", String(10), nullable=False),
    Column("days", Integer, nullable=False),
    Column("ended_at", Instant, nullable=False),
)

cache = Table(
    "cache",
    metadata,
    Column("key", String(100), primary_key=True),
    Column("value", JSON, nullable=False),
    Column("refreshed_at", Instant, nullable=False),
    Column("expires_at", Instant, nullable=False, index=True),
)

seedings = Table(
    "seedings",
    metadata,
    Column("name", String(50), primary_key=True),
    Column("seeded_at", Instant, nullable=False),
)
