"""Weekly and monthly reports: figures from the database, as a page with a chart that is filed and mailed."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jinja2
from shop.archive import replaced
from shop.figures import Figures, figures_of
from shop.letters import enqueue
from shop.periods import Period, month_before, week_before
from sqlalchemy import Engine

from orchestrator import Context, job

_ENVIRONMENT = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).with_name("templates")),
    autoescape=jinja2.select_autoescape(["html.j2"]),
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


@job
def weekly(db: Engine, ctx: Context, to: str, folder: Path = Path("var/reports")) -> dict[str, Any]:
    """Report on the week, Monday to Sunday, before the fire time."""
    period = week_before(_asked_at(ctx), ctx.timezone)
    previous = week_before(period.bounds[0], ctx.timezone)
    return _report(db, ctx, "weekly", period, previous, to, folder)


@job
def monthly(db: Engine, ctx: Context, to: str, folder: Path = Path("var/reports")) -> dict[str, Any]:
    """Report on the month before the fire time."""
    period = month_before(_asked_at(ctx), ctx.timezone)
    previous = month_before(period.bounds[0], ctx.timezone)
    return _report(db, ctx, "monthly", period, previous, to, folder)


def _asked_at(ctx: Context) -> datetime:
    """The fire time, not now: a run that is caught up on a Tuesday, or retried, reports on the same week."""
    return ctx.fire_time or datetime.now(UTC)


def _report(
    db: Engine, ctx: Context, kind: str, period: Period, previous: Period, to: str, folder: Path
) -> dict[str, Any]:
    figures = figures_of(db, period, previous)
    html = _render("report.html.j2", kind, period, figures)
    file = folder / f"{kind}-{period.name}.html"
    with replaced(file) as target:
        target.write(html.encode())
    # The key makes it one mail for each period and receiver, however often the report is made.
    email_id = enqueue(
        db,
        key=f"report/{kind}/{period.name}/{to}",
        to=to,
        subject=f"{kind.capitalize()} report: {period.title}",
        body=_render("report.txt.j2", kind, period, figures),
        html=html,
    )
    ctx.log.info("%s: %d orders, %.2f euros; filed as %s", period.title, figures.orders, figures.revenue, file)
    return {"period": period.name, "orders": figures.orders, "file": str(file), "email_id": email_id}


def _render(template: str, kind: str, period: Period, figures: Figures) -> str:
    highest = max((day.revenue for day in figures.days), default=0.0)
    return _ENVIRONMENT.get_template(template).render(kind=kind, period=period, figures=figures, highest=highest)
