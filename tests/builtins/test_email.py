from __future__ import annotations

import mailbox
import smtplib
import socket

import pytest

from orchestrator.builtins.email import NotAccepted
from orchestrator.plugins.api import GiveUp
from tests.example.example_servers import MailServer
from tests.project import Project

FORM = "write smtp://user@host:587?starttls=1, smtps://host or maildir:FOLDER"
FROM = "Shop <shop@shop.example>"


class PickyServer(MailServer):
    """Refuses recipients as it is told, by address."""

    def __init__(self):
        super().__init__()
        self.refused: dict[str, str] = {}
        self.recipients: list[list[str]] = []

    async def handle_RCPT(self, server, session, envelope, address, options):  # noqa: N802 - aiosmtpd's name
        if address in self.refused:
            return self.refused[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):  # noqa: N802
        self.recipients.append(list(envelope.rcpt_tos))
        return await super().handle_DATA(server, session, envelope)


@pytest.fixture
def mail():
    with PickyServer() as server:
        yield server


@pytest.fixture
def send(bed, mail):
    def call(**params):
        return bed.call("email", **{"server": mail.url, "from": FROM, "to": "ann@x.example", **params})

    return call


def test_a_message_arrives_as_it_was_written(send, mail, tmp_path):
    (tmp_path / "list.csv").write_text("a,b\n")
    said = send(
        to=["Änn <ann@x.example>", "bob@x.example, cid@x.example"],
        cc="dan@x.example",
        bcc="eve@x.example",
        subject="Grüße",
        text="Guten Tag",
        html="<p>Guten Tag</p>",
        attachments=["list.csv"],
        headers={"Reply-To": "desk@shop.example"},
    )
    (message,) = mail.received
    assert (message["From"], message["Subject"], message["Reply-To"]) == (FROM, "Grüße", "desk@shop.example")
    assert str(message["To"]) == "Änn <ann@x.example>, bob@x.example, cid@x.example"
    assert (message["Cc"], message["Bcc"]) == ("dan@x.example", None)
    assert message.get_body(("plain",)).get_content().split("\r\n") == ["Guten Tag", ""]
    assert message.get_body(("html",)).get_content().strip() == "<p>Guten Tag</p>"
    (attachment,) = message.iter_attachments()
    assert (attachment.get_filename(), attachment.get_content_type()) == ("list.csv", "text/csv")
    assert said["accepted"] == [f"{name}@x.example" for name in ("ann", "bob", "cid", "dan", "eve")]
    assert mail.recipients == [said["accepted"]]


def test_html_alone_is_a_message(send, mail):
    send(html="<b>x</b>")
    assert mail.received[0].get_content_type() == "text/html"


def test_every_attempt_of_a_run_has_the_same_message_id_and_no_other_run(bed, send, mail):
    mail.answer = lambda _: "451 try later"
    with pytest.raises(smtplib.SMTPDataError, match="451"):
        send()
    mail.answer = lambda message: seen.append(message["Message-ID"])
    seen: list[str] = []
    first = send()["message_id"]
    bed.checkpoint = None  # as after a crash before it was stored
    assert send()["message_id"] == first
    assert seen == [first] * 2
    assert first.endswith("@shop.example>")
    bed.checkpoint = None
    assert send(subject="other")["message_id"] != first


def test_what_is_refused_for_good_ends_the_run(send, mail):
    mail.answer = lambda _: "554 spam"
    with pytest.raises(GiveUp, match=r"127\.0\.0\.1 refused: 554 spam"):
        send()
    mail.refused["ann@x.example"] = "550 no such user"
    with pytest.raises(GiveUp, match=r"1 of 1 recipients were refused: ann@x\.example: 550 no such user"):
        send()


def test_recipients_that_were_accepted_get_it_once(bed, send, mail):
    mail.refused["bob@x.example"] = "450 greylisted"
    with pytest.raises(NotAccepted, match=r"1 of 2 recipients were refused: bob@x\.example: 450 greylisted"):
        send(to=["ann@x.example", "bob@x.example"])
    mail.refused.clear()
    assert send(to=["ann@x.example", "bob@x.example"])["accepted"] == ["ann@x.example", "bob@x.example"]
    assert mail.recipients == [["ann@x.example"], ["bob@x.example"]]
    assert len({message["Message-ID"] for message in mail.received}) == 1
    assert send(to=["ann@x.example", "bob@x.example"])["accepted"] == ["ann@x.example", "bob@x.example"]
    assert len(mail.received) == 2


def test_a_server_that_is_not_there_is_a_failure_to_try_again(bed):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, and nobody listens
        with pytest.raises(ConnectionRefusedError):
            bed.call("email", **{"server": f"smtp://127.0.0.1:{taken.getsockname()[1]}", "from": FROM, "to": "a@x.y"})


def test_encryption_and_login_are_not_silently_left_out(send, mail):
    with pytest.raises(GiveUp, match="STARTTLS"):
        send(server=mail.url + "?starttls=1")
    with pytest.raises(GiveUp, match="AUTH"):
        send(server=mail.url.replace("smtp://", "smtp://ann@"), password="pw")
    assert mail.received == []


def test_a_maildir_takes_it_without_a_server(bed, tmp_path):
    said = bed.call("email", **{"server": "maildir:var/mail", "from": FROM, "to": "a@x.y", "text": "hello"})
    (message,) = mailbox.Maildir(tmp_path / "var" / "mail")
    assert message["Message-ID"] == said["message_id"]


def test_a_header_cannot_be_smuggled_in(send, mail):
    for params in ({"subject": "a\nBcc: x@y.z"}, {"headers": {"X-A": "b\r\nX-C: d"}}, {"headers": {"From": "a@b.c"}}):
        with pytest.raises(GiveUp, match="the message can't be made"):
            send(**params)
    assert mail.received == []


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"server": "host:25"}, f"'server': is no mail server: {FORM}"),
        ({"server": "smtp://h?tls=1"}, "'server': has an option that isn't known; there is `starttls`"),
        ({"to": "ann"}, "'to': is no e-mail address: write ann@example.org or Ann <ann@example.org>"),
        ({"to": ["a@x.y", ""]}, "'to': is no e-mail address: write ann@example.org or Ann <ann@example.org>"),
        ({"cc": "a@x.y\nBcc: b@x.y"}, "'cc': holds a line break"),
        ({"from": "a@x.y, b@x.y"}, "'from': is more than one address"),
        ({"form": "a@x.y"}, "email has no parameter 'form'"),
    ],
)  # fmt: skip
def test_validation_says_what_is_wrong(bed, params, words):
    assert bed.mistakes("email", **{"server": "smtp://h", "from": FROM, "to": "a@x.y", **params}) == [words]


def test_a_job_sends(project: Project, mail: PickyServer) -> None:
    project.write(
        "jobs.yaml",
        f"""
        version: 1
        jobs:
          tell:
            call: email
            params: {{server: "{mail.url}", from: a@x.y, to: b@x.y, subject: "run {{{{ run.id }}}}", text: hello}}
        """,
    )
    assert project.cli("run", "--once", "tell").code == 0
    assert mail.received[0]["Subject"] == "run 1"
    assert project.runs()[0]["result"]["accepted"] == ["b@x.y"]
