"""What is in the cache, and how does it get there?"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Engine, select

from shop.database import upsert
from shop.schema import cache


def keep(db: Engine, entries: Mapping[str, Any], ttl: timedelta) -> None:
    """Store entries that expire after `ttl`, in place of what their keys held."""
    now = datetime.now(UTC)
    rows = [{"key": k, "value": v, "refreshed_at": now, "expires_at": now + ttl} for k, v in entries.items()]
    insert = upsert(db, cache)
    new = {name: insert.excluded[name] for name in ("value", "refreshed_at", "expires_at")}
    with db.begin() as connection:
        connection.execute(insert.on_conflict_do_update(index_elements=["key"], set_=new), rows)


def cached(db: Engine, key: str) -> Any:
    """The entry's value, or None if there is none or its time is over."""
    wanted = select(cache.c.value).where(cache.c.key == key, cache.c.expires_at > datetime.now(UTC))
    with db.connect() as connection:
        return connection.execute(wanted).scalar_one_or_none()
