"""How is JSON read from somewhere else: a web address, or a file that stands in for one?"""

from __future__ import annotations

import email.utils
import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urljoin, urlsplit

from orchestrator import GiveUp, Retry

if TYPE_CHECKING:
    import httpx

_TRY_AGAIN = frozenset({408, 425, 429})
"""Client errors that pass with time."""


@dataclass(frozen=True)
class Answer:
    """What a source said. `data` is None if it still is what `etag` stood for."""

    data: Any
    etag: str | None
    next_link: str | None = None
    """From the header `Link: <…>; rel="next"`."""

    @property
    def unchanged(self) -> bool:
        """Whether the source said that nothing is new."""
        return self.data is None


def fetch(http: httpx.Client, source: str, etag: str | None = None) -> Answer:
    """Read a source, which may answer that it is unchanged since `etag`.

    What may pass (5xx, timeouts, half an answer) raises for the job's retry policy; 4xx gives up.
    """
    if urlsplit(source).scheme in ("http", "https"):
        return _from_web(http, source, etag)
    return _from_file(path_of(source), etag)


def path_of(source: str) -> Path:
    """The file that `file:…`, or a plain path, names."""
    parts = urlsplit(source)
    if parts.scheme not in ("", "file"):
        raise GiveUp(f"{source!r} is neither a web address nor a file")
    return Path(unquote(parts.path))


def next_page(source: str, link: str) -> str:
    """The address of a link found on a page. It may not lead anywhere but where the page came from."""
    target = urljoin(source, link)
    here, there = urlsplit(source), urlsplit(target)
    same_place = (here.scheme, here.netloc) == (there.scheme, there.netloc)
    if not same_place or (here.scheme in ("", "file") and path_of(target).parent != path_of(source).parent):
        raise GiveUp(f"{source} links to {target}, which is somewhere else")
    return target


def _from_web(http: httpx.Client, url: str, etag: str | None) -> Answer:
    response = http.get(url, headers={"If-None-Match": etag} if etag else {})
    if response.status_code == 304:
        return Answer(None, etag)
    if response.status_code in _TRY_AGAIN or response.status_code == 503:
        raise Retry(f"{url} answered {response.status_code}", delay=retry_after(response.headers.get("Retry-After")))
    if 400 <= response.status_code < 500:
        raise GiveUp(f"{url} answered {response.status_code}, which asking again won't change")
    response.raise_for_status()
    return Answer(response.json(), response.headers.get("ETag"), response.links.get("next", {}).get("url"))


def _from_file(path: Path, etag: str | None) -> Answer:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise GiveUp(f"{path} can't be read: {error.strerror}") from None
    found = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    return Answer(None, etag) if found == etag else Answer(json.loads(content), found)


def retry_after(header: str | None, longest: float = 3600.0) -> float | None:
    """The seconds that a `Retry-After` header (RFC 9110: seconds or a date) asks for; None if it says nothing."""
    if not header:
        return None
    if header.strip().isdecimal():
        return min(float(header), longest)
    try:
        at = email.utils.parsedate_to_datetime(header)
    except ValueError:
        return None
    return min(max((at.replace(tzinfo=at.tzinfo or UTC) - datetime.now(UTC)).total_seconds(), 0.0), longest)
