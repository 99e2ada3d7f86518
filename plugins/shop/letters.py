"""How does a message get into the mail queue, and what does a queued row look like as an e-mail?"""

from __future__ import annotations

import email.utils
from datetime import UTC, datetime
from email.message import EmailMessage
from typing import Any

from sqlalchemy import Engine, Row, select

from shop.database import upsert
from shop.deliveries import Undeliverable
from shop.schema import emails

SENDER = "Shop <shop@shop.example>"


def enqueue(
    db: Engine, *, key: str, to: str, subject: str, body: str, html: str | None = None, due_at: datetime | None = None
) -> int:
    """Put a message in the mail queue, once per `key`; gives its row's id whether it is new or was there already."""
    now = datetime.now(UTC)
    row = {
        "key": key,
        "message_id": email.utils.make_msgid(domain="shop.example"),
        "recipient": to,
        "subject": subject,
        "body": body,
        "html": html,
        "created_at": now,
        "due_at": due_at or now,
    }
    with db.begin() as connection:
        connection.execute(upsert(db, emails).values(row).on_conflict_do_nothing(index_elements=["key"]))
        found: int = connection.execute(select(emails.c.id).where(emails.c.key == key)).scalar_one()
    return found


def compose(row: Row[Any]) -> EmailMessage:
    """The row as a message: the same bytes in its header at every attempt. Raises `Undeliverable` for a bad address."""
    message = EmailMessage()
    try:
        message["From"] = SENDER
        message["To"] = row.recipient
        message["Subject"] = row.subject
    except ValueError as error:  # a line break, which could smuggle in a header of somebody else's
        raise Undeliverable(str(error)) from None
    addresses = message["To"].addresses
    if len(addresses) != 1 or "@" not in addresses[0].addr_spec:
        raise Undeliverable(f"{row.recipient!r} is not an e-mail address")
    message["Message-ID"] = row.message_id
    message["Date"] = row.created_at
    message.set_content(row.body)
    if row.html is not None:
        message.add_alternative(row.html, subtype="html")
    return message
