"""`http`: sends a request and fails unless the answer is what the job expects. Needs the extra `http`."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, Literal, NoReturn
from urllib.parse import urlsplit

from orchestrator.builtins.answers import Answer, expects, path_of, status_range
from orchestrator.builtins.checked import Checked
from orchestrator.core.units import format_size
from orchestrator.plugins.api import Duration, GiveUp, Retry, Size, job

if TYPE_CHECKING:
    import ssl

    import httpx

_SAID = 500
"""Characters of an unexpected answer that a failure's message quotes."""
_BUSY = (429, 503)


class UnexpectedStatus(Exception):  # noqa: N818
    """The answer has another status than the job expects."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class TooLarge(Exception):  # noqa: N818
    """The answer has more bytes than the job takes."""


@dataclass
class Auth:
    """Who asks: `username` and `password`, or a `bearer` token."""

    username: str = ""
    password: str = ""
    bearer: str = ""


def _url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("is no address: write it like https://example.org/path")
    return value


def _auth(value: Auth) -> Auth:
    if bool(value.bearer) == bool(value.username):
        raise ValueError("is either username and password, or a bearer token")
    return value


def _statuses(value: int | str | list[int | str]) -> Any:
    for wanted in value if isinstance(value, list) else [value]:
        status_range(wanted)
    return value


def _paths(value: str | dict[str, str]) -> Any:
    for path in value.values() if isinstance(value, dict) else [value]:
        path_of(path)
    return value


Status = Annotated[int | str | list[int | str], Checked(_statuses, "int | str | list[int | str]")]
Extract = Annotated[str | dict[str, str], Checked(_paths, "str | dict[str, str]")]


@job("http")
async def http(
    url: Annotated[str, Checked(_url, "str")],
    method: Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] = "GET",
    headers: dict[str, str] = {},  # noqa: B006 - shown to people as the default, and never changed
    query: dict[str, Any] = {},  # noqa: B006
    json: Any = None,
    body: str | None = None,
    form: dict[str, Any] | None = None,
    auth: Annotated[Auth, Checked(_auth, "Auth")] | None = None,
    timeout: Duration = timedelta(seconds=30),  # noqa: ASYNC109 - the request's own, in YAML
    status: Status = "2xx",
    extract: Extract | None = None,
    follow_redirects: bool = True,  # noqa: FBT001, FBT002 - given by name
    verify: bool = True,  # noqa: FBT001, FBT002
    keep_headers: bool = False,  # noqa: FBT001, FBT002
    max_size: Size = 10 * 2**20,
) -> dict[str, Any]:
    """Send a request. The result is `{status, json | text}`, with `extracted` and `headers` if they are asked for.

    `timeout` is for all of it, the answer's body included. 429 and 503 with Retry-After ask for another attempt then;
    every other unexpected status, and a server that can't be reached, is a failure for the retry policy.
    """
    import httpx

    if sum(part is not None for part in (json, body, form)) > 1:
        raise GiveUp("a request has one body: give one of json, body and form")
    target = httpx.URL(url).copy_merge_params(query) if query else httpx.URL(url)
    place = f"{method} {target.copy_with(query=None, fragment=None, username=None, password=None)}"
    unlimited = httpx.Timeout(None)  # each step: the whole is limited, redirects and body included
    try:
        async with (
            asyncio.timeout(timeout.total_seconds()),
            httpx.AsyncClient(verify=_tls(verify), timeout=unlimited, follow_redirects=follow_redirects) as client,
            client.stream(
                method, target, headers=_headers(headers, auth), json=json, content=body, data=form, auth=_basic(auth)
            ) as response,
        ):
            expected = expects(status, response.status_code)
            answer = await _read(response, place, max_size if expected else None)
    except (TimeoutError, httpx.TimeoutException) as error:
        raise TimeoutError(f"{place}: no complete answer within {timeout.total_seconds():g}s") from error
    except httpx.RequestError as error:
        raise ConnectionError(f"{place}: {str(error) or type(error).__name__}") from error
    if not expected:
        _refuse(answer, place)
    result = answer.result()
    result |= {"headers": dict(answer.headers)} if keep_headers else {}
    return result if extract is None else result | {"extracted": answer.extracted(extract)}


@cache
def _tls(verify: bool) -> ssl.SSLContext:  # noqa: FBT001
    """Reading the certificates takes tens of milliseconds, so once in a process."""
    import httpx

    return httpx.create_ssl_context(verify=verify)


def _headers(given: dict[str, str], auth: Auth | None) -> dict[str, str]:
    return {**given, "Authorization": f"Bearer {auth.bearer}"} if auth is not None and auth.bearer else given


def _basic(auth: Auth | None) -> tuple[str, str] | None:
    return (auth.username, auth.password) if auth is not None and auth.username else None


async def _read(response: httpx.Response, place: str, most: int | None) -> Answer:
    """The whole body if it has at most so many bytes; without a limit, as much as a failure's message quotes."""
    body = bytearray()
    async for chunk in response.aiter_bytes():
        body += chunk
        if most is None and len(body) > 4 * _SAID:
            break
        if most is not None and len(body) > most:
            raise TooLarge(f"{place}: the answer has more than {format_size(most)}")
    headers = {name.lower(): value for name, value in response.headers.items()}
    return Answer(response.status_code, headers, bytes(body), response.charset_encoding or "utf-8")


def _refuse(answer: Answer, place: str) -> NoReturn:
    said = answer.text[:_SAID].strip()
    message = f"{place} answered {answer.status}" + (f": {said}" if said else "")
    if answer.status in _BUSY and (delay := answer.retry_after()) is not None:
        raise Retry(message, delay=delay)
    raise UnexpectedStatus(message, answer.status)
