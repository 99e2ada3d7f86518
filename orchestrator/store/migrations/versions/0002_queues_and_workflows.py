"""What queues and workflows need of a run: its rank, its keys, when it expires, which step it is. And backfills, notices, alerts."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_AGING = 300_000_000
"""Microseconds: what one level of priority weighs by default."""


def _where(condition: str) -> dict[str, Any]:
    return {"sqlite_where": sa.text(condition), "postgresql_where": sa.text(condition)}


def upgrade() -> None:
    op.add_column("runs", sa.Column("rank", sa.BigInteger(), nullable=False, server_default="0"))
    op.add_column("runs", sa.Column("group_key", sa.Text(), nullable=True))
    op.add_column("runs", sa.Column("unique_key", sa.Text(), nullable=True))
    op.add_column("runs", sa.Column("unique_until", sa.BigInteger(), nullable=True))
    op.add_column("runs", sa.Column("expires_at", sa.BigInteger(), nullable=True))
    op.add_column("runs", sa.Column("time_limit", sa.BigInteger(), nullable=True))
    op.add_column("runs", sa.Column("flow_id", sa.BigInteger(), nullable=True))
    op.add_column("runs", sa.Column("step", sa.Text(), nullable=True))
    op.add_column("runs", sa.Column("item_index", sa.Integer(), nullable=True))
    op.add_column("runs", sa.Column("item", sa.Text(), nullable=True))
    op.add_column("runs", sa.Column("batch_id", sa.BigInteger(), nullable=True))
    op.add_column("runs", sa.Column("is_superseded", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.drop_index("runs_parent", "runs")
    follows: dict[str, Any] = {
        "sqlite_where": sa.text("parent_id IS NOT NULL AND is_superseded IS 0"),
        "postgresql_where": sa.text("parent_id IS NOT NULL AND is_superseded IS false"),
    }
    op.create_index("runs_parent", "runs", ["parent_id", "job"], unique=True, **follows)
    op.add_column("runs", sa.Column("result_files", sa.Text(), nullable=True))
    op.execute("UPDATE runs SET time_limit = deadline_at - created_at WHERE deadline_at IS NOT NULL")
    op.execute(f"UPDATE runs SET rank = due_at - priority * {_AGING}")
    op.drop_index("runs_running", "runs")
    op.create_index("runs_running", "runs", ["owner", "queue", "job", "batch_id"], unique=False, **_where("state = 'running'"))
    op.drop_index("runs_claimable", "runs")
    op.create_index("runs_claimable", "runs", ["queue", "isolation", "rank", "id", "job"], unique=False, **_where("state = 'queued'"))
    op.create_index(
        "runs_expiring", "runs", ["expires_at"], unique=False, **_where("expires_at IS NOT NULL AND finished_at IS NULL")
    )
    holds_key = "unique_key IS NOT NULL AND (finished_at IS NULL OR unique_until IS NOT NULL)"
    op.create_index("runs_unique", "runs", ["job", "unique_key", "unique_until"], unique=False, **_where(holds_key))
    op.create_table(
        "flows",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("stopped", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("is_doomed", sa.Boolean(), nullable=False),
        sa.Column("followers", sa.Text(), nullable=True),
        sa.Column("reactions", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "flow_steps",
        sa.Column("flow_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("needs", sa.Text(), nullable=False),
        sa.Column("needs_any", sa.Text(), nullable=False),
        sa.Column("on_failure", sa.Text(), nullable=False),
        sa.Column("is_final", sa.Boolean(), nullable=False),
        sa.Column("has_when", sa.Boolean(), nullable=False),
        sa.Column("prepares", sa.Boolean(), nullable=False),
        sa.Column("is_many", sa.Boolean(), nullable=False),
        sa.Column("max_parallel", sa.Integer(), nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("total", sa.Integer(), nullable=True),
        sa.Column("ended", sa.Integer(), nullable=False),
        sa.Column("succeeded", sa.Integer(), nullable=False),
        sa.Column("failed", sa.Integer(), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=True),
        sa.Column("finished_at", sa.BigInteger(), nullable=True),
        sa.Column("message", sa.Text(), nullable=True),
        sa.Column("items", sa.Text(), nullable=True),
        sa.Column("templates", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("flow_id", "name"),
    )
    op.create_index("runs_flow", "runs", ["flow_id", "step", "item_index"], unique=False, **_where("flow_id IS NOT NULL"))
    op.create_index(
        "runs_turns",
        "runs",
        ["queue", "isolation", "group_key", "rank", "id", "job"],
        unique=False,
        **_where("state = 'queued' AND group_key IS NOT NULL"),
    )
    op.create_table(
        "queue_pauses",
        sa.Column("queue", sa.Text(), nullable=False),
        sa.Column("paused_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("queue"),
    )
    op.create_table(
        "starts",
        sa.Column("queue", sa.Text(), nullable=False),
        sa.Column("group_key", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("counts_until", sa.BigInteger(), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("queue", "group_key", "at"),
        sqlite_with_rowid=False,
    )
    op.create_index("starts_old", "starts", ["counts_until"], unique=False)
    op.create_table(
        "plans",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("stored_at", sa.BigInteger(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.drop_index("runs_active", "runs")
    active = "state IN ('queued', 'running', 'scheduled', 'waiting')"
    op.create_index("runs_active", "runs", ["job", "state", "cause"], unique=False, **_where(active))
    _create_backfills()
    _create_notices()
    _create_alerts()


def _create_backfills() -> None:
    op.create_table(
        "backfills",
        sa.Column("job", sa.Text(), nullable=False),
        sa.Column("max_parallel", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("job"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "backfill_runs",
        sa.Column("run_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("job", sa.Text(), nullable=False),
        sa.Column("held", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("run_id"),
    )
    op.create_index("backfill_runs_turn", "backfill_runs", ["job", "held", "run_id"], unique=False)


def _create_notices() -> None:
    op.create_table(
        "notices",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("job", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("hold_until", sa.BigInteger(), nullable=False),
        sa.Column("delivery_id", sa.BigInteger(), nullable=True),
        sa.Column("taken_at", sa.BigInteger(), nullable=True),
        sa.Column("event", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    taken = _where("delivery_id IS NOT NULL")
    op.create_index("notices_open", "notices", ["target", "hold_until"], unique=False, **_where("delivery_id IS NULL"))
    op.create_index("notices_taken", "notices", ["delivery_id"], unique=False, **taken)
    op.create_index("notices_recent", "notices", ["target", "job", "kind", "taken_at"], unique=False, **taken)


def _create_alerts() -> None:
    op.create_table(
        "alerts",
        sa.Column("job", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("run_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("job", "kind", "run_id"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "vigils",
        sa.Column("job", sa.Text(), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("succeeded_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("job"),
        sqlite_with_rowid=False,
    )
