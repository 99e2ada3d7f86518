"""What may be written in `cron:`, what each form means, and how mistakes are answered."""

# ruff: noqa: DTZ001 - hypothesis and the refusals under test take naive datetimes

from __future__ import annotations

import calendar
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.core.errors import TriggerError
from orchestrator.core.triggers import CronSpec
from orchestrator.triggers.explain import explain
from orchestrator.triggers.lint import lint
from orchestrator.triggers.nestjs import CRON_EXPRESSIONS
from orchestrator.triggers.preview import preview
from orchestrator.triggers.schedules import build
from orchestrator.triggers.validate import check, normalise_cron

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def days(text: str, count: int) -> list[str]:
    return [f"{fire:%m-%d}" for fire in preview(CronSpec(expression=text), NOW - timedelta(seconds=1), count)]


def test_all_of_nestjs_names_are_there() -> None:
    assert len(CRON_EXPRESSIONS) == 83


@pytest.mark.parametrize("name", CRON_EXPRESSIONS)
def test_a_nestjs_name_means_its_expression(name: str) -> None:
    for written in (name, f"CronExpression.{name}", name.lower()):
        assert normalise_cron(written, "job") == (CRON_EXPRESSIONS[name], "")
    spec = CronSpec(expression=CRON_EXPRESSIONS[name], timezone="Europe/Berlin")
    check(spec, NOW)
    assert explain(spec)
    assert preview(CronSpec(expression=name), NOW, 3) == preview(CronSpec(expression=CRON_EXPRESSIONS[name]), NOW, 3)


@pytest.mark.parametrize(
    ("alias", "expression"),
    [("@daily", "0 0 * * *"), ("@Midnight", "0 0 * * *"), ("@hourly", "0 * * * *"), ("@WEEKLY", "0 0 * * 0")],
)
def test_aliases_in_any_case(alias: str, expression: str) -> None:
    assert normalise_cron(alias, "job") == (expression, "")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0 0 L * *", ["01-31", "02-28", "03-31", "04-30"]),
        ("0 0 L-3 * *", ["01-28", "02-25", "03-28", "04-27"]),
        ("0 0 L-27 * *", ["01-04", "02-01", "03-04", "04-03"]),
        ("0 0 LW * *", ["01-30", "02-27", "03-31", "04-30"]),
        ("0 0 15W * *", ["01-15", "02-16", "03-16", "04-15"]),
        ("0 0 1W * *", ["01-01", "02-02", "03-02", "04-01", "05-01", "06-01", "07-01", "08-03"]),
        ("0 0 31W * *", ["01-30", "03-31", "05-29"]),
        ("0 0 L-1,15W,3 1 *", ["01-03", "01-15", "01-30"]),
        ("0 0 * * MON#2", ["01-12", "02-09", "03-09"]),
        ("0 0 * * FRIL", ["01-30", "02-27", "03-27"]),
        ("0 0 * * 7", ["01-04", "01-11"]),
        ("0 0 ? * MON", ["01-05", "01-12"]),
        ("0 0 1 * ?", ["01-01", "02-01"]),
        ("0 0 * * FRI-MON", ["01-02", "01-03", "01-04", "01-05", "01-09"]),
        ("0 0 30-2 * *", ["01-01", "01-02", "01-30", "01-31", "02-01"]),
        ("0 0 1 NOV-FEB *", ["01-01", "02-01", "11-01", "12-01"]),
        ("0 0 29 2 *", ["02-29", "02-29"]),
        ("0 0 13 * FRI", ["01-02", "01-09", "01-13", "01-16"]),
        ("0 0 */13 * FRI", ["02-27", "03-27", "05-01"]),
    ],
)
def test_day_forms(text: str, expected: list[str]) -> None:
    assert days(text, len(expected)) == expected


def test_a_range_of_hours_may_wrap_round_midnight() -> None:
    fires = preview(CronSpec(expression="0 22-2/2 * * *"), NOW + timedelta(hours=12), 3)
    assert [fire.hour for fire in fires] == [22, 0, 2]


@given(st.integers(1, 31), st.datetimes(datetime(1970, 1, 1), datetime(2090, 1, 1)))
@settings(deadline=None)
def test_the_nearest_workday_is_a_workday_of_the_month_at_most_two_days_off(day: int, after: datetime) -> None:
    start = after.replace(tzinfo=UTC)
    fire = build(CronSpec(expression=f"0 0 {day}W * *")).next(start, start)
    assert fire is not None
    assert fire.weekday() < 5
    assert abs(fire.day - day) <= 2
    assert day <= calendar.monthrange(fire.year, fire.month)[1]


@pytest.mark.parametrize(
    ("text", "allowed"),
    [
        ("H * * * *", range(60)),
        ("H(0-29) * * * *", range(30)),
        ("H(10-12) * * * *", range(10, 13)),
    ],
)
def test_h_spreads_jobs_within_its_range_and_stays_put(text: str, allowed: range) -> None:
    seen = set()
    for number in range(200):
        expression, key = normalise_cron(text, f"job-{number}")
        fires = preview(CronSpec(expression=expression, hash_key=key), NOW, 3)
        assert len({fire.minute for fire in fires}) == 1
        seen.add(fires[0].minute)
    assert seen <= set(allowed)
    assert len(seen) > len(allowed) * 0.8


def test_h_with_a_step_keeps_the_step() -> None:
    fires = preview(CronSpec(expression="H/15 * * * *", hash_key="a"), NOW, 5)
    assert {later - earlier for earlier, later in pairwise(fires)} == {timedelta(minutes=15)}
    bounded = preview(CronSpec(expression="H(0-29)/10 * * * *", hash_key="a"), NOW, 3)
    assert [fire.minute // 10 for fire in bounded] == [0, 1, 2]


def test_h_is_the_same_in_every_process_and_differs_by_field() -> None:
    # These numbers may never change: schedules of running systems hang on them.
    (fire,) = preview(CronSpec(expression="H H H(1-28) * *", hash_key="clean-old-data"), NOW, 1)
    assert (fire.day, fire.hour, fire.minute) == (11, 23, 4)


def test_only_expressions_with_h_depend_on_the_job() -> None:
    assert normalise_cron("0 9 * * THU", "job") == ("0 9 * * THU", "")
    assert normalise_cron("H 9 * * *", "job") == ("H 9 * * *", "job")
    assert build(CronSpec(expression="0 9 * * *")) is build(CronSpec(expression="0 9 * * *"))


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("61 * * * *", "minute field `61` is out of range: 61; allowed: 0-59", "0-59"),
        ("0 24 * * *", "hour field `24`", "0-23"),
        ("0 0 0 * *", "day-of-month field `0`", "1-31"),
        ("0 9 * * MONDAY", "day-of-week field `MONDAY`", "did you mean MON?"),
        ("0 0 1 Febr *", "month field `FEBR`", "did you mean FEB?"),
        ("MON 9 * * *", "minute field `MON`", "in order"),
        ("*/0 * * * *", "minute field `*/0` has the step '0'", "*/5"),
        ("1,,2 * * * *", "empty item", "comma"),
        ("? * * * *", "uses ?", "elsewhere write *"),
        ("0 0 * * L", "needs a weekday", "FRIL"),
        ("0 0 * * 1#6", "weekday number 6", "MON#5"),
        ("H(30-10) * * * *", "backwards", "H(10-30)"),
        ("0 9 * *", "4 fields", "minute hour"),
        ("0 0 12 ? * MON 2026", "7 fields", "year"),
        ("", "0 fields", "minute hour"),
        ("@reboot", "no fire times", "on_start: true"),
        ("@dayly", "alias", "@daily"),
        ("EVERY_30_SECOND", "NestJS", "EVERY_30_SECONDS"),
        ("9" * 5000 + " * * * *", "out of range", "0-59"),
    ],
)
def test_mistakes_are_named_with_a_mend(text: str, message: str, hint: str) -> None:
    with pytest.raises(TriggerError) as caught:
        normalise_cron(text, "job")
    assert message in str(caught.value)
    assert hint in (caught.value.hint or "")


@given(st.text(alphabet="0123456789*/,-LWH#?()MONJAN @_", max_size=25))
@settings(max_examples=400, deadline=None)
def test_no_text_does_worse_than_a_trigger_error(text: str) -> None:
    try:
        expression, key = normalise_cron(text, "job")
        spec = CronSpec(expression=expression, hash_key=key)
        check(spec, NOW)
    except TriggerError:
        return
    assert explain(spec)
    assert isinstance(lint(spec, NOW), list)
    assert build(spec).next(NOW, NOW) is not None
