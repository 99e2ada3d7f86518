"""Webhooks, push and text messages: rows of the table `notifications` that are due are delivered, several at once."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from shop.channels import Route, deliver_one
from shop.deliveries import Patience, Tally, claim, settle
from shop.schema import notifications
from sqlalchemy import Engine, Row

from orchestrator import Context, Duration, job

if TYPE_CHECKING:
    import httpx

_PATIENCE = Patience()


@job
async def deliver(
    db: Engine,
    http_async: httpx.AsyncClient,
    ctx: Context,
    secret: str,
    gateway: str = "",
    outbox: str = "var/outbox.jsonl",
    at_once: int = 10,
    max_attempts: int = _PATIENCE.max_attempts,
    lease: Duration = _PATIENCE.lease,
) -> dict[str, Any]:
    """Deliver what is due.

    Webhooks are signed with `secret`. Push and text messages go to the HTTP `gateway`; without one they are written
    to the file `outbox`. What fails is tried again after a pause, with the same Idempotency-Key.
    """
    patience = Patience(max_attempts=max_attempts, lease=lease)
    route = Route(http=http_async, secret=secret, gateway=gateway, outbox=outbox)
    tally = Tally()
    async with asyncio.TaskGroup() as tasks:
        for _ in range(at_once):
            tasks.create_task(_work_off(db, route, patience, tally, ctx))
    for failure in tally.failures:
        ctx.log.warning("not delivered: %s", failure)
    ctx.log.info("%d delivered, %d to be retried, %d failed", tally.sent, tally.retried, tally.failed)
    return asdict(tally)


async def _work_off(db: Engine, route: Route, patience: Patience, tally: Tally, ctx: Context) -> None:
    """One of several that claim and deliver. The database is asked in threads: it would hold up the loop."""
    while (row := await asyncio.to_thread(claim, db, notifications, patience)) is not None:
        error = await _try(route, row)
        status = await asyncio.to_thread(settle, db, notifications, row, error, patience)
        tally.add(row, status, error)
        ctx.progress(tally.sent)


async def _try(route: Route, row: Row[Any]) -> Exception | None:
    try:
        await deliver_one(route, row)
    except Exception as error:  # noqa: BLE001 - whatever is wrong with one message must not keep the others
        return error
    return None
