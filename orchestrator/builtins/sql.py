"""`sql`: executes statements on a resource, all in one transaction."""

from __future__ import annotations

import sys
from typing import Annotated, Any

from orchestrator.builtins.checked import Checked
from orchestrator.builtins.transactions import on_connection, on_engine
from orchestrator.plugins.api import Context, GiveUp, ResourceName, job

Values = dict[str, Any] | list[Any]


def _statements(value: str | list[str]) -> list[str]:
    found = [value] if isinstance(value, str) else value
    if not found or not all(text.strip() for text in found):
        raise ValueError("is empty: write a statement, or a list of them")
    return found


def _limit(value: int) -> int:
    if value < 1:
        raise ValueError("is less than 1")
    return value


@job("sql")
def sql(
    resource: ResourceName,
    statement: Annotated[str | list[str], Checked(_statements, "str | list[str]")],
    ctx: Context,
    values: Values = {},  # noqa: B006 - shown to people as the default, and never changed
    limit: Annotated[int, Checked(_limit, "int")] = 1000,
) -> dict[str, Any]:
    """Execute a statement, or several, with bound `values` on a resource; all is committed at the end, or nothing.

    The resource is an SQLAlchemy engine (values by `:name`) or a DB-API connection (as its driver has it). A list of
    mappings or lists executes the statement once for each. The result has the last statement's `rows`, at most `limit`,
    and whether there were `more`; or, if none gave rows, the `rowcount` of all.
    """
    target = ctx.resource(resource)
    statements = [statement] if isinstance(statement, str) else statement
    if len(statements) > 1 and isinstance(values, list):
        raise GiveUp("several statements share one mapping of values; a list is for a single statement")
    sqlalchemy = sys.modules.get("sqlalchemy")  # who made an engine has imported it
    if sqlalchemy is not None and isinstance(target, sqlalchemy.Engine):
        answer = on_engine(target, statements, values, limit)
    elif callable(getattr(target, "cursor", None)) and callable(getattr(target, "commit", None)):
        answer = on_connection(target, statements, values, limit)
    else:
        kind = f"{type(target).__module__}.{type(target).__qualname__}"
        raise GiveUp(f"the resource {resource!r} is a {kind}, neither an SQLAlchemy engine nor a DB-API connection")
    if answer.names is None:
        return {"rowcount": answer.count}
    rows = [dict(zip(answer.names, row, strict=True)) for row in answer.rows[:limit]]
    return {"rows": rows, "more": len(answer.rows) > limit}
