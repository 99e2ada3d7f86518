"""What does an e-mail look like? The same Message-ID however often it is made for one run."""

from __future__ import annotations

import hashlib
import mimetypes
from collections.abc import Iterable, Sequence
from email.message import EmailMessage
from email.utils import localtime, parseaddr
from pathlib import Path


def addresses(value: str | Sequence[str]) -> list[str]:
    """The addresses in a text or a list of texts, with their names. Raises `ValueError`."""
    found = []
    for text in [value] if isinstance(value, str) else value:
        message = EmailMessage()
        try:
            message["To"] = text
        except ValueError:
            raise ValueError("holds a line break") from None
        parsed = message["To"].addresses
        if not parsed or not all(address.username and address.domain for address in parsed):
            raise ValueError("is no e-mail address: write ann@example.org or Ann <ann@example.org>")
        found += [str(address) for address in parsed]
    return found


def bare(address: str) -> str:
    """The address without a name."""
    return parseaddr(address)[1]


def compose(
    fields: Iterable[tuple[str, str]], text: str, html: str | None, attachments: Sequence[str], seed: str
) -> EmailMessage:
    """The message. Raises `ValueError` for header fields that can't be, and `OSError` for files that can't be read."""
    message = EmailMessage()
    for name, value in fields:
        message[name] = value
    if "Date" not in message:
        message["Date"] = localtime()
    if "Message-ID" not in message:
        digest = hashlib.sha256(seed.encode("utf-8", "backslashreplace")).hexdigest()[:32]
        message["Message-ID"] = f"<{digest}@{bare(message['From']).rpartition('@')[2]}>"
    if html is None or text:
        message.set_content(text)
    if html is not None and text:
        message.add_alternative(html, subtype="html")
    elif html is not None:
        message.set_content(html, subtype="html")
    for name in attachments:
        _attach(message, Path(name))
    return message


def _attach(message: EmailMessage, file: Path) -> None:
    kind, encoding = mimetypes.guess_type(file.name)
    main, _, sub = (kind if kind and not encoding else "application/octet-stream").partition("/")
    message.add_attachment(file.read_bytes(), maintype=main, subtype=sub, filename=file.name)
