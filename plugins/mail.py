"""E-mail: rows of the table `emails` that are due are sent, retried with growing pauses, and marked."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from shop.deliveries import Patience, Tally, claim, settle
from shop.letters import compose, enqueue
from shop.schema import emails
from shop.transports import Send, Transport, Unreachable
from sqlalchemy import Engine, Row, select

from orchestrator import Context, Duration, GiveUp, Retry, job

_PATIENCE = Patience()


@job
def process_queue(
    db: Engine,
    mailer: Transport,
    ctx: Context,
    limit: int = 1000,
    max_attempts: int = _PATIENCE.max_attempts,
    lease: Duration = _PATIENCE.lease,
) -> dict[str, Any]:
    """Send what is due, one message after another, at most `limit` in a run.

    A server that can't be reached fails the run, which the job's own policy retries; a message that is refused
    is the matter of its row, which has attempts of its own.
    """
    patience = Patience(max_attempts=max_attempts, lease=lease)
    tally = Tally()
    with mailer.session() as send:
        for _ in range(limit):
            if ctx.cancelled or (row := claim(db, emails, patience)) is None:
                break
            error = _try(send, row)
            tally.add(row, settle(db, emails, row, error, patience), error)
            ctx.progress(tally.sent)
            if isinstance(error, Unreachable):
                raise error
    for failure in tally.failures:
        ctx.log.warning("not sent: %s", failure)
    ctx.log.info("%d sent, %d to be retried, %d failed", tally.sent, tally.retried, tally.failed)
    return asdict(tally)


@job
def send(
    db: Engine,
    mailer: Transport,
    ctx: Context,
    to: str,
    subject: str,
    body: str,
    html: str | None = None,
    key: str | None = None,
) -> dict[str, Any]:
    """Send one message now. It goes through the queue, so neither a retry nor the same `key` again sends it twice."""
    row_id = enqueue(db, key=key or f"run-{ctx.run_id}", to=to, subject=subject, body=body, html=html)
    with mailer.session() as deliver:
        if (row := claim(db, emails, _PATIENCE, row_id=row_id)) is not None:
            settle(db, emails, row, _try(deliver, row), _PATIENCE)
    return _outcome(db, row_id)


def _try(send: Send, row: Row[Any]) -> Exception | None:
    try:
        send(compose(row))
    except Exception as error:  # noqa: BLE001 - whatever is wrong with one message must not keep the others
        return error
    return None


def _outcome(db: Engine, row_id: int) -> dict[str, Any]:
    columns = emails.c.status, emails.c.message_id, emails.c.last_error
    with db.connect() as connection:
        status, message_id, error = connection.execute(select(*columns).where(emails.c.id == row_id)).one()
    if status == "failed":
        raise GiveUp(f"the message was refused: {error}")
    if status != "sent":
        raise Retry(f"not sent yet: {error or 'another process is sending it'}")
    return {"message_id": message_id}
