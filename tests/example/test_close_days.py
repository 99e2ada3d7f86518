"""The example's workflow from end to end: its condition, its failure hook, and kills in the middle of each step."""

from __future__ import annotations

import mailbox
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from example_gates import Gates
from example_kills import kill_engine, kill_worker, killing, mark
from example_shop import Shop

from tests.project import Project

ROOT = Path(__file__).parents[2]
DAYS = ["2025-03-01", "2025-03-02", "2025-03-03"]
A_DAY = 120
"""Orders on each of the days."""
BALANCES = {"Tea": 3 * 40 * 1000, "Brewing": 3 * 40 * 2000, "Other": 3 * (39 * 3000 + 20_000)}
STEPS = ["open_days", *(f"sum_up-{day}" for day in DAYS), "report_large", "book", "record"]
BY_HAND = {
    "on_start: true": "on_start: false",
    "after: convert-orders # which computes the totals": "",
    "at_most: 14": "at_most: 3",  # the orders are of long ago, and the days since then not over
    "{max_attempts: 3, backoff: exponential, delay: 2s": "{max_attempts: 9, backoff: exponential, delay: 0s",
}


@pytest.fixture
def example(project: Project) -> Project:
    """The example as it is, but nothing begins by itself, and killed attempts are repeated at once."""
    shutil.copytree(ROOT / "plugins", project.folder / "plugins", ignore=shutil.ignore_patterns("__pycache__"))
    text = (ROOT / "jobs.yaml").read_text("utf-8")
    for old, new in BY_HAND.items():
        assert old in text
        text = text.replace(old, new)
    project.write("jobs.yaml", text)
    mark(project)
    return project


@pytest.fixture
def books(example: Project) -> Iterator[Shop]:
    """Three days of orders with their totals, one of each day a large one, of products in two categories."""
    shop = Shop(example.folder / "var")
    product = {"name": "N", "price_cents": 1, "stock": 1, "seen_at": datetime.now(UTC)}
    listed = [{**product, "sku": name[0], "category": name} for name in ("Tea", "Brewing")]
    shop.insert(shop.schema.products, *listed)
    sold = [(day, n) for day in DAYS for n in range(A_DAY)]
    order = {"quantity": 1, "unit_price_cents": 1, "currency": "EUR"}
    moments = [datetime.fromisoformat(f"{day}T12:00:00+00:00") for day, _ in sold]
    shop.insert(
        shop.schema.orders,
        *({**order, "placed_at": moment, "sku": "TB?"[n % 3]} for moment, (_, n) in zip(moments, sold, strict=True)),
    )
    cents = [20_000 if n == 2 else (1000, 2000, 3000)[n % 3] for _, n in sold]
    shop.insert(
        shop.schema.order_totals,
        *({"order_id": n, "total_eur_cents": c, "rate": 1.0} for n, c in enumerate(cents, start=1)),
    )
    yield shop
    shop.db.dispose()


@pytest.fixture
def gates(example: Project) -> Gates:
    return Gates(example, "closing")


def begin(example: Project) -> int:
    flow: int = example.cli("trigger", "close-days", "--no-check", "--json").ok().json["id"]
    return flow


def state_of(example: Project, flow: int) -> str:
    return str(next(run["state"] for run in example.runs(job="close-days") if run["id"] == flow))


def steps_of(example: Project, flow: int) -> list[dict[str, Any]]:
    return [run for run in example.runs() if run["flow_id"] == flow]


def is_alone(example: Project, flow: int) -> bool:
    """Whether one run of a step is all that hasn't ended: that which a test holds at a gate."""
    return sum(run["state"] in ("scheduled", "queued", "running") for run in steps_of(example, flow)) == 1


def balances(shop: Shop) -> dict[str, int]:
    return {row.name: row.balance_eur_cents for row in shop.rows(shop.schema.accounts)}


def reports(shop: Shop) -> list[str]:
    """Subjects of the mails about large orders."""
    return [mail.subject for mail in shop.rows(shop.schema.emails) if mail.key.startswith("large-orders/")]


def check_the_books(shop: Shop, flow: int) -> None:
    """Everything is there, and everything once."""
    assert balances(shop) == BALANCES
    assert [row.order_id for row in shop.rows(shop.schema.bookings)] == list(range(1, 3 * A_DAY + 1))
    closed = shop.rows(shop.schema.closed_days)
    assert [(str(row.day), row.orders, row.large_orders) for row in closed] == [(day, A_DAY, 1) for day in DAYS]
    assert all(row.closed_at for row in closed)
    assert reports(shop) == ["3 large orders"]
    assert [(row.run_id, row.state, row.days) for row in shop.rows(shop.schema.closings)] == [(flow, "succeeded", 3)]


def begun(gates: Gates) -> dict[str, int]:
    """How many times each step was begun."""
    return {step: gates.arrivals.count(f"{step}.begun") for step in STEPS}


@pytest.mark.parametrize(("large", "state", "mails"), [(150, "succeeded", 1), (1000, "skipped", 0)])
def test_the_condition_decides_whether_somebody_is_told(
    example: Project, books: Shop, large: int, state: str, mails: int
) -> None:
    assert example.cli("run", "--once", "close-days", "-p", f"large={large}").code == 0
    (flow,) = example.runs(job="close-days")
    assert flow["state"] == "succeeded"
    assert [run["state"] for run in steps_of(example, flow["id"]) if run["step"] == "warn"] == [state]
    assert flow["result"]["book"] == {"days": 3, "orders": 3 * A_DAY}
    assert reports(books) == ["3 large orders"] * mails
    assert balances(books) == BALANCES


def test_the_tour_shows_what_the_command_draws(example: Project) -> None:
    drawn = example.cli("graph", "close-days").ok().out
    assert f"$ orchestrator graph close-days\n{drawn}```" in (ROOT / "docs/example.md").read_text("utf-8")
    assert example.cli("graph", "close-days", "--format", "mermaid").ok().out.startswith("flowchart TD")


def test_it_may_be_run_by_hand_before_anything_was_sold(example: Project) -> None:
    assert example.cli("run", "--once", "close-days").code == 0
    assert example.runs(job="close-days")[0]["result"]["book"] == {"days": 0, "orders": 0}


@killing
def test_a_failure_is_told_once_and_a_retry_goes_on_where_it_failed(
    example: Project, books: Shop, gates: Gates
) -> None:
    """The engine dies when all has been done but the end that fires the hook."""
    totals = books.schema.order_totals
    missing = books.rows(totals)[A_DAY]
    books.change(totals.delete().where(totals.c.order_id == missing.order_id))
    gates.shut("record.done")
    with example.engine() as engine:
        flow = begin(example)
        gates.wait(engine, "record.done")
        assert example.runs(job="send-email") == []
        kill_engine(example, engine)
    gates.open("record.done")
    with example.engine() as engine:
        engine.wait_for(lambda: example.runs(job="send-email", state="succeeded"))
        assert state_of(example, flow) == "failed"
        box = mailbox.Maildir(example.folder / "var/maildir")
        (mail,) = box
        assert (mail["Subject"], mail["To"]) == ("close-days failed", "boss@shop.example")
        assert "2025-03-02 has orders without a total in euros (1)" in mail.get_payload(decode=True).decode()
        assert [(row.run_id, row.state) for row in books.rows(books.schema.closings)] == [(flow, "failed")]
        books.insert(totals, dict(missing._mapping))
        example.cli("retry", str(flow)).ok()
        engine.wait_for(lambda: state_of(example, flow) == "succeeded")
    assert len(example.runs(job="send-email")) == 1
    assert begun(gates) == {**dict.fromkeys(STEPS, 1), "sum_up-2025-03-02": 2, "record": 3}
    check_the_books(books, flow)


@killing
@pytest.mark.parametrize(
    ("step", "first", "second"),
    [
        ("open_days", "read-1", "done"),
        (f"sum_up-{DAYS[1]}", "commit-1", "committed-1"),  # one of the three
        ("report_large", "commit-1", "committed-1"),
        ("record", "commit-1", "committed-1"),
    ],
)
def test_kills_in_the_middle_of_a_step_repeat_that_step_only(
    example: Project, books: Shop, gates: Gates, step: str, first: str, second: str
) -> None:
    """At each of two points the worker that executes the step is killed, and then the engine."""
    begin_gate, first, second = (f"{step}.{point}" for point in ("begun", first, second))
    gates.shut(begin_gate)
    with example.engine() as engine:
        flow = begin(example)
        gates.wait(engine, begin_gate)
        engine.wait_for(lambda: is_alone(example, flow))
        gates.shut(first)
        gates.open(begin_gate)
        kill_worker(gates.wait(engine, first))
        gates.wait(engine, first)
        kill_engine(example, engine)
    gates.shut(second)
    with example.engine() as engine:
        gates.wait(engine, first)
        gates.open(first)
        kill_worker(gates.wait(engine, second))
        gates.wait(engine, second)
        kill_engine(example, engine)
    gates.open(second)
    with example.engine() as engine:
        engine.wait_for(lambda: state_of(example, flow) == "succeeded")
    assert begun(gates) == {**dict.fromkeys(STEPS, 1), step: 5}
    check_the_books(books, flow)
    assert example.runs(job="send-email") == []


@killing
def test_the_chunked_step_continues_where_it_was_and_books_each_chunk_once(
    example: Project, books: Shop, gates: Gates
) -> None:
    """Kills before and after the transaction of a chunk, whose place is saved when the next one is asked for."""

    def booked() -> int:
        return len(books.rows(books.schema.bookings))

    def is_saved(done: int) -> bool:
        (run,) = example.runs(job="close-days/book")
        return bool(run["progress"] and run["progress"][0] == done)

    gates.shut("book.commit-2")
    with example.engine() as engine:
        flow = begin(example)
        worker = gates.wait(engine, "book.commit-2")  # of the second chunk
        engine.wait_for(lambda: is_saved(100))
        assert booked() == 100
        kill_worker(worker)
        gates.wait(engine, "book.commit-2")  # of the third, since this attempt began with the second
        engine.wait_for(lambda: is_saved(200))
        assert booked() == 200
        kill_engine(example, engine)
    gates.shut("book.committed-1")
    with example.engine() as engine:
        worker = gates.wait(engine, "book.committed-1")
        assert booked() == 300
        kill_worker(worker)
        gates.wait(engine, "book.committed-1")
        assert booked() == 300
        kill_engine(example, engine)
    gates.open("book.committed-1")
    gates.open("book.commit-2")
    gates.shut("book.commit-3")
    with example.engine() as engine:
        worker = gates.wait(engine, "book.commit-3")  # after the third chunk once more, and the fourth
        engine.wait_for(lambda: is_saved(360))
        assert all(row.closed_at is None for row in books.rows(books.schema.closed_days))
        kill_worker(worker)
        engine.wait_for(lambda: state_of(example, flow) == "succeeded")
    assert commits(gates) == [2, 2, 1, 1, 3, 1]
    assert begun(gates) == {**dict.fromkeys(STEPS, 1), "book": 6}
    check_the_books(books, flow)


def commits(gates: Gates) -> list[int]:
    """How many transactions each attempt of the chunked step came to commit."""
    attempts = " ".join(gate for gate in gates.arrivals if gate.startswith("book.")).split("book.begun")[1:]
    return [attempt.count("book.commit-") for attempt in attempts]
