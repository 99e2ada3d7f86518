"""The mail queue against a real SMTP server: what is due is sent once, whatever fails or dies."""

from __future__ import annotations

import mailbox
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from pathlib import Path

import pytest
from example_servers import MailServer
from example_shop import Shop, context
from hypothesis import given
from hypothesis import strategies as st

from orchestrator import GiveUp, Retry


def process(shop: Shop, url: str, **params: object) -> dict[str, object]:
    return shop.mail.process_queue(shop.db, shop.transports.open_transport(url), context(), **params)


def processing(url: str) -> str:
    """The same in a process of its own."""
    return (
        "import mail\nfrom shop.transports import open_transport\n"
        f"mail.process_queue(db, open_transport({url!r}), context())\n"
    )


def test_due_mails_are_sent_and_marked_and_later_ones_wait(shop: Shop, mail_server: MailServer) -> None:
    shop.emails(3)
    later = datetime.now(UTC) + timedelta(hours=1)
    shop.letters.enqueue(shop.db, key="later", to="c@customers.example", subject="Later", body="", due_at=later)

    assert process(shop, mail_server.url)["sent"] == 3

    rows = shop.rows(shop.schema.emails)
    assert [row.status for row in rows] == ["sent", "sent", "sent", "pending"]
    assert mail_server.ids == [row.message_id for row in rows[:3]]
    assert mail_server.received[0]["To"] == "c0@customers.example"
    assert mail_server.received[0].get_content() == "Hi\r\n"


def test_sent_mails_are_not_sent_again(shop: Shop, mail_server: MailServer) -> None:
    shop.emails(2)
    process(shop, mail_server.url)
    assert process(shop, mail_server.url)["sent"] == 0
    assert len(mail_server.received) == 2


def test_a_mail_with_html_has_both_parts(shop: Shop, mail_server: MailServer) -> None:
    shop.letters.enqueue(shop.db, key="h", to="a@b.example", subject="Grüße", body="text\n", html="<p>html</p>")
    process(shop, mail_server.url)
    message = mail_server.received[0]
    assert message["Subject"] == "Grüße"
    assert message.get_body(("plain",)).get_content() == "text\r\n"
    assert "<p>html</p>" in message.get_body(("html",)).get_content()


def test_a_temporary_refusal_is_retried_after_a_pause_with_the_same_id(shop: Shop, mail_server: MailServer) -> None:
    shop.emails(2)
    refused: list[str] = []

    def answer(message: EmailMessage) -> str | None:
        if message["Subject"] == "No. 0" and not refused:
            refused.append(str(message["Message-ID"]))
            return "451 try later"
        return None

    mail_server.answer = answer
    assert process(shop, mail_server.url) == {
        "sent": 1,
        "retried": 1,
        "failed": 0,
        "failures": ["mail/0: SMTPDataError: (451, b'try later')"],
    }
    row = shop.rows(shop.schema.emails)[0]
    assert (row.status, row.attempts) == ("pending", 1)
    assert row.due_at > datetime.now(UTC)
    assert "451" in row.last_error

    shop.everything_due(shop.schema.emails)
    assert process(shop, mail_server.url)["sent"] == 1
    assert mail_server.ids[1] == refused[0]


def test_it_gives_up_a_mail_after_its_attempts(shop: Shop, mail_server: MailServer) -> None:
    shop.emails(1)
    mail_server.answer = lambda _: "451 never"
    for _ in range(3):
        shop.everything_due(shop.schema.emails)
        process(shop, mail_server.url, max_attempts=3)
    row = shop.rows(shop.schema.emails)[0]
    assert (row.status, row.attempts) == ("failed", 3)


def test_a_final_refusal_is_not_retried(shop: Shop, mail_server: MailServer) -> None:
    shop.emails(2)
    mail_server.answer = lambda message: "550 no such customer" if message["Subject"] == "No. 0" else None
    assert process(shop, mail_server.url)["failed"] == 1
    assert [row.status for row in shop.rows(shop.schema.emails)] == ["failed", "sent"]


@pytest.mark.parametrize("recipient", ["nobody", "", "a@b.example, c@d.example", "a@b.example\nBcc: all@d.example"])
def test_a_recipient_that_is_no_address_fails_its_mail_only(
    shop: Shop, mail_server: MailServer, recipient: str
) -> None:
    shop.letters.enqueue(shop.db, key="bad", to=recipient, subject="s", body="b")
    shop.emails(1)
    process(shop, mail_server.url)
    assert [row.status for row in shop.rows(shop.schema.emails)] == ["failed", "sent"]


def test_a_server_that_is_down_fails_the_run_and_charges_no_mail(shop: Shop) -> None:
    with MailServer() as server:
        url = server.url
    shop.emails(2)
    with pytest.raises(OSError, match="refused"):
        process(shop, url)
    assert [(row.status, row.attempts) for row in shop.rows(shop.schema.emails)] == [("pending", 0)] * 2


def test_a_server_that_goes_away_half_way_fails_the_run_and_leaves_the_rest(
    shop: Shop, mail_server: MailServer
) -> None:
    shop.emails(4)
    real = shop.transports.open_transport(mail_server.url)

    class Leaving:
        @contextmanager
        def session(self) -> Iterator[Callable[[EmailMessage], None]]:
            with real.session() as send:
                yield lambda message: (message["Subject"] == "No. 1" and mail_server.stop(), send(message))

    with pytest.raises(shop.transports.Unreachable, match="refused"):
        shop.mail.process_queue(shop.db, Leaving(), context())
    rows = shop.rows(shop.schema.emails)
    assert [(row.status, row.attempts) for row in rows] == [
        ("sent", 1),
        ("pending", 1),
        ("pending", 1),
        ("pending", 0),
    ]


@pytest.mark.parametrize("accepted", [0, 2, 4])
def test_a_kill_between_acceptance_and_commit_repeats_that_mail_only_under_its_id(
    shop: Shop, mail_server: MailServer, accepted: int
) -> None:
    shop.emails(5)
    victim = None

    def kill_at(_: EmailMessage) -> None:
        if len(mail_server.received) == accepted:
            os.kill(victim.pid, signal.SIGKILL)
            victim.wait()

    mail_server.answer = kill_at
    victim = shop.start(processing(mail_server.url))
    assert victim.wait(30) == -signal.SIGKILL
    victim.stdout.close()
    mail_server.answer = lambda _: None
    before = list(mail_server.ids)

    # The claim of the dead process holds until its lease ends; the rest goes out at once.
    process(shop, mail_server.url)
    assert len(mail_server.ids) == 5
    shop.claims_run_out(shop.schema.emails)
    process(shop, mail_server.url)

    rows = shop.rows(shop.schema.emails)
    assert {row.status for row in rows} == {"sent"}
    assert sorted({*mail_server.ids}) == sorted(row.message_id for row in rows)
    assert sorted(mail_server.ids) == sorted([*(row.message_id for row in rows), before[accepted]])


def test_a_kill_before_acceptance_loses_nothing(shop: Shop, mail_server: MailServer) -> None:
    shop.emails(3)
    code, _ = shop.run("import shop.transports\nshop.transports._Connection.send = die\n" + processing(mail_server.url))
    assert code == -signal.SIGKILL
    shop.claims_run_out(shop.schema.emails)
    process(shop, mail_server.url)
    assert len(set(mail_server.ids)) == len(mail_server.ids) == 3


def test_a_mail_that_kills_every_process_is_given_up(shop: Shop, mail_server: MailServer) -> None:
    shop.emails(1)
    for _ in range(2):
        row = shop.deliveries.claim(shop.db, shop.schema.emails, shop.deliveries.Patience(max_attempts=2))
        assert row is not None
        shop.claims_run_out(shop.schema.emails)
    process(shop, mail_server.url, max_attempts=2)
    row = shop.rows(shop.schema.emails)[0]
    assert row.status == "failed"
    assert "interrupted" in row.last_error
    assert mail_server.ids == []


def test_processes_that_work_at_once_send_each_mail_once(shop: Shop, mail_server: MailServer) -> None:
    shop.emails(60)
    workers = [shop.start(processing(mail_server.url)) for _ in range(3)]
    assert [worker.wait(60) for worker in workers] == [0, 0, 0]
    for worker in workers:
        worker.stdout.close()
    assert len(mail_server.ids) == 60
    assert len(set(mail_server.ids)) == 60


def test_who_comes_too_late_with_an_outcome_changes_nothing(shop: Shop) -> None:
    deliveries, emails = shop.deliveries, shop.schema.emails
    shop.emails(1)
    late = deliveries.claim(shop.db, emails, deliveries.Patience())
    shop.claims_run_out(emails)
    current = deliveries.claim(shop.db, emails, deliveries.Patience())
    deliveries.settle(shop.db, emails, late, RuntimeError("late"), deliveries.Patience())
    assert shop.rows(emails)[0].status == "sending"
    deliveries.settle(shop.db, emails, current, None, deliveries.Patience())
    assert shop.rows(emails)[0].status == "sent"


def test_send_sends_at_once_and_a_retry_does_not_send_again(shop: Shop, mail_server: MailServer) -> None:
    transport = shop.transports.open_transport(mail_server.url)
    first = shop.mail.send(shop.db, transport, context(run_id=7), "a@b.example", "Hello", "text")
    again = shop.mail.send(shop.db, transport, context(run_id=7), "a@b.example", "Hello", "text")
    assert first == again
    assert mail_server.ids == [first["message_id"]]


def test_send_asks_for_a_retry_or_gives_up_as_the_server_says(shop: Shop, mail_server: MailServer) -> None:
    transport = shop.transports.open_transport(mail_server.url)
    mail_server.answer = lambda _: "451 later"
    with pytest.raises(Retry, match="451"):
        shop.mail.send(shop.db, transport, context(run_id=8), "a@b.example", "Hello", "text")
    mail_server.answer = lambda _: "550 never"
    with pytest.raises(GiveUp, match="550"):
        shop.mail.send(shop.db, transport, context(run_id=8), "a@b.example", "Hello", "text")


def test_without_a_server_mails_are_files_that_mail_programs_read(shop: Shop) -> None:
    shop.emails(2)
    assert process(shop, "maildir:var/maildir")["sent"] == 2
    box = mailbox.Maildir(Path("var/maildir"))
    assert sorted(message["Subject"] for message in box) == ["No. 0", "No. 1"]


@pytest.mark.parametrize("url", ["", "maildir:", "smtp://", "http://localhost", "var/maildir"])
def test_an_unusable_transport_is_refused(shop: Shop, url: str) -> None:
    with pytest.raises(ValueError, match="not a mail transport"):
        shop.transports.open_transport(url)


@given(attempts=st.integers(1, 1000), first=st.floats(0.001, 1e6), longest=st.floats(0.001, 1e6))
def test_pauses_double_up_to_the_longest(attempts: int, first: float, longest: float) -> None:
    from shop.deliveries import Patience

    patience = Patience(first_pause=timedelta(seconds=first), longest_pause=timedelta(seconds=longest))
    whole = min(first * 2.0 ** (attempts - 1), longest) if attempts < 60 else longest
    assert whole / 2 - 1e-6 <= patience.pause(attempts).total_seconds() <= whole + 1e-6
