"""Cron as people write it: what it means, when it is due, and which nonsense is refused by its field."""

from datetime import UTC, datetime
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adloom.errors import ConfigError
from adloom.kubeflow import schedule

NOW = datetime(2026, 11, 23, 22, 5, 30, tzinfo=UTC)  # a Monday


@pytest.mark.parametrize(
    ("text", "due"),
    [
        ("30 3 * * *", ["11-24 03:30", "11-25 03:30"]),
        ("*/20 22 * * *", ["11-23 22:20", "11-23 22:40"]),
        ("5/30 * * * *", ["11-23 22:35", "11-23 23:05"]),
        ("05 06,18 * * ?", ["11-24 06:05", "11-24 18:05"]),
        ("0 9-10 * * tue-THU", ["11-24 09:00", "11-24 10:00"]),
        ("0 0 * DEC sun", ["12-06 00:00", "12-13 00:00"]),
        ("0 0 1 * 1", ["11-30 00:00", "12-01 00:00"]),  # the first of the month, or a Monday
        ("0 0 29 2 *", ["02-29 00:00", "02-29 00:00"]),
    ],
)
def test_it_is_due_as_cron_has_it(text: str, due: list[str]) -> None:
    assert [f"{time:%m-%d %H:%M}" for time in islice(schedule.parse(text).after(NOW), 2)] == due


def test_kubeflow_takes_six_fields_seconds_first() -> None:
    assert schedule.parse("30  3 * *  mon").kfp == "0 30 3 * * MON"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("* * * *", "4 fields, expected 5: minute, hour, day of the month, month, day of the week"),
        ("0 30 3 * * *", "6 fields, expected 5"),
        ("", "0 fields"),
        ("@daily", "1 fields"),
        ("60 * * * *", 'minute "60": expected *, 0-59'),
        ("* 24 * * *", 'hour "24": expected *, 0-23'),
        ("* * 0 * *", 'day of the month "0": expected *, 1-31'),
        ("* * * 13 *", 'month "13": expected *, 1-12 or JAN-DEC'),
        ("* * * * 7", 'day of the week "7": expected *, 0-6 or SUN-SAT'),
        ("* * * * XYZ", 'day of the week "XYZ"'),
        ("9-3 * * * *", 'minute "9-3"'),
        ("*/0 * * * *", 'minute "*/0"'),
        ("1,,2 * * * *", 'minute ""'),
        ("-1 * * * *", 'minute "-1"'),
        ("٣ * * * *", 'minute "٣"'),
        ("0 0 31 2,4 *", "is never due"),
    ],
)
def test_nonsense_is_refused_in_a_line(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        schedule.parse(text)
    assert str(caught.value).startswith(f'--schedule "{text}": ')
    assert said in str(caught.value)


@given(st.text())
def test_no_text_is_anything_but_a_schedule_or_a_refusal(text: str) -> None:
    try:
        parsed = schedule.parse(text)
    except ConfigError:
        return
    assert next(parsed.after(NOW)) > NOW


@given(st.integers(0, 59), st.integers(0, 23), st.datetimes(datetime(2020, 1, 1), datetime(2040, 1, 1)))
def test_what_is_daily_is_due_within_a_day(minute: int, hour: int, moment: datetime) -> None:
    due = next(schedule.parse(f"{minute} {hour} * * *").after(moment))
    assert (due.minute, due.hour) == (minute, hour)
    assert 0 < (due - moment).total_seconds() <= 24 * 3600
