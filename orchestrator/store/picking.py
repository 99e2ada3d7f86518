"""Which of the queued runs come next: by rank (priority and age), as far as queues and jobs have room."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection, Select, and_, or_, select

from orchestrator.store.batching import fill
from orchestrator.store.candidates import CANDIDATE, Candidate, ClaimRequest, Lane, fetch, in_line
from orchestrator.store.families import family_of
from orchestrator.store.pauses import Paused
from orchestrator.store.room import Room
from orchestrator.store.starts import WHOLE_QUEUE, note_starts
from orchestrator.store.states import is_queued, is_scheduled
from orchestrator.store.tables import runs
from orchestrator.store.turns import Round

LOOK_AT = 100
"""Candidates looked at together, at least: jobs at their limit may stand in front, one run of each."""


class Picked(NamedTuple):
    """The runs to claim; when rates let more start of what they hold back; whose turn it was last in each lane; and,
    by the first of each, which of the runs are claimed together."""

    runs: list[Candidate]
    next_start: datetime | None
    turns: dict[Lane, str]
    batches: dict[int, tuple[int, ...]]


def pick(connection: Connection, request: ClaimRequest, paused: Paused) -> Picked:
    """The runs to claim now. Starts that count for a rate are logged."""
    if request.only_run is not None:
        only = _pick_only(connection, request, request.only_run)
        if not only and request.step_reads:
            only = _steps_of(connection, request, request.only_run)
        return Picked(only, None, {}, {})
    room = Room(connection, request)
    queues = [queue for queue in request.queues if queue not in paused.queues]
    picked: list[Candidate] = []
    turns: dict[Lane, str] = {}
    batches: dict[int, tuple[int, ...]] = {}
    for isolation, capacity in request.capacity.items():
        left = capacity
        for position, queue in enumerate(queues):
            # Each queue is offered an even share of what is left, so that none starves behind a long one.
            share = min(-(-left // (len(queues) - position)), room.in_queue(queue))
            lane = (queue, isolation)
            if queue in room.keys:
                turn = Round(connection, request, lane, room, paused.jobs)
                taken = turn.take(share)
                turns.update({lane: turn.last} if turn.last is not None else {})
            else:
                taken = _take(connection, in_line(lane, request.now), share, room, paused.jobs)
            calls = taken
            if taken and request.batches:
                taken, together = fill(connection, request, lane, taken)
                members = {run_id for run_ids in together.values() for run_id in run_ids[1:]}
                calls = [row for row in taken if row.id not in members]
                batches |= together
            room.count(queue, calls)
            picked += taken
            left -= len(calls)
    return Picked(picked, room.write(), turns, batches)


def _take(
    connection: Connection, line: Select[tuple[object, ...]], wanted: int, room: Room, paused: Sequence[str]
) -> list[Candidate]:
    """The first `wanted` runs of a lane whose jobs have room."""
    picked: list[Candidate] = []
    barred = list(paused)
    while (missing := wanted - len(picked)) > 0:
        rest = line.limit(max(missing, LOOK_AT))
        if barred:
            rest = rest.where(runs.c.job.not_in(barred))
        if picked:
            rest = rest.where(runs.c.id.not_in([row.id for row in picked]))
        candidates = fetch(connection, rest)
        refused = set()
        for row in candidates:
            if len(picked) == wanted:
                return picked
            if room.admit(row.job):
                picked.append(row)
            else:
                refused.add(row.job)
        if len(candidates) < max(missing, LOOK_AT) or not refused:
            break
        # Jobs at their limit stood in front: look past them. Barring every such job from the start would cost more.
        barred += refused
    return picked


def _steps_of(connection: Connection, request: ClaimRequest, flow_id: int) -> list[Candidate]:
    """What may start of one workflow, and of those inside it."""
    picked: list[Candidate] = []
    for isolation, capacity in request.capacity.items():
        lane = CANDIDATE.where(is_queued, runs.c.isolation == isolation.value, runs.c.flow_id.in_(family_of(flow_id)))
        picked += fetch(connection, lane.order_by(runs.c.rank, runs.c.id).limit(capacity))
    return picked


def _pick_only(connection: Connection, request: ClaimRequest, run_id: int) -> list[Candidate]:
    """One run, whatever stands before it; others shall know of the start where a rate limits theirs."""
    ready = or_(is_queued, and_(is_scheduled, runs.c.attempt == 0))
    picked = fetch(connection, CANDIDATE.where(runs.c.id == run_id, ready))
    if picked and request.ruled and picked[0].job not in request.workerless:
        name, key = connection.execute(select(runs.c.queue, runs.c.group_key).where(runs.c.id == run_id)).one()
        queue = request.ruled.get(name)
        if queue is not None and queue.rate_limit is not None:
            note_starts(connection, name, {WHOLE_QUEUE: 1}, queue.rate_limit, request.now)
        if key and queue is not None and queue.per_key is not None and queue.per_key.rate_limit is not None:
            note_starts(connection, name, {key: 1}, queue.per_key.rate_limit, request.now)
    return picked
