"""Which engines share the store, and which of them still live: their leases and heartbeats.

Every running attempt is held by its engine's lease, so one row is renewed however many attempts are under way.
"""

from __future__ import annotations

from datetime import datetime

import msgspec
from sqlalchemy import Connection, exists, select, update

from orchestrator.store.rows import as_record
from orchestrator.store.states import is_running
from orchestrator.store.tables import instances, runs


class Instance(msgspec.Struct, frozen=True, kw_only=True):
    """An engine, as the store knows it."""

    id: int
    host: str
    pid: int
    started_at: datetime
    heartbeat_at: datetime
    lease_until: datetime
    plan_path: str
    config_at: datetime
    """When it last took up its configuration, or tried to."""
    config_error: str | None = None
    """Why the configuration as it is now is not the one in use."""
    wake_path: str | None = None
    stopped_at: datetime | None = None


def register(
    connection: Connection,
    *,
    host: str,
    pid: int,
    plan_path: str,
    wake_path: str | None,
    now: datetime,
    lease_until: datetime,
) -> int:
    """Announce an engine; gives its id, which owns what it claims."""
    statement = (
        instances.insert()
        .values(
            host=host,
            pid=pid,
            plan_path=plan_path,
            wake_path=wake_path,
            started_at=now,
            heartbeat_at=now,
            lease_until=lease_until,
            config_at=now,
        )
        .returning(instances.c.id)
    )
    instance_id: int = connection.execute(statement).scalar_one()
    return instance_id


def heartbeat(connection: Connection, instance_id: int, now: datetime, lease_until: datetime) -> bool:
    """Renew a lease. False when the engine was taken for dead meanwhile: its runs are others' now."""
    renewed = connection.execute(
        update(instances)
        .where(instances.c.id == instance_id, instances.c.stopped_at.is_(None))
        .values(heartbeat_at=now, lease_until=lease_until)
    )
    return bool(renewed.rowcount)


def note_config(connection: Connection, instance_id: int, now: datetime, error: str | None) -> None:
    """Record that an engine took up its configuration, or (`error`) couldn't."""
    ours = update(instances).where(instances.c.id == instance_id)
    connection.execute(ours.values(config_at=now, config_error=error))


def retire(connection: Connection, instance_id: int, now: datetime) -> None:
    """Record that an engine has stopped, or was found dead."""
    connection.execute(
        update(instances).where(instances.c.id == instance_id, instances.c.stopped_at.is_(None)).values(stopped_at=now)
    )


def is_living(connection: Connection, instance_id: int) -> bool:
    """Whether an engine is not known to have stopped: one that was taken for dead may start nothing more."""
    alive = select(instances.c.id).where(instances.c.id == instance_id, instances.c.stopped_at.is_(None))
    return connection.execute(alive).first() is not None


def living(connection: Connection) -> list[Instance]:
    """Engines that haven't stopped as far as the store knows; some may be dead."""
    rows = connection.execute(select(instances).where(instances.c.stopped_at.is_(None)).order_by(instances.c.id))
    return [as_record(Instance, row) for row in rows.mappings()]


def orphan_owners(connection: Connection) -> list[int]:
    """Stopped engines that still hold runs: one that died between finding and recovering them left them so."""
    held = exists().where(is_running, runs.c.owner == instances.c.id)
    statement = select(instances.c.id).where(instances.c.stopped_at.is_not(None), held)
    return list(connection.execute(statement).scalars())
