"""What follows the end of a workflow: runs and reactions that were settled when it began, brought up to date."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Connection

from orchestrator.core.hooks import EVENT
from orchestrator.core.runs import RunState
from orchestrator.store.creation import Created, NewRun, create_runs
from orchestrator.store.flow_rows import load_followers, load_reaction
from orchestrator.store.flow_starts import shift
from orchestrator.store.reactions import Ended, Reaction, Response, react


def follow_flow(
    connection: Connection, flow_id: int, state: RunState, reason: str | None, now: datetime
) -> list[Created]:
    """Create the runs that follow, and do what the job's hooks want."""
    new = [
        msgspec.structs.replace(shift(run, now), parent_id=flow_id)
        for run in load_followers(connection, flow_id, state)
    ]
    reaction = load_reaction(connection, flow_id, state)
    if reaction is not None:
        end = Ended(run_id=flow_id, state=state, reaction=_present(reaction, reason, now))
        new += react(connection, [end], now)
    return create_runs(connection, new) if new else []


def _present(reaction: Reaction, reason: str | None, now: datetime) -> Reaction:
    changed = {"now": reaction.now, "recovered": reaction.recovered}
    return msgspec.structs.replace(
        reaction, **{name: _response(response, reason, now) for name, response in changed.items()}
    )


def _response(response: Response, reason: str | None, now: datetime) -> Response:
    notices = [
        msgspec.structs.replace(
            notice,
            event=msgspec.structs.replace(notice.event, **_news(reason, now)),
            channel=msgspec.structs.replace(notice.channel, delivery=shift(notice.channel.delivery, now)),
        )
        for notice in response.notices
    ]
    return Response(runs=tuple(_run(run, reason, now) for run in response.runs), notices=tuple(notices))


def _run(run: NewRun, reason: str | None, now: datetime) -> NewRun:
    params = run.params or {}
    if isinstance(event := params.get(EVENT), dict):
        params = {**params, EVENT: {**event, **_news(reason, now)}}
    return msgspec.structs.replace(shift(run, now), params=params or None)


def _news(reason: str | None, now: datetime) -> dict[str, Any]:
    return {"at": now.isoformat(), "finished_at": now.isoformat(), "reason": reason}
