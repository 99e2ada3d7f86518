"""The example as a new user has it: its jobs.yaml, its plugins, the real command line, and kills."""

from __future__ import annotations

import json
import mailbox
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from example_kills import gone_with_it, killing, mark
from example_servers import MailServer, Reply, WebServer

from tests.project import Project

ROOT = Path(__file__).parents[2]


@pytest.fixture
def example(project: Project) -> Project:
    shutil.copy(ROOT / "jobs.yaml", project.folder)
    shutil.copytree(ROOT / "plugins", project.folder / "plugins", ignore=shutil.ignore_patterns("__pycache__"))
    return project


def ask(project: Project, sql: str) -> Any:
    with sqlite3.connect(project.folder / "var/app.db", timeout=30) as connection:
        answer = connection.execute(sql).fetchone()
    connection.close()
    return answer[0] if answer else None


def welcomes(mail_server: MailServer) -> list[str]:
    """The Message-IDs of the mails that the example begins with."""
    return [str(message["Message-ID"]) for message in mail_server.received if message["Subject"] == "Welcome"]


def succeeded(project: Project) -> set[str]:
    return {run["job"] for run in project.runs(state="succeeded")}


def test_it_is_valid_without_a_warning(example: Project) -> None:
    result = example.cli("validate").ok()
    assert "warning" not in result.out + result.err


def test_after_the_start_there_is_work_and_it_is_done(example: Project) -> None:
    wanted = {
        "seed",
        "system-health",
        "process-email-queue",
        "sync-products",
        "warm-cache",
        "deliver-notifications",
        "convert-orders",
        "close-days",
    }
    with example.engine() as engine:
        engine.wait_for(lambda: wanted <= succeeded(example))
    assert engine.code == 0
    assert example.runs(state="failed") == []
    box = mailbox.Maildir(example.folder / "var/maildir")
    assert [message["Subject"] for message in box].count("Welcome") == 12
    assert ask(example, "SELECT count(*) FROM order_totals") == 5000
    assert ask(example, "SELECT count(*) FROM closed_days WHERE closed_at IS NOT NULL") == 14
    assert ask(example, "SELECT sum(balance_eur_cents) FROM accounts") == ask(
        example, "SELECT sum(total_eur_cents) FROM closed_days"
    )
    outbox = example.read("var/outbox.jsonl").splitlines()
    assert sorted(json.loads(line)["channel"] for line in outbox) == ["push"] * 3 + ["sms"] * 3 + ["webhook"] * 3
    assert "only-for-the-example" not in example.database.read_bytes().decode("latin-1")


def test_the_nightly_and_weekly_jobs_run_when_they_are_asked_to(example: Project) -> None:
    with example.engine() as engine:
        engine.wait_for(lambda: "convert-orders" in succeeded(example))
        jobs = ["clean-old-logs", "clean-temporary-files", "weekly-report", "monthly-report", "expire-cache"]
        for job in [*jobs, "refresh-cache", "send-email"]:
            example.cli("trigger", job).ok()
        engine.wait_for(lambda: {*jobs, "refresh-cache", "send-email"} <= succeeded(example))
        example.cli("trigger", "process-email-queue", "--wait").ok()
    assert 550 < 900 - ask(example, "SELECT count(*) FROM logs") < 650
    subjects = [message["Subject"] for message in mailbox.Maildir(example.folder / "var/maildir")]
    assert "It works" in subjects
    assert {str(subject).partition(":")[0] for subject in subjects} >= {"Weekly report", "Monthly report"}
    assert len(list((example.folder / "var/reports").glob("*.html"))) == 2


def test_the_environment_leads_it_to_real_servers(example: Project, mail_server: MailServer, web: WebServer) -> None:
    example.environment = {"MAIL_URL": mail_server.url, "GATEWAY_URL": web.url, "REPORTS_TO": "me@home.example"}
    web.answer = lambda _: Reply(202)
    with example.engine() as engine:
        engine.wait_for(lambda: {"process-email-queue", "deliver-notifications"} <= succeeded(example))
        example.cli("trigger", "send-email", "--param", "subject=Hello", "--no-check", "--wait").ok()
    assert len(welcomes(mail_server)) == 12
    (sent,) = [message for message in mail_server.received if message["Subject"] == "Hello"]
    assert sent["To"] == "me@home.example"
    assert sorted(json.loads(request.body)["channel"] for request in web.requests) == ["push"] * 3 + ["sms"] * 3


def test_a_parameter_may_be_given_by_hand(example: Project) -> None:
    example.cli("trigger", "send-email", "--param", "subject=Hello").ok()


def test_a_large_data_set_goes_on_at_its_checkpoint_after_a_kill_of_everything(example: Project) -> None:
    """What was done before the checkpoint is removed, so that doing it again would show."""
    with example.engine() as engine:
        engine.wait_for(lambda: "convert-orders" in succeeded(example))
    by_hand_only = (
        example.read("jobs.yaml").replace("on_start: true", "on_start: false").replace("after: warm-cache", "")
    )
    example.write("jobs.yaml", by_hand_only)
    ask(example, "DELETE FROM order_totals")
    with example.start("run") as engine:
        engine.wait_line("Ctrl-C")
        run_id = example.cli("trigger", "convert-orders", "--param", "chunk=2", "--no-check", "--json").ok().json["id"]
        engine.wait_for(lambda: (ask(example, "SELECT max(order_id) FROM order_totals") or 0) > 500)
        engine.kill()
    assert ask(example, "SELECT count(*) FROM order_totals") < 5000
    ask(example, "DELETE FROM order_totals WHERE order_id <= 100")
    with example.engine() as engine:
        engine.wait_for(lambda: any(run["id"] == run_id for run in example.runs(state="succeeded")), deadline=90)
    assert ask(example, "SELECT count(*) FROM order_totals WHERE order_id > 100") == 4900
    assert ask(example, "SELECT min(order_id) FROM order_totals") == 101


@killing
def test_mail_survives_a_kill_of_everything(example: Project, mail_server: MailServer) -> None:
    mark(example)
    example.environment["MAIL_URL"] = mail_server.url
    with example.start("run") as engine:
        mail_server.answer = lambda _: engine.kill() if len(mail_server.received) == 5 else None
        engine.wait_for(lambda: engine.code is not None)
    gone_with_it(example)  # until then its worker may claim yet another row
    assert 5 <= len(welcomes(mail_server)) < 12
    mail_server.answer = lambda _: None
    ask(example, "UPDATE emails SET claimed_until = '2000-01-01 00:00:00.000000' WHERE status = 'sending'")
    with example.engine() as engine:
        engine.wait_for(
            lambda: ask(example, "SELECT count(*) FROM emails WHERE status = 'sent' AND key LIKE 'welcome/%'") >= 12,
            deadline=90,
        )
    sent = welcomes(mail_server)
    assert len(set(sent)) >= 12
    assert len(sent) <= len(set(sent)) + 1
