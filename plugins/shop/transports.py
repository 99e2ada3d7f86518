"""Where do e-mails go? To a mail server by SMTP, or without one into a maildir, which mail programs can open."""

from __future__ import annotations

import mailbox
import os
import smtplib
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from pathlib import Path
from typing import Protocol
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

from shop.deliveries import Undeliverable

Send = Callable[[EmailMessage], None]
_TIMEOUT = 30.0
"""Seconds that the server may take for one answer."""


class Unreachable(Exception):  # noqa: N818 - what it says of the server
    """The server went away, and can't be reached again: no message is to blame."""


class Transport(Protocol):
    """Delivers messages while a session is open."""

    @contextmanager
    def session(self) -> Iterator[Send]:
        """Connect; what is given sends one message and returns once it is accepted."""


def open_transport(url: str) -> Transport:
    """`maildir:var/maildir`, or `smtp://user@host:587?starttls=1` (`smtps://…`); `jobs.yaml` names this function.

    The password is in the environment variable SMTP_PASSWORD, so that it appears in no configuration.
    """
    parts = urlsplit(url)
    if parts.scheme == "maildir" and parts.path:
        return Maildir(Path(parts.path))
    if parts.scheme in ("smtp", "smtps") and parts.hostname:
        return Smtp(parts)
    raise ValueError(f"{url!r} is not a mail transport; write maildir:FOLDER or smtp://HOST:PORT")


class Maildir:
    """Writes each message to a file of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @contextmanager
    def session(self) -> Iterator[Send]:
        """Open the folder, making it if need be."""
        self._folder.parent.mkdir(parents=True, exist_ok=True)
        box = mailbox.Maildir(self._folder)
        yield lambda message: _add(box, message)
        box.close()


def _add(box: mailbox.Maildir, message: EmailMessage) -> None:
    box.add(mailbox.MaildirMessage(message))


class Smtp:
    """Speaks SMTP: one connection for all messages of a session, renewed when the server closed it."""

    def __init__(self, parts: SplitResult) -> None:
        self._parts = parts
        self._options = parse_qs(parts.query)

    @contextmanager
    def session(self) -> Iterator[Send]:
        """Connect now, so that a server that is down fails the run instead of every message."""
        connection = _Connection(self._connect)
        try:
            yield connection.send
        finally:
            connection.close()

    def _connect(self) -> smtplib.SMTP:
        parts = self._parts
        host = parts.hostname or "localhost"
        if parts.scheme == "smtps":
            server: smtplib.SMTP = smtplib.SMTP_SSL(
                host, parts.port or 465, timeout=_TIMEOUT, context=ssl.create_default_context()
            )
        else:
            server = smtplib.SMTP(host, parts.port or 25, timeout=_TIMEOUT)
        try:
            if self._options.get("starttls", ["0"])[-1] not in ("0", "no", "false"):
                server.starttls(context=ssl.create_default_context())
            if parts.username:
                server.login(unquote(parts.username), os.environ.get("SMTP_PASSWORD", ""))
        except BaseException:
            server.close()
            raise
        return server


class _Connection:
    """An SMTP connection that is opened again when it is lost."""

    def __init__(self, connect: Callable[[], smtplib.SMTP]) -> None:
        self._connect = connect
        self._server: smtplib.SMTP | None = connect()

    def send(self, message: EmailMessage) -> None:
        """Returns once the server has accepted it. Raises `Undeliverable` when it never will."""
        server = self._opened()
        try:
            server.send_message(message)
        except smtplib.SMTPRecipientsRefused as error:
            _refuse(*next(iter(error.recipients.values())), error)
        except smtplib.SMTPResponseException as error:
            _refuse(error.smtp_code, error.smtp_error, error)
        except smtplib.SMTPNotSupportedError as error:
            raise Undeliverable(str(error)) from error
        except OSError:
            self.close()
            raise

    def _opened(self) -> smtplib.SMTP:
        # smtplib hangs up by itself after some refusals, and a server may do so after any answer.
        if self._server is None or self._server.sock is None:
            try:
                self._server = self._connect()
            except OSError as error:
                raise Unreachable(f"{type(error).__name__}: {error}") from error
        return self._server

    def close(self) -> None:
        """Say goodbye, if the server still listens."""
        server, self._server = self._server, None
        if server is not None:
            try:
                server.quit()
            except (smtplib.SMTPException, OSError):
                server.close()


def _refuse(code: int, reply: bytes | str, error: Exception) -> None:
    """RFC 5321: 5xx replies are final, 4xx ask to try again later."""
    words = reply.decode("utf-8", "replace") if isinstance(reply, bytes) else reply
    if 500 <= code < 600:
        raise Undeliverable(f"{code} {words}") from error
    raise error
