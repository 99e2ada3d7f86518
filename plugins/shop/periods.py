"""Which day, week or month does a report speak of, and when do its days begin in the shop's timezone?"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo


@dataclass(frozen=True)
class Period:
    """Whole days, from `first` until the day before `end`."""

    name: str
    title: str
    first: date
    end: date
    zone: ZoneInfo

    @property
    def days(self) -> list[date]:
        """Its days in order."""
        return [self.first + timedelta(days=n) for n in range((self.end - self.first).days)]

    @property
    def bounds(self) -> tuple[datetime, datetime]:
        """When it begins, and when it is over."""
        return self.midnight(self.first), self.midnight(self.end)

    def midnight(self, day: date) -> datetime:
        """When a day begins. Days are 23 or 25 hours long where clocks change, so this is asked for every day."""
        return datetime.combine(day, time(), tzinfo=self.zone).astimezone(UTC)


def day_of(day: date, zone: ZoneInfo) -> Period:
    """One day."""
    return Period(day.isoformat(), f"{day:%d %B %Y}", day, day + timedelta(days=1), zone)


def week_before(moment: datetime, zone: ZoneInfo) -> Period:
    """The last whole week, Monday to Sunday."""
    today = moment.astimezone(zone).date()
    return week_of(today - timedelta(days=7), zone)


def week_of(day: date, zone: ZoneInfo) -> Period:
    """The week that a day is in."""
    monday = day - timedelta(days=day.weekday())
    year, week, _ = monday.isocalendar()
    return Period(f"{year}-W{week:02}", f"Week {week} of {year}", monday, monday + timedelta(days=7), zone)


def month_before(moment: datetime, zone: ZoneInfo) -> Period:
    """The last whole month."""
    this_month = moment.astimezone(zone).date().replace(day=1)
    return month_of(this_month - timedelta(days=1), zone)


def month_of(day: date, zone: ZoneInfo) -> Period:
    """The month that a day is in."""
    first = day.replace(day=1)
    end = (first + timedelta(days=32)).replace(day=1)
    return Period(f"{first:%Y-%m}", f"{first:%B %Y}", first, end, zone)
