"""Reports speak of the whole week or month before, show a chart, and are mailed once for each period."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from example_shop import Shop, context
from hypothesis import given
from hypothesis import strategies as st

BERLIN = ZoneInfo("Europe/Berlin")
MONDAY = datetime(2025, 4, 7, 9, tzinfo=BERLIN)


@pytest.fixture
def sold(shop: Shop) -> None:
    """Two orders in the week of 31 March 2025, at its very first and last moment, and one on either side."""
    shop.insert(
        shop.schema.products,
        {
            "sku": "A",
            "name": "Tea & <Biscuits>",
            "category": "Tea",
            "price_cents": 1,
            "stock": 1,
            "seen_at": datetime.now(UTC),
        },
    )
    first = datetime(2025, 3, 31, tzinfo=BERLIN)
    moments = (
        first - timedelta(seconds=1),
        first,
        datetime(2025, 4, 6, 23, 59, 59, tzinfo=BERLIN),
        datetime(2025, 4, 7, tzinfo=BERLIN),
    )
    for number, (moment, cents) in enumerate(zip(moments, (5_000, 10_000, 20_000, 40_000), strict=True), start=1):
        order = {"id": number, "placed_at": moment, "sku": "A", "quantity": 1, "unit_price_cents": 1, "currency": "EUR"}
        shop.insert(shop.schema.orders, order)
        shop.insert(shop.schema.order_totals, {"order_id": number, "total_eur_cents": cents, "rate": 1.0})


def weekly(shop: Shop, at: datetime = MONDAY) -> dict[str, object]:
    return shop.reports.weekly(shop.db, context(fire_time=at.astimezone(UTC)), "boss@shop.example")


def chart(html: str) -> ET.Element:
    return ET.fromstring(html[html.index("<svg") : html.index("</svg>") + 6])


@pytest.mark.usefixtures("sold")
def test_the_weekly_report_holds_the_local_week_before(shop: Shop) -> None:
    result = weekly(shop)
    assert (result["period"], result["orders"]) == ("2025-W14", 2)
    html = Path("var/reports/weekly-2025-W14.html").read_text()
    assert "300.00 EUR" in html
    assert "+500.0 % on the period before" in html
    assert "Tea &amp; &lt;Biscuits&gt;" in html
    assert "<Biscuits>" not in html


@pytest.mark.usefixtures("sold")
def test_the_chart_has_a_bar_for_each_day_as_tall_as_its_revenue(shop: Shop) -> None:
    weekly(shop)
    svg = chart(Path("var/reports/weekly-2025-W14.html").read_text())
    bars = [float(bar.attrib["height"]) for bar in svg.iter("{http://www.w3.org/2000/svg}rect")]
    assert bars == [90, 0, 0, 0, 0, 0, 180]


@pytest.mark.usefixtures("sold")
def test_a_report_is_queued_as_one_mail_however_often_it_is_made(shop: Shop) -> None:
    assert weekly(shop)["email_id"] == weekly(shop, MONDAY + timedelta(days=3))["email_id"]
    (mail,) = shop.rows(shop.schema.emails)
    assert (mail.recipient, mail.subject) == ("boss@shop.example", "Weekly report: Week 14 of 2025")
    assert "300.00 EUR (+500.0 % on the period before)" in mail.body
    assert "Tea & <Biscuits>" in mail.body
    assert mail.html == Path("var/reports/weekly-2025-W14.html").read_text()
    weekly(shop, MONDAY + timedelta(days=7))
    assert len(shop.rows(shop.schema.emails)) == 2


@pytest.mark.usefixtures("sold")
def test_the_queued_report_is_a_message_that_can_be_sent(shop: Shop) -> None:
    weekly(shop)
    shop.mail.process_queue(shop.db, shop.transports.open_transport("maildir:var/maildir"), context())
    assert [row.status for row in shop.rows(shop.schema.emails)] == ["sent"]


@pytest.mark.usefixtures("sold")
def test_the_monthly_report_holds_the_month_before(shop: Shop) -> None:
    first_of_april = datetime(2025, 4, 1, 8, tzinfo=BERLIN).astimezone(UTC)
    result = shop.reports.monthly(shop.db, context(fire_time=first_of_april), "boss@shop.example")
    assert (result["period"], result["orders"]) == ("2025-03", 2)
    html = Path("var/reports/monthly-2025-03.html").read_text()
    assert "March 2025" in html
    assert len(list(chart(html).iter("{http://www.w3.org/2000/svg}rect"))) == 31


def test_a_week_without_orders_has_a_report_too(shop: Shop) -> None:
    assert weekly(shop)["orders"] == 0
    assert "Nothing was sold." in Path("var/reports/weekly-2025-W14.html").read_text()


@given(
    day=st.dates(date(1990, 1, 1), date(2090, 1, 1)), zone=st.sampled_from(["Europe/Berlin", "America/Havana", "UTC"])
)
def test_periods_are_whole_and_follow_each_other_without_gaps(day: date, zone: str) -> None:
    from shop.periods import month_before, month_of, week_before, week_of

    for of, before in ((week_of, week_before), (month_of, month_before)):
        period = of(day, ZoneInfo(zone))
        assert period.first <= day < period.end
        assert of(period.end, ZoneInfo(zone)).first == period.end
        assert before(period.bounds[1], ZoneInfo(zone)) == period
        assert period.days[0] == period.first
        assert period.days[-1] + timedelta(days=1) == period.end
