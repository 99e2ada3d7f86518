"""The catalogue in the database becomes what the source says, page by page or not at all."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from example_servers import Reply, Request, WebServer
from example_shop import DATA, Shop, context

from orchestrator import GiveUp, Retry


def product(sku: str, price: int = 100) -> dict[str, Any]:
    return {"sku": sku, "name": f"Product {sku}", "category": "Test", "price_cents": price, "stock": 1}


class Catalogue:
    """A supplier's API: pages by path, with ETags of their content."""

    def __init__(self, web: WebServer) -> None:
        self.pages: dict[str, dict[str, Any]] = {}
        self.url = f"{web.url}/products"
        web.answer = self._answer
        self._web = web

    def _answer(self, request: Request) -> Reply:
        page = self.pages.get(request.path)
        if page is None:
            return Reply(404)
        body = json.dumps(page).encode()
        etag = f'"{hash(body)}"'
        if request.headers.get("if-none-match") == etag:
            return Reply(304, headers={"ETag": etag})
        return Reply(200, body, {"ETag": etag})

    @property
    def answers(self) -> list[str]:
        return [request.path for request in self._web.requests]


@pytest.fixture
def catalogue(web: WebServer) -> Catalogue:
    catalogue = Catalogue(web)
    catalogue.pages = {
        "/products": {"products": [product("A"), product("B")], "next": "/products?page=2"},
        "/products?page=2": {"products": [product("C")], "next": None},
    }
    return catalogue


def sync(shop: Shop, source: str, **params: Any) -> dict[str, int]:
    with httpx.Client(timeout=5) as http:
        return shop.sync.sync_products(shop.db, http, context(), source, **params)


def on_sale(shop: Shop) -> dict[str, int]:
    return {row.sku: row.price_cents for row in shop.rows(shop.schema.products) if row.gone_at is None}


def test_all_pages_are_read(shop: Shop, catalogue: Catalogue) -> None:
    assert sync(shop, catalogue.url) == {"pages": 2, "unchanged_pages": 0, "stored": 3, "gone": 0}
    assert on_sale(shop) == {"A": 100, "B": 100, "C": 100}


def test_pages_may_be_linked_by_a_header(shop: Shop, web: WebServer) -> None:
    def answer(request: Request) -> Reply:
        if "page=2" in request.path:
            return Reply(200, json.dumps({"products": [product("B")]}).encode())
        return Reply(200, json.dumps({"products": [product("A")]}).encode(), {"Link": '</p?page=2>; rel="next"'})

    web.answer = answer
    assert sync(shop, f"{web.url}/p")["pages"] == 2
    assert on_sale(shop) == {"A": 100, "B": 100}


def test_unchanged_pages_are_not_sent_again_and_keep_their_products(shop: Shop, catalogue: Catalogue) -> None:
    sync(shop, catalogue.url)
    before = shop.rows(shop.schema.products)
    assert sync(shop, catalogue.url) == {"pages": 2, "unchanged_pages": 2, "stored": 0, "gone": 0}
    assert shop.rows(shop.schema.products) == before


def test_a_second_sync_of_the_same_changes_nothing_even_without_etags(shop: Shop, catalogue: Catalogue) -> None:
    sync(shop, catalogue.url)
    shop.change(shop.schema.sync_pages.delete())
    assert sync(shop, catalogue.url)["gone"] == 0
    assert on_sale(shop) == {"A": 100, "B": 100, "C": 100}


def test_prices_change_products_go_and_come_back(shop: Shop, catalogue: Catalogue) -> None:
    sync(shop, catalogue.url)
    catalogue.pages["/products"]["products"] = [product("A", 250)]
    assert sync(shop, catalogue.url) == {"pages": 2, "unchanged_pages": 1, "stored": 1, "gone": 1}
    assert on_sale(shop) == {"A": 250, "C": 100}
    assert len(shop.rows(shop.schema.products)) == 3

    catalogue.pages["/products"]["products"] = [product("A", 250), product("B", 90)]
    sync(shop, catalogue.url)
    assert on_sale(shop) == {"A": 250, "B": 90, "C": 100}


def test_a_product_that_moves_to_another_page_stays(shop: Shop, catalogue: Catalogue) -> None:
    sync(shop, catalogue.url)
    catalogue.pages["/products"]["products"] = [product("A")]
    catalogue.pages["/products?page=2"]["products"] = [product("B"), product("C")]
    assert sync(shop, catalogue.url)["gone"] == 0
    assert on_sale(shop) == {"A": 100, "B": 100, "C": 100}


def test_a_page_that_is_dropped_and_comes_back_unchanged_brings_its_products_back(
    shop: Shop, catalogue: Catalogue
) -> None:
    sync(shop, catalogue.url)
    catalogue.pages["/products"]["next"] = None
    assert sync(shop, catalogue.url)["gone"] == 1
    catalogue.pages["/products"]["next"] = "/products?page=2"
    sync(shop, catalogue.url)
    assert on_sale(shop) == {"A": 100, "B": 100, "C": 100}


@pytest.mark.parametrize(
    ("status", "error"), [(500, httpx.HTTPStatusError), (503, Retry), (429, Retry), (404, GiveUp), (401, GiveUp)]
)
def test_a_failure_on_the_second_page_leaves_everything_as_it_was(
    shop: Shop, catalogue: Catalogue, web: WebServer, status: int, error: type[Exception]
) -> None:
    sync(shop, catalogue.url)
    before = shop.rows(shop.schema.products), shop.rows(shop.schema.sync_pages)
    catalogue.pages["/products"]["products"] = [product("A", 999)]
    normal = web.answer
    web.answer = lambda request: Reply(status) if "page=2" in request.path else normal(request)
    with pytest.raises(error):
        sync(shop, catalogue.url)
    assert (shop.rows(shop.schema.products), shop.rows(shop.schema.sync_pages)) == before


@pytest.mark.parametrize("header", ["120", "Wed, 01 Jan 2200 00:00:00 GMT"])
def test_a_source_that_asks_for_patience_gets_it(shop: Shop, web: WebServer, header: str) -> None:
    web.answer = lambda _: Reply(429, headers={"Retry-After": header})
    with pytest.raises(Retry) as asked:
        sync(shop, web.url)
    assert asked.value.delay == {"120": 120.0}.get(header, 3600.0)


@pytest.mark.parametrize("header", [None, "", "soon", "-5"])
def test_a_retry_after_that_says_nothing_leaves_the_pause_to_the_policy(shop: Shop, header: str | None) -> None:
    assert shop.sources.retry_after(header) is None


def test_a_source_that_is_down_or_breaks_off_raises_for_the_retry_policy(shop: Shop, web: WebServer) -> None:
    web.answer = lambda _: Reply(200, b'{"products": [')
    with pytest.raises(ValueError, match="Expecting"):
        sync(shop, web.url)
    with WebServer() as gone:
        pass
    with pytest.raises(httpx.TransportError):
        sync(shop, gone.url)


@pytest.mark.parametrize(
    "page",
    [
        [],
        {"products": [{"sku": "A"}]},
        {"products": [{**product("A"), "price_cents": -1}]},
        {"products": "none", "next": None},
    ],
)
def test_what_is_no_catalogue_is_given_up_with_a_reason(shop: Shop, web: WebServer, page: Any) -> None:
    web.answer = lambda _: Reply(200, json.dumps(page).encode())
    with pytest.raises(GiveUp, match="is not a page of products"):
        sync(shop, web.url)


def test_a_circle_of_pages_ends(shop: Shop, catalogue: Catalogue) -> None:
    catalogue.pages["/products?page=2"]["next"] = "/products"
    with pytest.raises(GiveUp, match="came twice"):
        sync(shop, catalogue.url)
    with pytest.raises(GiveUp, match="more than 1 pages"):
        sync(shop, catalogue.url, max_pages=1)


@pytest.mark.parametrize("link", ["http://127.0.0.1:1/x", "file:///etc/passwd", "//example.com/x", "ftp://x/y"])
def test_a_link_to_another_place_is_not_followed(shop: Shop, web: WebServer, link: str) -> None:
    web.answer = lambda _: Reply(200, json.dumps({"products": [], "next": link}).encode())
    with pytest.raises(GiveUp, match="somewhere else"):
        sync(shop, web.url)


@pytest.mark.parametrize("link", ["../secret.json", "/etc/passwd", "file:///etc/passwd"])
def test_a_file_links_to_its_own_folder_only(shop: Shop, link: str) -> None:
    (shop.folder / "pages").mkdir()
    (shop.folder / "pages/p.json").write_text(json.dumps({"products": [], "next": link}))
    with pytest.raises(GiveUp, match="somewhere else"):
        sync(shop, "pages/p.json")


def test_a_catalogue_that_lost_most_products_is_not_believed(shop: Shop, catalogue: Catalogue) -> None:
    sync(shop, catalogue.url)
    catalogue.pages["/products"] = {"products": []}
    with pytest.raises(GiveUp, match="3 of 3 products are missing"):
        sync(shop, catalogue.url)
    assert len(on_sale(shop)) == 3


@pytest.mark.parametrize("form", ["{}", "file:{}", "file://{}"])
def test_the_file_that_comes_with_the_example_has_pages_and_etags(shop: Shop, form: str) -> None:
    source = form.format(DATA / "products.json")
    first = sync(shop, source)
    assert first == {"pages": 2, "unchanged_pages": 0, "stored": 24, "gone": 0}
    assert sync(shop, source)["unchanged_pages"] == 2


def test_a_missing_file_is_given_up(shop: Shop) -> None:
    with pytest.raises(GiveUp, match="can't be read"):
        sync(shop, "nowhere.json")
