"""How does a notification reach its receiver, who can tell that it is genuine, and whether it is a repetition?"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import os
import time
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from sqlalchemy import Row

from shop.deliveries import Later, Undeliverable
from shop.sources import retry_after

if TYPE_CHECKING:
    import httpx

_TRY_AGAIN = frozenset({408, 425, 429})
_OUTBOX = "outbox:"
"""A webhook whose target starts so stays on this machine; the example's do."""


@dataclass(frozen=True, kw_only=True)
class Route:
    """By which way notifications leave."""

    http: httpx.AsyncClient
    secret: str
    gateway: str
    outbox: str


async def deliver_one(route: Route, row: Row[Any]) -> None:
    """Returns once it is accepted. Raises `Undeliverable` if it never will be, anything else if it may be later."""
    if row.channel == "webhook":
        url, content = row.target, row.payload
    elif row.channel in ("push", "sms"):
        url, content = route.gateway, {"channel": row.channel, "to": row.target, **row.payload}
    else:
        raise Undeliverable(f"there is no channel {row.channel!r}")
    body = json.dumps(content, sort_keys=True, separators=(",", ":")).encode()
    if _is_web_address(url):
        await _post(route, url, row.key, body)
    elif url.startswith(_OUTBOX) if row.channel == "webhook" else not url:
        line = {"key": row.key, "channel": row.channel, "to": row.target, "content": content}
        await asyncio.to_thread(_append, Path(route.outbox), line)
    else:
        raise Undeliverable(f"{url!r} is not a web address")


def sign(secret: str, timestamp: str, body: bytes) -> str:
    """HMAC-SHA256 of `timestamp.body`: the receiver computes the same, and refuses timestamps that are too old."""
    return "sha256=" + hmac.new(secret.encode(), f"{timestamp}.".encode() + body, hashlib.sha256).hexdigest()


def _is_web_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname)


async def _post(route: Route, url: str, key: str, body: bytes) -> None:
    timestamp = str(int(time.time()))
    headers = {
        "Content-Type": "application/json",
        "Idempotency-Key": key,
        "X-Timestamp": timestamp,
        "X-Signature": sign(route.secret, timestamp, body),
    }
    response = await route.http.post(url, content=body, headers=headers)
    if response.is_success:
        return
    pause = retry_after(response.headers.get("Retry-After"))
    refused = f"{url} answered {response.status_code}"
    if response.status_code in _TRY_AGAIN or response.is_server_error:
        raise Later(refused, timedelta(seconds=pause)) if pause is not None else ConnectionError(refused)
    raise Undeliverable(refused)


def _append(outbox: Path, line: dict[str, Any]) -> None:
    """One line in one write at the end of the file, so that processes don't write into each other's lines."""
    outbox.parent.mkdir(parents=True, exist_ok=True)
    with outbox.open("ab", buffering=0) as file:
        file.write(json.dumps(line).encode() + b"\n")
        os.fsync(file.fileno())
