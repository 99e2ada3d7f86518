"""Keeps the table `products` like a supplier's catalogue, which is read page by page from a web address or a file."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from shop.catalogue import count_products, fetch_pages, store_pages

from orchestrator import Context, GiveUp, job

if TYPE_CHECKING:
    import httpx
    from sqlalchemy import Engine


@job(isolation="thread")
def sync_products(
    db: Engine, http: httpx.Client, ctx: Context, source: str, max_pages: int = 1000, max_gone: float = 0.5
) -> dict[str, Any]:
    """Update what changed, add what is new, mark what is no longer listed.

    All pages are read before the first row is written, in one transaction: a failure half-way leaves the table as it
    was. A catalogue that suddenly lacks more than `max_gone` of the products is not believed.
    """
    pages = fetch_pages(db, http, source, max_pages)
    with db.connect() as connection:
        before = count_products(connection)
    with db.begin() as connection:
        figures = store_pages(connection, db, pages, datetime.now(UTC))
        if figures["gone"] > max(1, before * max_gone):
            raise GiveUp(f"{figures['gone']} of {before} products are missing from {source}: is it complete?")
    ctx.log.info("%(stored)d stored, %(gone)d gone, %(unchanged_pages)d of %(pages)d pages unchanged", figures)
    return figures
