"""Messages and hooks over engines that are killed: every failure is told, in few messages, and each hook runs once."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from orchestrator.core.policies import Isolation
from tests.faults.processes import eventually
from tests.faults.storing import enqueue
from tests.project import Project

JOBS = """\
version: 1
plugins: [plugins]
workers: {{processes: 2, threads: 4}}
secrets: {{token: {{env: TOKEN}}}}
notifiers:
  ops:
    urls: ["json://localhost:{port}/{{{{ secrets.token }}}}"]
    subject: "{{{{ count }}}} from {{{{ event.job }}}}"
    body: "{{% for one in events %}}{{{{ one.run_id }}}} {{% endfor %}}"
    group: {{size: 100, wait: {wait}}}
jobs:
  bad: {{call: work.bad, retry: 1, on_failure: {{notify: ops}}}}
  chained: {{call: work.bad, retry: 1, on_dead: [{{job: mend, params: {{who: "{{{{ event.job }}}}"}}}}]}}
  mend: {{call: work.mend, params: {{who: nobody}}}}
  plain: {{call: work.plain}}
"""
WORK = """\
import os

async def bad():
    raise ValueError("no good")

async def mend(who: str, event: dict):
    journal = os.open("journal", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(journal, f"{who} {event['run_id']}\\n".encode())
    os.close(journal)

def plain():
    pass
"""


class Post:
    """An HTTP server that keeps what is sent to it, and refuses as long as it is told to."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self.keys: list[str] = []
        self.paths: set[str] = set()
        self.refusing = False
        self.refused = 0
        post = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if post.refusing:
                    post.refused += 1
                else:
                    post.messages.append(body)
                    post.keys.append(self.headers.get("Idempotency-Key", ""))
                    post.paths.add(self.path)
                self.send_response(503 if post.refusing else 200)
                self.end_headers()

            def log_message(self, format: str, *_: object) -> None: ...  # noqa: A002

        self.server = ThreadingHTTPServer(("localhost", 0), Handler)
        self.port = self.server.server_address[1]

    @property
    def told(self) -> list[int]:
        """The runs that the messages tell of; the same message twice counts once."""
        unique = dict(zip(self.keys, self.messages, strict=True))
        return [int(run) for message in unique.values() for run in message["message"].split()]


@pytest.fixture
def post() -> Iterator[Post]:
    post = Post()
    threading.Thread(target=post.server.serve_forever, daemon=True).start()
    yield post
    post.server.shutdown()
    post.server.server_close()


def at_work(project: Project, post: Post, wait: str = "1s") -> None:
    project.write("jobs.yaml", JOBS.format(port=post.port, wait=wait))
    project.plugin("work", WORK)
    project.environment["TOKEN"] = "hunter2hunter2"


def test_a_thousand_failures_are_few_messages_although_the_engine_is_killed(
    project: Project, mark: str, post: Post
) -> None:
    at_work(project, post, wait="20s")
    with project.engine() as engine:
        engine.kill()
    ids = enqueue(project, *["bad"] * 1000, isolation=Isolation.ASYNC)
    with project.engine() as engine:
        engine.wait_for(lambda: len(project.runs(job="bad", state="failed", count=2000)) >= 300)
        engine.kill()
    with project.engine() as engine:
        engine.wait_for(lambda: len(project.runs(job="bad", state="failed", count=2000)) == 1000)
        engine.wait_for(lambda: len(post.told) == 1000, 90)
    assert sorted(post.told) == sorted(ids)
    # A killed engine's runs are recovered some seconds later: those may make a message of their own.
    assert len(set(post.keys)) <= 12
    assert {message["title"].partition(" ")[2] for message in post.messages} == {"from bad"}


def test_what_is_refused_is_tried_again_under_the_same_key_and_secrets_are_in_no_record(
    project: Project, mark: str, post: Post
) -> None:
    at_work(project, post)
    post.refusing = True
    with project.engine() as engine:
        (run_id,) = enqueue(project, "bad", isolation=Isolation.ASYNC)
        engine.wait_for(lambda: post.refused)
        post.refusing = False
        engine.wait_for(lambda: project.runs(job="notify/ops", state="succeeded"))
    assert post.told == [run_id]
    assert post.paths == {"/hunter2hunter2"}
    delivery = project.runs(job="notify/ops")[0]
    shown = project.show(delivery["id"])
    assert len(shown["attempts"]) >= 2
    assert post.keys == [f"orchestrator-{delivery['id']}"]
    assert "hunter2" not in json.dumps(shown)
    assert b"hunter2hunter2" not in b"".join(path.read_bytes() for path in project.database.parent.glob("*.db*"))


def test_two_engines_and_a_kill_run_each_hook_once(project: Project, mark: str, post: Post) -> None:
    at_work(project, post)
    with project.engine() as first, project.engine() as second:
        ids = enqueue(project, *["chained"] * 200, isolation=Isolation.ASYNC)
        second.wait_for(lambda: len(project.runs(job="mend", state="succeeded", count=500)) >= 50)
        first.kill()
        second.wait_for(lambda: len(project.runs(job="chained", state="failed", count=500)) == 200, 60)
        second.wait_for(lambda: len(project.runs(job="mend", state="succeeded", count=500)) == 200, 60)
    hooks = project.runs(job="mend", count=500)
    assert Counter(run["params"]["event"]["run_id"] for run in hooks) == Counter(ids)
    assert {line.split()[0] for line in project.read("journal").splitlines()} == {"chained"}
    assert {int(line.split()[1]) for line in project.read("journal").splitlines()} == set(ids)


def test_a_wrong_address_is_mended_by_mending_it(project: Project, mark: str, post: Post) -> None:
    at_work(project, post)
    good = project.read("jobs.yaml")
    project.write("jobs.yaml", good.replace('"json://', '"json://localhost:1/no", "json://'))
    with project.engine() as engine:
        (run_id,) = enqueue(project, "bad", isolation=Isolation.ASYNC)
        engine.wait_for(lambda: post.told == [run_id])
        project.write("jobs.yaml", good)
        engine.wait_for(lambda: project.runs(job="notify/ops", state="succeeded"), 60)
    assert post.told == [run_id]
    assert len(post.messages) == 1


def test_notify_sends_a_test_message_without_an_engine(project: Project, mark: str, post: Post) -> None:
    at_work(project, post)
    project.cli("notify", "ops", "--test").ok()
    (message,) = post.messages
    assert (message["title"], message["type"]) == ("1 from orchestrator", "info")
    wrong = project.cli("notify", "opps", "--test")
    assert (wrong.code, "did you mean ops?" in wrong.err) == (2, True)
    assert [job["name"] for job in project.cli("jobs", "--json").json] == ["bad", "chained", "mend", "plain"]


def test_the_hooks_job_need_not_take_the_event(project: Project, mark: str, post: Post) -> None:
    at_work(project, post)
    text = project.read("jobs.yaml")
    project.write("jobs.yaml", text.replace("  mend:", "  main: {call: work.plain, on_success: plain}\n  mend:"))
    project.cli("validate").ok()
    with project.engine() as engine:
        project.cli("trigger", "main", "--wait").ok()
        engine.wait_for(lambda: project.runs(job="plain", state="succeeded"))
    eventually(lambda: len(project.runs(job="plain")) == 1)
