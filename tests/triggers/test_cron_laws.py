"""Laws of cron fire times: what cronsim says in UTC, what the wall clock shows minute by minute elsewhere."""

# ruff: noqa: DTZ001 - hypothesis and the refusals under test take naive datetimes

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim, CronSimError
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.core.triggers import CronSpec
from orchestrator.triggers.schedules import build

MINUTE = timedelta(minutes=1)

# Instants close to a change of the clocks: forward and back, half an hour, two hours, at midnight, a whole day.
SHIFTS = {
    "Europe/Berlin": ["2026-03-29T01:00", "2026-10-25T01:00"],
    "America/New_York": ["2026-03-08T07:00", "2026-11-01T06:00"],
    "Australia/Lord_Howe": ["2026-04-04T15:00", "2026-10-03T15:30"],
    "Africa/Casablanca": ["2026-02-15T02:00", "2026-03-22T02:00"],
    "America/Sao_Paulo": ["2018-11-04T03:00", "2018-02-18T02:00"],
    "Pacific/Apia": ["2011-12-30T10:00", "2012-03-31T14:00"],
    "Antarctica/Troll": ["2026-03-29T01:00", "2026-10-25T01:00"],
    "America/Scoresbysund": ["2026-03-29T01:00", "2026-10-25T01:00"],
    "Asia/Dhaka": ["2009-06-19T17:00", "2009-12-31T17:00"],
    "Asia/Kathmandu": ["2026-01-01T00:00"],
}


def numbers(low: int, high: int) -> st.SearchStrategy[str]:
    """A field: numbers, ranges, steps, lists and stars."""
    number = st.integers(low, high)
    # cronsim reads the one-number range of `5-5/2` as `5/2`; ours stays the range it says, so it isn't compared.
    pair = st.tuples(number, number).filter(lambda p: p[0] != p[1]).map(sorted)
    return st.one_of(
        st.just("*"),
        number.map(str),
        st.integers(1, high).map(lambda n: f"*/{n}"),
        pair.map(lambda p: f"{p[0]}-{p[1]}"),
        st.tuples(pair, st.integers(1, 9)).map(lambda t: f"{t[0][0]}-{t[0][1]}/{t[1]}"),
        st.tuples(number, st.integers(1, 9)).map(lambda t: f"{t[0]}/{t[1]}"),
        st.lists(number, min_size=1, max_size=4).map(lambda items: ",".join(map(str, items))),
    )


days = st.one_of(numbers(1, 31), st.sampled_from(["L", "LW", "1,L"]))
weekdays = st.one_of(numbers(0, 7), st.sampled_from(["5L", "1#2", "MON-FRI", "SAT,SUN"]))
times = st.tuples(numbers(0, 59), numbers(0, 23))
moments = st.datetimes(datetime(1980, 1, 1), datetime(2060, 1, 1)).map(lambda d: d.replace(tzinfo=UTC))


@st.composite
def expressions(draw: st.DrawFn) -> str:
    fields = [*draw(times), draw(days), draw(numbers(1, 12)), draw(weekdays)]
    return " ".join([draw(numbers(0, 59)), *fields] if draw(st.booleans()) else fields)


def readable(text: str) -> bool:
    """Whether cronsim takes it: it refuses the 30th of February."""
    try:
        CronSim(text, datetime(2026, 1, 1))
    except CronSimError:
        return False
    return True


readable_expressions = expressions().filter(readable)


@given(readable_expressions, moments)
@settings(max_examples=300, deadline=None)
def test_in_utc_fire_times_are_those_of_cronsim(text: str, after: datetime) -> None:
    schedule, expected = build(CronSpec(expression=text)), list(islice(CronSim(text, after), 4))
    found, at = [], after
    while len(found) < len(expected):
        at = schedule.next(at, after)
        found.append(at)
    assert found == expected


@given(readable_expressions, moments, st.timedeltas(timedelta(0), timedelta(days=3)))
@settings(max_examples=300, deadline=None)
def test_in_utc_the_last_fire_is_that_of_cronsim_in_reverse(text: str, until: datetime, back: timedelta) -> None:
    found = build(CronSpec(expression=text)).last(until - back, until, until)
    expected = next(CronSim(text, until + timedelta(microseconds=1), reverse=True), None)
    assert found == (expected if expected is not None and expected > until - back else None)


zones_and_shifts = st.sampled_from([(zone, shift) for zone, shifts in SHIFTS.items() for shift in shifts])
nearby = st.timedeltas(timedelta(hours=-30), timedelta(hours=30))


def around(shift: str, offset: timedelta) -> datetime:
    return datetime.fromisoformat(shift).replace(tzinfo=UTC) + offset


def brute_force(minutes: set[int], hours: set[int], zone: str, middle: datetime, *, fixed: bool) -> list[datetime]:
    """Fire times by walking through every minute of some days in real time; no library but zoneinfo."""
    tz = ZoneInfo(zone)
    walk = [middle.replace(second=0, microsecond=0) + MINUTE * n for n in range(-80 * 60, 80 * 60)]
    shown = [(at.astimezone(tz).replace(tzinfo=None, fold=0), at) for at in walk]
    if not fixed:
        return [at for wall, at in shown if wall.minute in minutes and wall.hour in hours]
    first: dict[datetime, datetime] = {}
    for wall, at in shown:
        first.setdefault(wall, at)
    fires, newest, wall = set(), walk[0], shown[0][0]
    while wall <= shown[-1][0]:
        # A wall time that never shows fires with the first one after it that does.
        newest = first.get(wall) or next((first[w] for w in sorted(first) if w > wall), newest)
        if wall.minute in minutes and wall.hour in hours:
            fires.add(newest)
        wall += MINUTE
    return sorted(fires)


@given(
    zones_and_shifts,
    nearby,
    st.sets(st.integers(0, 59), min_size=1, max_size=3),
    st.sets(st.integers(0, 23), min_size=1, max_size=8),
    st.booleans(),
)
@settings(max_examples=120, deadline=None)
def test_on_days_of_clock_changes_fire_times_are_those_of_the_wall_clock(
    place: tuple[str, str], offset: timedelta, minutes: set[int], hours: set[int], fixed: bool
) -> None:
    zone, shift = place
    after = around(shift, offset)
    # `*/59` allows 0 and 59 and starts with a star: the way to a wildcard job with few minutes.
    minutes = minutes if fixed else {0, 59}
    text = f"{','.join(map(str, minutes)) if fixed else '*/59'} {','.join(map(str, hours))} * * *"
    walked = brute_force(minutes, hours, zone, around(shift, timedelta(0)), fixed=fixed)
    expected = [fire for fire in walked if after < fire < after + timedelta(hours=40)]
    schedule = build(CronSpec(expression=text, timezone=zone))
    found, at = [], after
    while (at := schedule.next(at, after)) and at < after + timedelta(hours=40):
        found.append(at)
    assert found == expected
    until = after + timedelta(hours=20)
    assert schedule.last(after, until, after) == max((f for f in expected if f <= until), default=None)


@given(zones_and_shifts, nearby, readable_expressions)
@settings(max_examples=250, deadline=None)
def test_next_is_strictly_later_and_last_is_the_newest_of_them(
    place: tuple[str, str], offset: timedelta, text: str
) -> None:
    zone, shift = place
    after = at = around(shift, offset)
    schedule = build(CronSpec(expression=text, timezone=zone))
    fires = []
    for _ in range(12):
        fire = schedule.next(at, after)
        if fire is None:
            break
        assert fire > at
        assert fire.tzinfo is UTC
        fires.append(fire)
        at = fire
    for fire in fires:
        assert schedule.last(after, fire, after) == fire
        assert schedule.last(fire - timedelta(seconds=1), fire + timedelta(milliseconds=500), after) == fire
        assert schedule.last(fire, fire, after) is None
    for earlier, later in pairwise(fires):
        assert schedule.last(after, later - timedelta(microseconds=1), after) == earlier


@given(zones_and_shifts, nearby, times, days, numbers(1, 12), weekdays)
@settings(max_examples=100, deadline=None)
def test_a_leading_second_of_zero_changes_nothing(
    place: tuple[str, str], offset: timedelta, time: tuple[str, str], day: str, month: str, weekday: str
) -> None:
    text = f"{time[0]} {time[1]} {day} {month} {weekday}"
    if not readable(text):
        return
    five = build(CronSpec(expression=text, timezone=place[0]))
    six = build(CronSpec(expression=f"0 {text}", timezone=place[0]))
    after = around(place[1], offset)
    assert five.next(after, after) == six.next(after, after)


@pytest.mark.parametrize("zone", SHIFTS)
def test_a_schedule_that_never_fires_gives_up(zone: str) -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    for text in ("0 0 L-30 2 *", "* * 30W 2 *", "0 0 ? 2 MON#5"):
        found = build(CronSpec(expression=text, timezone=zone)).next(now, now)
        assert found is None or found > now
