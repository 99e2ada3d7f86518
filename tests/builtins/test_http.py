from __future__ import annotations

import asyncio
import json
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.builtins.answers import Answer, path_of, status_range
from orchestrator.builtins.http import TooLarge, UnexpectedStatus
from orchestrator.plugins.api import GiveUp, Retry
from tests.example.example_servers import Reply, WebServer
from tests.project import Project


@pytest.fixture
def web():
    with WebServer() as server:
        yield server


@pytest.fixture
def fetch(bed, web):
    def call(path="/x", **params):
        return asyncio.run(bed.call("http", url=web.url + path, **params))

    return call


def document(value, status=200, **headers):
    return Reply(status, json.dumps(value).encode(), {"Content-Type": "application/json", **headers})


def test_json_comes_back_as_json_and_text_as_text(web, fetch):
    web.answer = lambda _: document({"a": [1, None]})
    assert fetch() == {"status": 200, "json": {"a": [1, None]}}
    web.answer = lambda _: Reply(201, "ä".encode("latin-1"), {"Content-Type": "text/plain; charset=latin-1"})
    assert fetch() == {"status": 201, "text": "ä"}
    web.answer = lambda _: Reply(204)
    assert fetch() == {"status": 204, "text": ""}


def test_it_sends_what_it_is_told(web, fetch):
    fetch("/a?x=1", method="POST", query={"y": "b c"}, headers={"X-Run": "7"}, json={"n": 1})
    fetch(method="POST", form={"name": "Ann Bo"})
    fetch(method="POST", body="plain")
    first, form, plain = web.requests
    assert (first.method, first.path, first.headers["x-run"], json.loads(first.body)) == (
        "POST",
        "/a?x=1&y=b+c",
        "7",
        {"n": 1},
    )
    assert (form.body, form.headers["content-type"]) == (b"name=Ann+Bo", "application/x-www-form-urlencoded")
    assert plain.body == b"plain"
    with pytest.raises(GiveUp, match="one body"):
        fetch(json={}, body="x")


def test_it_says_who_asks(web, fetch):
    fetch(auth={"username": "ann", "password": "pw"})
    fetch(auth={"bearer": "token"})
    assert [request.headers["authorization"] for request in web.requests] == ["Basic YW5uOnB3", "Bearer token"]


def test_a_part_of_the_answer_is_extracted(web, fetch):
    web.answer = lambda _: document({"data": {"items": [{"id": 5}, {"id": 6}], "odd name": 1}})
    assert fetch(extract="data.items[0].id")["extracted"] == 5
    both = {"last": "data.items[-1].id", "odd": 'data["odd name"]'}
    assert fetch(extract=both)["extracted"] == {"last": 6, "odd": 1}
    with pytest.raises(LookupError, match=r"the answer has nothing at data\.none"):
        fetch(extract="data.none")
    web.answer = lambda _: Reply(200, b"hello")
    with pytest.raises(ValueError, match="the answer is not JSON"):
        fetch(extract="a")


def test_headers_are_kept_if_asked_for(web, fetch):
    web.answer = lambda _: Reply(200, b"", {"X-Total": "5"})
    assert fetch(keep_headers=True)["headers"]["x-total"] == "5"


@pytest.mark.parametrize(
    ("status", "wanted"), [(404, 404), (404, "4xx"), (301, [200, "300-399"]), (429, ["2xx", "429"]), (503, "5xx")]
)
def test_the_job_says_which_statuses_are_fine(web, fetch, status, wanted):
    web.answer = lambda _: Reply(status, b"", {"Retry-After": "5"})
    assert fetch(status=wanted, follow_redirects=False)["status"] == status


@pytest.mark.parametrize("status", [404, 500, 503])
def test_another_status_fails_with_the_beginning_of_the_answer(web, fetch, status):
    web.answer = lambda _: Reply(status, b"no " + b"x" * 100_000)
    with pytest.raises(UnexpectedStatus) as failure:
        fetch("/x?token=hidden")
    assert failure.value.status == status
    assert str(failure.value) == f"GET {web.url}/x answered {status}: no " + "x" * 497


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_server_says_when_to_ask_again(web, fetch, status):
    web.answer = lambda _: Reply(status, b"busy", {"Retry-After": "120"})
    with pytest.raises(Retry, match=f"answered {status}: busy") as retry:
        fetch()
    assert retry.value.delay == 120


@pytest.mark.parametrize(
    ("after", "date", "seconds"),
    [
        ("7", "", 7),
        ("Fri, 02 Jan 2026 00:01:30 GMT", "Fri, 02 Jan 2026 00:00:00 GMT", 90),
        ("Fri, 02 Jan 2015 00:01:30 GMT", "", 0),
        ("soon", "", None),
        ("", "", None),
    ],
)
def test_it_says_so_in_seconds_or_by_its_own_clock(after, date, seconds):
    assert Answer(503, {"retry-after": after, "date": date}, b"", "utf-8").retry_after() == seconds


def test_redirects_are_followed_unless_told_otherwise(web, fetch):
    web.answer = lambda r: Reply(302, b"", {"Location": "/y"}) if r.path == "/x" else Reply(200, b"there")
    assert fetch()["text"] == "there"
    with pytest.raises(UnexpectedStatus, match="answered 302"):
        fetch(follow_redirects=False)
    web.answer = lambda _: Reply(302, b"", {"Location": "/x"})
    with pytest.raises(ConnectionError, match="redirects"):
        fetch()


def test_a_body_over_the_limit_is_not_read_to_its_end(web, fetch):
    web.answer = lambda _: Reply(200, b"x" * 100_000)
    with pytest.raises(TooLarge, match="the answer has more than 10KiB"):
        fetch(max_size="10KiB")
    assert len(fetch(max_size=100_000)["text"]) == 100_000


def test_a_server_that_is_not_there_or_silent_fails(bed, web, fetch):
    with pytest.raises(ConnectionError, match=r"GET http://127\.0\.0\.1:1/"):
        asyncio.run(bed.call("http", url="http://127.0.0.1:1/"))
    silence = threading.Event()
    web.answer = lambda _: (silence.wait(60) and Reply()) or Reply()
    try:
        with pytest.raises(TimeoutError, match=r"no complete answer within 0\.2s"):
            fetch(timeout="200ms")
    finally:
        silence.set()


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"url": "example.org"}, "'url': is no address: write it like https://example.org/path"),
        ({"status": "6xx"}, "'status': is no status: write 200, 2xx or 200-299"),
        ({"status": [200, "ok"]}, "'status': is no status: write 200, 2xx or 200-299"),
        ({"extract": "a..b"}, "'extract': is no path: write it like data.items[0].id or [\"odd name\"].id"),
        ({"auth": {}}, "'auth': is either username and password, or a bearer token"),
        ({"auth": {"token": "x"}}, "'auth.token' is not known here"),
        ({"timeout": "soon"}, "'timeout': 'soon' is not a duration; write it like 500ms, 2s, 5m, 1h30m or 7d"),
    ],
)
def test_validation_says_what_is_wrong(bed, params, words):
    assert bed.mistakes("http", **{"url": "http://x/", **params}) == [words]


@given(st.lists(st.integers(-9, 99) | st.text(st.characters(exclude_characters='"', codec="utf-8")), min_size=1))
def test_every_place_in_a_document_has_a_path(steps):
    assert path_of("".join(f"[{s}]" if isinstance(s, int) else f'["{s}"]' for s in steps)) == steps


@given(st.integers(100, 599))
def test_a_status_is_in_its_hundred_and_in_itself(status):
    assert status in status_range(status)
    assert status in status_range(f"{status // 100}xx")
    assert list(status_range(status)) == [status]


def test_a_job_asks_and_its_secret_is_not_told(project: Project, web: WebServer) -> None:
    web.answer = lambda r: document({"id": 7} if r.headers.get("authorization") == "Bearer s3cret-token" else None)
    project.write(
        "jobs.yaml",
        f"""
        version: 1
        secrets: {{token: {{env: TOKEN}}}}
        jobs:
          ask:
            call: http
            params: {{url: "{web.url}/things", auth: {{bearer: "{{{{ secrets.token }}}}"}}, extract: id}}
        """,
    )
    done = project.cli("run", "--once", "ask", environment={"TOKEN": "s3cret-token"})
    assert done.code == 0, done
    assert project.runs()[0]["result"] == {"status": 200, "json": {"id": 7}, "extracted": 7}


HIDE = """
import importlib.machinery as machinery
find = machinery.PathFinder.find_spec
machinery.PathFinder.find_spec = classmethod(lambda _, name, *more: None if name == "httpx" else find(name, *more))
"""


def test_without_the_package_validation_says_how_to_get_it(project: Project) -> None:
    project.write("hidden/sitecustomize.py", HIDE)
    project.write(
        "jobs.yaml",
        """
        version: 1
        jobs:
          ask: {call: http, params: {url: "https://example.org/"}}
        """,
    )
    said = project.cli("validate", "--json", environment={"PYTHONPATH": str(project.folder / "hidden")})
    (problem,) = said.json["diagnostics"]
    assert (problem["code"], problem["line"]) == ("missing-package", 4)
    assert problem["message"] == "http needs the package 'httpx', which is not installed"
    assert problem["hint"] == "install it: pip install 'orchestrator[http]'"
    assert project.cli("validate").code == 0
    assert project.cli("run", "--once", "ask", environment={"PYTHONPATH": str(project.folder / "hidden")}).code != 0
