"""How a message reaches people: through apprise, to every address of a notifier, each once if at all possible."""

from __future__ import annotations

import hashlib
import logging
from typing import Any

from orchestrator.plugins.api import GiveUp
from orchestrator.plugins.context import Context

DEDUPLICATION = "Idempotency-Key"
"""A header for services that take headers: the same in every attempt to deliver a message."""
_TYPES = {"success": "success", "recovery": "success", "retry": "warning", "late": "warning", "test": "info"}


class DeliveryError(Exception):
    """Some addresses didn't take the message; the next attempt tries these again."""


def deliver(
    context: Context,
    urls: list[str],
    subject: str,
    body: str,
    event: dict[str, Any],
    events: list[dict[str, Any]],
    count: int,
) -> dict[str, Any] | None:
    """Send one message. Addresses that took it in an earlier attempt are left out."""
    if count == 0:
        return None
    logging.getLogger("apprise").setLevel(logging.WARNING)
    done = set(context.checkpoint.load([]))
    failed = []
    for number, url in enumerate(urls, 1):
        mark = hashlib.blake2b(url.encode(), digest_size=8).hexdigest()
        if mark in done:
            continue
        if _send(number, url, subject, body, _TYPES.get(event["kind"], "failure"), f"orchestrator-{context.run_id}"):
            done.add(mark)
            context.checkpoint.save(sorted(done))
        else:
            failed.append(f"{number} ({url.partition(':')[0]})")
    if failed:
        raise DeliveryError(f"not delivered to {len(failed)} of {len(urls)} addresses: {', '.join(failed)}")
    return {"events": count, "listed": len(events), "addresses": len(urls)}


def _send(number: int, url: str, subject: str, body: str, kind: str, key: str) -> bool:
    import apprise  # slow, and in most workers nobody is told anything

    service = apprise.Apprise.instantiate(url)
    if service is None:
        raise GiveUp(f"address {number} is no URL of a service that apprise knows")
    if isinstance(headers := getattr(service, "headers", None), dict):
        headers.setdefault(DEDUPLICATION, key)
    return bool(service.notify(body=body, title=subject, notify_type=kind))
