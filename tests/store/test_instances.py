"""Engines hold their leases by heartbeats; one that was taken for dead stays dead, and what it held is found."""

from __future__ import annotations

from typing import Any

from orchestrator.core.runs import RunState
from orchestrator.store import instances, queries


def test_an_engine_is_known_as_it_announced_itself(ledger: Any) -> None:
    owner = ledger.engine(host="box", pid=77, plan_path="/srv/jobs.yaml", wake_path="/srv/wake")
    (known,) = ledger.store.read(instances.living)
    assert (known.id, known.host, known.pid, known.plan_path, known.wake_path) == (
        *(owner, "box", 77, "/srv/jobs.yaml", "/srv/wake"),
    )
    assert (known.started_at, known.heartbeat_at, known.lease_until, known.stopped_at) == (
        *(ledger.now, ledger.now, ledger.at(seconds=30), None),
    )


def test_a_heartbeat_renews_the_lease(ledger: Any) -> None:
    owner, other = ledger.engine(), ledger.engine()
    ledger.later(seconds=10)
    assert ledger.store.write(instances.heartbeat, owner, ledger.now, ledger.at(seconds=30))
    mine, theirs = ledger.store.read(instances.living)
    assert (mine.heartbeat_at, mine.lease_until) == (ledger.now, ledger.at(seconds=30))
    assert (theirs.id, theirs.lease_until) == (other, ledger.at(seconds=20))


def test_a_retired_engine_can_not_renew_its_lease(ledger: Any) -> None:
    owner = ledger.engine()
    ledger.store.write(instances.retire, owner, ledger.now)
    assert not ledger.store.write(instances.heartbeat, owner, ledger.now, ledger.at(seconds=30))
    assert not ledger.store.write(instances.heartbeat, 99, ledger.now, ledger.at(seconds=30))
    assert ledger.store.read(instances.living) == []


def test_an_engine_retires_once(ledger: Any) -> None:
    owner = ledger.engine()
    ledger.store.write(instances.retire, owner, ledger.now)
    ledger.store.write(instances.retire, owner, ledger.at(hours=1))

    def stopped(connection: Any) -> Any:
        return connection.exec_driver_sql("SELECT stopped_at FROM instances").scalar()

    assert ledger.store.read(stopped) == int(ledger.now.timestamp() * 1_000_000)


def test_a_new_engine_has_a_new_id(ledger: Any) -> None:
    first = ledger.engine()
    ledger.store.write(instances.retire, first, ledger.now)
    assert ledger.engine() > first


def test_what_a_stopped_engine_still_holds_is_found_until_it_is_settled(ledger: Any) -> None:
    dead, living = ledger.engine(), ledger.engine()
    run, _ = ledger.running(dead), ledger.running(living)
    assert ledger.store.read(instances.orphan_owners) == []
    ledger.store.write(instances.retire, dead, ledger.now)
    assert ledger.store.read(instances.orphan_owners) == [dead]
    assert [one.id for one in ledger.store.read(queries.running_of, [dead], 10)] == [run.id]
    ledger.end(run, dead, RunState.QUEUED)
    assert ledger.store.read(instances.orphan_owners) == []


def test_a_dead_engine_s_run_is_recovered_once(ledger: Any) -> None:
    dead = ledger.engine()
    run = ledger.running(dead)
    ledger.store.write(instances.retire, dead, ledger.now)
    assert ledger.end(run, dead, RunState.QUEUED).states == {run.id: RunState.QUEUED}
    assert ledger.end(run, dead, RunState.FAILED).states == {}
