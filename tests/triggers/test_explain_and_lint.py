"""What people are told about a trigger: in words, as warnings, and as refusals."""

# ruff: noqa: DTZ001 - hypothesis and the refusals under test take naive datetimes

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from orchestrator.core.errors import TriggerError
from orchestrator.core.triggers import AtSpec, CronSpec, EverySpec, TimeSpec
from orchestrator.triggers.explain import explain
from orchestrator.triggers.lint import lint
from orchestrator.triggers.preview import preview
from orchestrator.triggers.schedules import build
from orchestrator.triggers.validate import check

NOW = datetime(2026, 1, 28, tzinfo=UTC)
DAY = timedelta(days=1)


def cron(text: str, zone: str = "UTC", **more: datetime) -> CronSpec:
    return CronSpec(expression=text, timezone=zone, **more)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("0 9 * * 1", "At 09:00 on Monday"),
        ("* * * * *", "Every minute"),
        ("* * * * * *", "Every second"),
        ("*/30 * * * * *", "Every 30 seconds"),
        ("EVERY_5_MINUTES", "Every 5 minutes"),
        ("@hourly", "At the start of every hour"),
        ("15 * * * *", "At minute 15 of every hour"),
        ("0 2 * * *", "At 02:00 every day"),
        ("30 0 2 * * *", "At 02:00:30 every day"),
        ("0 9,17 * * 1-5", "At 09:00 and 17:00 on Monday through Friday"),
        ("* 2 * * *", "Every minute from 02:00 through 02:59"),
        ("*/30 9-17 * * *", "Every 30 minutes from 09:00 through 17:59"),
        ("0 */2 * * *", "Every 2 hours"),
        ("*/10 0-5 * * * *", "Every 10 seconds of every minute from 0 through 5 of every hour"),
        ("0 0 15W * *", "At 00:00 on the workday (Monday to Friday) nearest to the 15th"),
        ("0 0 L-3 * *", "At 00:00 on the day 3 days before the month's last"),
        ("0 0 L * *", "At 00:00 on the month's last day"),
        ("0 0 LW * *", "At 00:00 on the last workday (Monday to Friday) of the month"),
        ("0 0 * * MON#2", "At 00:00 on the 2nd Monday of the month"),
        ("0 0 * * FRIL", "At 00:00 on the last Friday of the month"),
        ("0 0 1,22 * *", "At 00:00 on the 1st and the 22nd"),
        ("0 0 13 * FRI", "At 00:00 on the 13th or on Friday"),
        ("0 0 */2 * FRI", "At 00:00 on every 2nd day from the 1st through the 31st if it is Friday"),
        ("0 0 1 */3 *", "At 00:00 on the 1st in January, April, July and October"),
        ("0 0 * JUN-AUG ?", "At 00:00 every day in June through August"),
        ("H/15 * * * *", "Every 15 minutes, offset by the job's name"),
    ],
)
def test_cron_in_words(text: str, words: str) -> None:
    assert explain(cron(text)) == f"{words} (UTC)"


def test_h_in_words_names_the_time_when_the_job_is_known() -> None:
    spec = CronSpec(expression="H H * * *", hash_key="job", timezone="Europe/Berlin")
    assert explain(spec) == "At 18:34 every day, as chosen for this job by its name (Europe/Berlin)"
    assert "that the job's name chooses" in explain(cron("H H * * *"))


@pytest.mark.parametrize(
    ("phrase", "words"),
    [
        ("10 minutes", "Every 10 minutes, counted from the previous fire"),
        ("1h30m", "Every 1h30m, counted from the previous fire"),
        ("day at 10:30", "Every day at 10:30 (Europe/Berlin)"),
        ("2 days at 10:30:05", "Every 2 days at 10:30:05 (Europe/Berlin)"),
        ("hour at :15", "Every hour at minute 15 (Europe/Berlin)"),
        ("minute at :23", "Every minute at second 23 (Europe/Berlin)"),
        ("monday at 09:00", "Every Monday at 09:00 (Europe/Berlin)"),
        ("wednesday", "Every Wednesday, at the time of day at which the job was first seen (Europe/Berlin)"),
        ("5 to 10 minutes", "Every 5 to 10 minutes (at random), counted from the previous fire"),
    ],
)
def test_every_in_words(phrase: str, words: str) -> None:
    assert explain(EverySpec(phrase=phrase, timezone="Europe/Berlin")) == words


def test_at_and_bounds_in_words() -> None:
    assert explain(AtSpec(times=(NOW,))) == "Once, at 2026-01-28 00:00 (UTC)"
    assert explain(AtSpec(times=(NOW, NOW + DAY))) == "At 2026-01-28 00:00 and 2026-01-29 00:00 (UTC)"
    assert explain(AtSpec(times=tuple(NOW + DAY * n for n in range(9)))).startswith("At 9 set times from 2026-01-28")
    bounded = explain(cron("0 9 * * *", "Europe/Berlin", start=NOW, end=NOW + DAY))
    assert bounded == "At 09:00 every day (Europe/Berlin), from 2026-01-28 01:00, until 2026-01-29 01:00"


@pytest.mark.parametrize(
    ("spec", "warning"),
    [
        (cron("* 2 * * *"), "fires 60 times, every minute, in hour 2; did you mean `0 2 * * *`?"),
        (cron("* * 2 * * *"), "fires 3,600 times"),
        (cron("* 30 2 * * *"), "did you mean `30 2 * * *`?"),
        (cron("0 0 1 * MON"), "either matches"),
        (cron("*/7 * * * *"), "the last gap of each hour is 4 minutes, not 7; write `every: 7 minutes`"),
        (cron("0 */5 * * *"), "uneven"),
        (cron("0 0 */2 * *"), "starts again each month"),
        (cron("*/90 * * * *"), "only 0 ever matches"),
        (cron("0 0 31 * *"), "never fires in Feb, Apr, Jun, Sep, Nov"),
        (cron("0 0 30 * *"), "never fires in Feb:"),
        (cron("0 0 29 2 *"), "leap years only"),
        (cron("0 0 12 ? * 2"), "Quartz"),
        (cron("30 2 * * *", "Europe/Berlin"), "on 2026-03-29 02:30 does not exist in Europe/Berlin"),
        (cron("30 2 * * *", "Europe/Berlin"), "on 2026-10-25 02:30 happens twice"),
        (cron("0 30 1 * * *", "America/New_York"), "on 2026-11-01 01:30 happens twice"),
        (cron("*/10 2 * * *", "Europe/Berlin"), "it does not fire then"),
        (EverySpec(phrase="sunday at 02:30", timezone="Europe/Berlin"), "it fires once, at 03:00"),
        (EverySpec(phrase="wednesday"), "gives no time of day"),
        (EverySpec(phrase="5ms"), "more than ten times a second"),
        (AtSpec(times=(NOW - DAY,)), "every time of `at` is past"),
        (cron("0 9 * * *", end=NOW - DAY), "is past: it will not fire again"),
        (cron("0 0 1 1 *", end=NOW + DAY), "comes before the next fire"),
    ],
)
def test_what_is_hardly_meant_is_warned_of(spec: TimeSpec, warning: str) -> None:
    assert any(warning in text for text in lint(spec, NOW))


@pytest.mark.parametrize(
    "spec",
    [
        cron("0 9 * * 1", "Europe/Berlin"),
        cron("* * * * *", "Europe/Berlin"),
        cron("* 9-17 * * 1-5", "Europe/Berlin"),
        cron("*/15 * * * *"),
        cron("0 0 L * *"),
        cron("0 0 28 * *"),
        cron("0 0 31 1,3 *"),
        cron("30 2 * * 1", "Europe/Berlin"),
        cron("30 2 * * *", "Asia/Tokyo"),
        EverySpec(phrase="monday at 02:30", timezone="Europe/Berlin"),
        AtSpec(times=(NOW - DAY, NOW + DAY)),
    ],
)
def test_what_is_fine_is_not_warned_of(spec: TimeSpec) -> None:
    assert lint(spec, NOW) == []


@pytest.mark.parametrize(
    ("spec", "message", "hint"),
    [
        (cron("0 0 30 2 *"), "can never fire", "day"),
        (cron("0 0 31 4,6 ?"), "can never fire", "day"),
        (cron("0 0 L-30 2 *"), "can never fire", "day"),
        (cron("0 0 30W 2 *", "Europe/Berlin"), "can never fire", "day"),
        (cron("* * * * *", start=NOW, end=NOW - DAY), "is before `start`", "swap"),
        (cron("0 0 1 7 *", start=NOW, end=NOW + DAY), "never fires between", "2026-07-01"),
        (EverySpec(phrase="monday at 09:00", start=NOW, end=NOW + DAY), "never fires between", "2026-02-02"),
        (cron("* * * * *", "Europe/Berln"), "unknown timezone", "Europe/Berlin"),
        (cron("* * * * *", "europe/berlin"), "unknown timezone", "Europe/Berlin"),
        (cron("* * * * *", "PST"), "unknown timezone", "America/Los_Angeles"),
        (cron("* * * * *", "local"), "depends on the machine", "UTC"),
        (cron("* * * * *", ""), "depends on the machine", "UTC"),
        (cron("* * * * *", "../../etc/passwd"), "unknown timezone", "IANA"),
        (cron("* * * * *", end=datetime(2026, 1, 1)), "`end` has no timezone", "offset"),
        (AtSpec(times=()), "no time", "instants"),
        (AtSpec(times=(NOW, NOW)), "ascending", "sort"),
        (AtSpec(times=(datetime(2026, 1, 1),)), "without a timezone", "offset"),
    ],
)
def test_what_can_never_fire_is_refused(spec: TimeSpec, message: str, hint: str) -> None:
    with pytest.raises(TriggerError) as caught:
        check(spec, NOW)
    assert message in str(caught.value)
    assert hint in (caught.value.hint or "")


def test_a_schedule_whose_time_is_over_stays_valid() -> None:
    check(cron("0 9 * * *", end=NOW - DAY), NOW)
    check(cron("0 9 * * *", start=NOW - 2 * DAY, end=NOW - DAY), NOW)
    check(AtSpec(times=(NOW - DAY,)), NOW)


def test_start_and_end_are_included() -> None:
    spec = cron("0 0 * * *", start=NOW, end=NOW + DAY)
    assert preview(spec, NOW - 9 * DAY, 5) == [NOW, NOW + DAY]
    assert build(spec).last(NOW - 9 * DAY, NOW + 9 * DAY, NOW) == NOW + DAY
    assert build(spec).last(NOW - 9 * DAY, NOW, NOW) == NOW
    assert build(spec).last(NOW - 9 * DAY, NOW - DAY, NOW) is None


def test_set_times_fire_in_order_once_each() -> None:
    spec = AtSpec(times=(NOW, NOW + DAY))
    assert preview(spec, NOW - DAY, 5) == [NOW, NOW + DAY]
    assert build(spec).next(NOW, NOW) == NOW + DAY
    assert build(spec).last(NOW - DAY, NOW + 9 * DAY, NOW) == NOW + DAY
    assert build(spec).last(NOW + DAY, NOW + 9 * DAY, NOW) is None
