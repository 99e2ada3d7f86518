"""Webhooks, push and text messages against a real web server: signed, retried under one key, several at once."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import os
import signal
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from example_servers import Reply, Request, WebServer
from example_shop import Shop, context

SECRET = "s3cret"


def queue(shop: Shop, *notifications: tuple[str, str, dict[str, Any]]) -> None:
    now = datetime.now(UTC)
    shop.insert(
        shop.schema.notifications,
        *(
            {"key": f"key-{n}", "channel": c, "target": t, "payload": p, "created_at": now, "due_at": now}
            for n, (c, t, p) in enumerate(notifications)
        ),
    )


def deliver(shop: Shop, **params: Any) -> dict[str, Any]:
    async def run() -> dict[str, Any]:
        async with httpx.AsyncClient(timeout=5) as http:
            return await shop.notifications.deliver(shop.db, http, context(), SECRET, **params)

    return asyncio.run(run())


def statuses(shop: Shop) -> list[str]:
    return [row.status for row in shop.rows(shop.schema.notifications)]


def test_a_webhook_is_signed_so_that_the_receiver_can_check_it(shop: Shop, web: WebServer) -> None:
    queue(shop, ("webhook", f"{web.url}/hook", {"event": "order.paid", "order": 7}))
    assert deliver(shop)["sent"] == 1
    (request,) = web.requests
    assert (request.method, request.path) == ("POST", "/hook")
    assert json.loads(request.body) == {"event": "order.paid", "order": 7}
    assert request.headers["idempotency-key"] == "key-0"
    signed = request.headers["x-timestamp"].encode() + b"." + request.body
    expected = "sha256=" + hmac.new(SECRET.encode(), signed, hashlib.sha256).hexdigest()
    assert hmac.compare_digest(request.headers["x-signature"], expected)


def test_push_and_text_messages_go_through_the_gateway(shop: Shop, web: WebServer) -> None:
    queue(shop, ("push", "device-1", {"title": "Hi"}), ("sms", "+491234", {"text": "Hi"}))
    assert deliver(shop, gateway=f"{web.url}/gateway", at_once=1)["sent"] == 2
    assert [json.loads(request.body) for request in web.requests] == [
        {"channel": "push", "to": "device-1", "title": "Hi"},
        {"channel": "sms", "to": "+491234", "text": "Hi"},
    ]


@pytest.mark.parametrize("status", [500, 502, 503, 429, 408])
def test_a_failure_that_may_pass_is_retried_later_with_the_same_key_and_body(
    shop: Shop, web: WebServer, status: int
) -> None:
    queue(shop, ("webhook", web.url, {"b": 1, "a": 2}))
    web.answer = lambda _: Reply(status)
    assert deliver(shop)["retried"] == 1
    row = shop.rows(shop.schema.notifications)[0]
    assert row.due_at > datetime.now(UTC)
    assert str(status) in row.last_error
    assert deliver(shop)["sent"] == 0

    shop.everything_due(shop.schema.notifications)
    web.answer = lambda _: Reply(204)
    assert deliver(shop)["sent"] == 1
    assert len({(request.headers["idempotency-key"], request.body) for request in web.requests}) == 1
    assert len(web.requests) == 2


@pytest.mark.parametrize("status", [301, 400, 401, 404, 410])
def test_a_refusal_is_final(shop: Shop, web: WebServer, status: int) -> None:
    queue(shop, ("webhook", web.url, {}))
    web.answer = lambda _: Reply(status, headers={"Location": "/elsewhere"})
    assert deliver(shop)["failed"] == 1
    assert len(web.requests) == 1


def test_a_receiver_that_asks_for_patience_gets_it(shop: Shop, web: WebServer) -> None:
    queue(shop, ("webhook", web.url, {}))
    web.answer = lambda _: Reply(503, headers={"Retry-After": "1800"})
    deliver(shop)
    assert shop.rows(shop.schema.notifications)[0].due_at > datetime.now(UTC) + timedelta(minutes=29)


def test_a_receiver_that_is_down_keeps_nobody_else_waiting(shop: Shop, web: WebServer) -> None:
    with WebServer() as gone:
        pass
    queue(shop, ("webhook", gone.url, {}), ("webhook", web.url, {}))
    assert {k: v for k, v in deliver(shop).items() if k != "failures"} == {"sent": 1, "retried": 1, "failed": 0}


def test_it_gives_up_after_the_last_attempt(shop: Shop, web: WebServer) -> None:
    queue(shop, ("webhook", web.url, {}))
    web.answer = lambda _: Reply(500)
    for _ in range(2):
        shop.everything_due(shop.schema.notifications)
        deliver(shop, max_attempts=2)
    assert statuses(shop) == ["failed"]


def test_several_are_delivered_at_once(shop: Shop, web: WebServer) -> None:
    queue(shop, *[("webhook", f"{web.url}/{n}", {}) for n in range(4)])
    together = threading.Barrier(4, timeout=20)

    def answer(_: Request) -> Reply:
        together.wait()
        return Reply()

    web.answer = answer
    assert deliver(shop, at_once=4)["sent"] == 4


def test_without_a_gateway_messages_are_lines_of_the_outbox(shop: Shop) -> None:
    queue(shop, ("webhook", "outbox:warehouse", {"e": 1}), ("push", "d", {"t": 2}), ("sms", "+49", {"t": 3}))
    assert deliver(shop)["sent"] == 3
    lines = [json.loads(line) for line in Path("var/outbox.jsonl").read_text().splitlines()]
    assert sorted((line["key"], line["channel"], line["to"]) for line in lines) == [
        ("key-0", "webhook", "outbox:warehouse"),
        ("key-1", "push", "d"),
        ("key-2", "sms", "+49"),
    ]


@pytest.mark.parametrize(
    ("channel", "target"),
    [
        ("webhook", "file:///etc/passwd"),
        ("webhook", ""),
        ("pigeon", "x"),
        ("webhook", "http://["),
        ("webhook", "http://"),
    ],
)
def test_a_target_that_is_no_web_address_fails_and_is_not_opened(shop: Shop, channel: str, target: str) -> None:
    queue(shop, (channel, target, {}))
    assert deliver(shop)["sent"] == 0
    assert statuses(shop) == ["failed"]


def test_after_a_kill_all_arrive_and_only_what_was_under_way_is_repeated_under_its_key(
    shop: Shop, web: WebServer
) -> None:
    queue(shop, *[("webhook", f"{web.url}/{n}", {}) for n in range(6)])
    victim = None

    def kill_at_third(_: Request) -> Reply:
        if len(web.requests) == 3:
            os.kill(victim.pid, signal.SIGKILL)
            victim.wait()
        return Reply()

    web.answer = kill_at_third
    victim = shop.start(
        "import asyncio, httpx, notifications\n"
        "http = httpx.AsyncClient()\n"
        f"asyncio.run(notifications.deliver(db, http, context(), {SECRET!r}, at_once=1))\n"
    )
    assert victim.wait(30) == -signal.SIGKILL
    victim.stdout.close()
    web.answer = lambda _: Reply()
    shop.claims_run_out(shop.schema.notifications)
    deliver(shop)
    keys = [request.headers["idempotency-key"] for request in web.requests]
    assert sorted(keys) == sorted([*(f"key-{n}" for n in range(6)), keys[2]])
    assert set(statuses(shop)) == {"sent"}
