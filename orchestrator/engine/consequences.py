"""What may follow from the end of a run, by a plan: the jobs that come after, and the hooks."""

from __future__ import annotations

from orchestrator.core.plan import Plan
from orchestrator.engine.hooks import Hooks
from orchestrator.engine.newruns import Followers


class Consequences:
    """Made once for a plan."""

    def __init__(self, plan: Plan) -> None:
        self.followers = Followers(plan)
        self.hooks = Hooks(plan)
