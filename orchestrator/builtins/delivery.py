"""How does an e-mail leave: by SMTP, or into a maildir, which mail programs can open?"""

from __future__ import annotations

import mailbox
import smtplib
import ssl
from collections.abc import Sequence
from email.message import EmailMessage
from pathlib import Path
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

from orchestrator.builtins.letter import bare
from orchestrator.plugins.api import GiveUp

Refusals = dict[str, tuple[int, str]]
_TIMEOUT = 30.0
"""Seconds that the server may take for one answer."""
_NO = ("0", "no", "false")
_FORM = "write smtp://user@host:587?starttls=1, smtps://host or maildir:FOLDER"


def check_server(url: str) -> SplitResult:
    """The parts of a server's address. Raises `ValueError`, never quoting it: it may hold a password."""
    parts = urlsplit(url)
    if parts.scheme == "maildir" and parts.path and not parts.netloc:
        return parts
    if parts.scheme not in ("smtp", "smtps") or not parts.hostname:
        raise ValueError(f"is no mail server: {_FORM}")
    try:
        _ = parts.port
    except ValueError:
        raise ValueError(f"has a port that can't be: {_FORM}") from None
    if set(parse_qs(parts.query, keep_blank_values=True)) - {"starttls"}:
        raise ValueError("has an option that isn't known; there is `starttls`")
    return parts


def deliver(server: str, password: str | None, message: EmailMessage, recipients: Sequence[str]) -> Refusals:
    """Returns once the message is accepted, with the recipients for whom it wasn't: code and words of the server.

    Raises `GiveUp` for what the server refuses for good, and smtplib's exceptions or `OSError` for the rest.
    """
    parts = check_server(server)
    if parts.scheme == "maildir":
        return _store(Path(parts.path), message)
    try:
        return _send(parts, password, message, recipients)
    except smtplib.SMTPRecipientsRefused as error:
        return _refusals(error.recipients)
    except smtplib.SMTPResponseException as error:
        if error.smtp_code >= 500:  # RFC 5321: final, where 4xx asks to try again later
            raise GiveUp(f"{parts.hostname} refused: {error.smtp_code} {_text(error.smtp_error)}") from error
        raise
    except smtplib.SMTPNotSupportedError as error:
        raise GiveUp(f"{parts.hostname}: {error}") from error


def _store(folder: Path, message: EmailMessage) -> Refusals:
    folder.parent.mkdir(parents=True, exist_ok=True)
    box = mailbox.Maildir(folder)
    try:
        box.add(mailbox.MaildirMessage(message))
    finally:
        box.close()
    return {}


def _send(parts: SplitResult, password: str | None, message: EmailMessage, recipients: Sequence[str]) -> Refusals:
    with _connected(parts) as server:
        if parse_qs(parts.query).get("starttls", ["0"])[-1].lower() not in _NO:
            server.starttls(context=ssl.create_default_context())
        if parts.username:
            secret = password if password is not None else unquote(parts.password or "")
            server.login(unquote(parts.username), secret)
        return _refusals(server.send_message(message, bare(message["From"]), list(recipients)))


def _connected(parts: SplitResult) -> smtplib.SMTP:
    host = parts.hostname or ""
    if parts.scheme == "smtps":
        return smtplib.SMTP_SSL(host, parts.port or 465, timeout=_TIMEOUT, context=ssl.create_default_context())
    return smtplib.SMTP(host, parts.port or 25, timeout=_TIMEOUT)


def _refusals(found: dict[str, tuple[int, bytes]]) -> Refusals:
    return {address: (code, _text(words)) for address, (code, words) in found.items()}


def _text(words: bytes | str) -> str:
    return words.decode("utf-8", "replace") if isinstance(words, bytes) else words
