"""Fills an empty database, so that the other jobs have something to work on. Yours would not need it."""

from __future__ import annotations

import random
from datetime import UTC, datetime

from shop.database import upsert
from shop.schema import emails, orders, seedings
from shop.specimens import ROWS
from sqlalchemy import Engine, func, select

from orchestrator import Context, job


@job
def seed(db: Engine, ctx: Context) -> dict[str, int]:
    """Insert example rows, unless the database was seeded before or holds data of its own."""
    now = datetime.now(UTC)
    with db.begin() as connection:
        # The insert comes first: it waits for whoever seeds at this moment, and then sees that it is done.
        mark = upsert(db, seedings).values(name="example", seeded_at=now).on_conflict_do_nothing()
        first = connection.execute(mark.returning(seedings.c.name)).one_or_none() is not None
        taken = any(connection.execute(select(func.count()).select_from(t)).scalar_one() for t in (orders, emails))
        if not first or taken:
            ctx.log.info("the database holds data already")
            return {}
        rng = random.Random(2)  # noqa: S311 - the same example for everybody
        counts = {}
        for table, make in ROWS.items():
            rows = make(rng, now)
            connection.execute(table.insert(), rows)
            counts[table.name] = len(rows)
    ctx.log.info("seeded %s", ", ".join(f"{count} {name}" for name, count in counts.items()))
    return counts
