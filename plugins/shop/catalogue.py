"""The product catalogue of a supplier: its pages, checked, and how they come into our table."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, Field, ValidationError
from sqlalchemy import Connection, Engine, Table, and_, delete, func, not_, select, update

from orchestrator import GiveUp
from shop.database import upsert
from shop.schema import products, sync_pages
from shop.sources import fetch, next_page

if TYPE_CHECKING:
    import httpx


class Product(BaseModel):
    """A product as the source describes it."""

    sku: Annotated[str, Field(min_length=1, max_length=50)]
    name: str
    category: str
    price_cents: Annotated[int, Field(ge=0)]
    stock: Annotated[int, Field(ge=0)]


class Listing(BaseModel):
    """A page of the source; `next` links to the one behind it."""

    products: list[Product]
    next: str | None = None


@dataclass(frozen=True)
class Page:
    """A page that was fetched; `products` is None if it is unchanged since it was stored."""

    url: str
    etag: str | None
    next_url: str | None
    products: list[Product] | None


def fetch_pages(db: Engine, http: httpx.Client, source: str, max_pages: int) -> list[Page]:
    """Read all pages, asking for each only if it has changed. Nothing is written."""
    with db.connect() as connection:
        known = {row.url: row for row in connection.execute(select(sync_pages))}
    pages: dict[str, Page] = {}
    url: str | None = source
    while url is not None:
        if url in pages or len(pages) >= max_pages:
            raise GiveUp(f"{source} has no end: {url} came twice" if url in pages else f"more than {max_pages} pages")
        pages[url] = _fetch_page(http, url, known.get(url))
        url = pages[url].next_url
    return list(pages.values())


def _fetch_page(http: httpx.Client, url: str, known: Any) -> Page:
    answer = fetch(http, url, known.etag if known else None)
    if answer.unchanged:
        return Page(url, known.etag, known.next_url, None)
    try:
        listing = Listing.model_validate(answer.data)
    except ValidationError as error:
        raise GiveUp(f"{url} is not a page of products: {error}") from None
    link = listing.next or answer.next_link
    return Page(url, answer.etag, next_page(url, link) if link else None, listing.products)


def store_pages(connection: Connection, db: Engine, pages: list[Page], now: datetime) -> dict[str, int]:
    """Bring the tables in line with the pages, within the caller's transaction."""
    rows = {
        product.sku: {**product.model_dump(), "page": page.url, "seen_at": now, "gone_at": None}
        for page in pages
        for product in page.products or ()
    }
    _store(connection, db, products, list(rows.values()))
    unchanged = [page.url for page in pages if page.products is None]
    still_listed = products.c.page.is_not(None) & products.c.page.in_(unchanged)
    missing = and_(products.c.gone_at.is_(None), products.c.seen_at != now, not_(still_listed))
    gone = connection.execute(update(products).where(missing).values(gone_at=now)).rowcount
    # Pages are remembered with what they held. One that is no longer linked to is forgotten with its products.
    connection.execute(delete(sync_pages))
    _store(connection, db, sync_pages, [{"url": p.url, "etag": p.etag, "next_url": p.next_url} for p in pages])
    return {"pages": len(pages), "unchanged_pages": len(unchanged), "stored": len(rows), "gone": gone}


def _store(connection: Connection, db: Engine, table: Table, rows: list[dict[str, Any]]) -> None:
    """Insert rows, or update those that exist."""
    if not rows:
        return
    key = table.primary_key.columns.values()[0].name
    insert = upsert(db, table)
    new = {name: insert.excluded[name] for name in rows[0] if name != key}
    connection.execute(insert.on_conflict_do_update(index_elements=[key], set_=new), rows)


def count_products(connection: Connection) -> int:
    """How many products are on sale."""
    return connection.execute(
        select(func.count()).select_from(products).where(products.c.gone_at.is_(None))
    ).scalar_one()
