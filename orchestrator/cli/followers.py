"""What does the end of a run fire, when a person ends it? What jobs.yaml says now."""

from __future__ import annotations

import sys
from datetime import datetime
from typing import TYPE_CHECKING

from orchestrator.client.place import Place
from orchestrator.core.errors import OrchestratorError
from orchestrator.core.runs import RunState

if TYPE_CHECKING:
    from orchestrator.store.following import Followers


def followers_of(place: Place, state: RunState, now: datetime) -> Followers:
    """What the end of a run in that state fires. A configuration that can't be read must not keep a run from being
    cancelled: then nothing follows, and that is told."""
    from orchestrator.client.compile import load_project
    from orchestrator.engine.newruns import Followers
    from orchestrator.store.following import nothing_follows

    try:
        plan = load_project(place.required_config(), inspect=False).plan
    except OrchestratorError:
        plan = None
    if plan is None:
        print(f"warning: {place.config} can't be used, so nothing follows a run that hasn't started", file=sys.stderr)
        return nothing_follows
    followers = Followers(plan)
    return lambda job: followers.of(job, state, now)
