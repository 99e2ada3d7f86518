"""Triggers keep their place; a new one owes nothing for the past, and one that is gone is forgotten."""

from __future__ import annotations

from typing import Any

from orchestrator.store import queries
from orchestrator.store.creation import CursorMove
from orchestrator.store.cursors import sync_cursors


def test_a_new_trigger_starts_now_and_a_known_one_goes_on(ledger: Any) -> None:
    start = ledger.now
    assert ledger.store.write(sync_cursors, {("a", "t")}, start) == {("a", "t"): start}
    ledger.create(moves=(CursorMove(job="a", trigger="t", fire_time=ledger.at(seconds=5)),))
    later = ledger.later(hours=1)
    synced = ledger.store.write(sync_cursors, {("a", "t"), ("a", "u"), ("b", "t")}, later)
    assert synced == {("a", "t"): ledger.at(hours=-1, seconds=5), ("a", "u"): later, ("b", "t"): later}
    assert ledger.store.read(queries.read_cursors) == synced


def test_a_trigger_that_is_gone_is_forgotten(ledger: Any) -> None:
    ledger.store.write(sync_cursors, {("a", "t"), ("a", "u"), ("b", "t")}, ledger.now)
    ledger.store.write(sync_cursors, {("a", "u")}, ledger.now)
    assert set(ledger.store.read(queries.read_cursors)) == {("a", "u")}
    later = ledger.later(hours=1)
    assert ledger.store.write(sync_cursors, {("a", "t"), ("a", "u")}, later)["a", "t"] == later


def test_thousands_of_triggers_are_synced_at_once(ledger: Any) -> None:
    many = {(f"job-{n}", "t") for n in range(3001)}
    assert set(ledger.store.write(sync_cursors, many, ledger.now)) == many
    assert ledger.store.write(sync_cursors, set(), ledger.now) == {}
    assert ledger.store.read(queries.read_cursors) == {}
