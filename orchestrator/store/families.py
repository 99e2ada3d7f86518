"""Which runs belong to a run? Of a workflow, those of its steps, and of the workflows among them, theirs."""

from __future__ import annotations

from sqlalchemy import Select, select

from orchestrator.store.tables import runs


def family_of(run_id: int) -> Select[tuple[int]]:
    """The ids of the run and of all that belong to it. Served by `runs_flow`."""
    family = select(runs.c.id).where(runs.c.id == run_id).cte(recursive=True)
    family = family.union_all(select(runs.c.id).join(family, runs.c.flow_id == family.c.id))
    return select(family.c.id)
