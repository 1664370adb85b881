"""Times of every notation are UTC, or have a reason."""

import datetime

import pandas as pd
import pyarrow as pa
import pytest
from tests.support.raw_tables import EVENT, frame

from adloom.config.value_formats import EPOCH_UNITS, ValueFormat
from adloom.data import contracts, times

BERLIN = ValueFormat(timezone="Europe/Berlin")
NOON = datetime.datetime(2026, 7, 1, 12)


def parse(values: pa.Array, value_format: ValueFormat) -> list[str | None]:
    """Return the times as text, None where unreadable."""
    parsed, unreadable = times.parse_time(values, value_format)
    assert list(parsed.isna()) == list(unreadable)
    return [None if pd.isna(time) else time.isoformat() for time in parsed]


def test_times_are_converted_to_utc() -> None:
    rows, _ = contracts.validate(
        frame(EVENT, {"timestamp": "2026-01-02T00:30:00"}, {"timestamp": "2026-01-02T00:30:00+01:00"}), "events"
    )
    assert [str(t) for t in rows["timestamp"]] == ["2026-01-02 00:30:00+00:00", "2026-01-01 23:30:00+00:00"]


def test_a_timestamp_format_is_the_only_one_accepted() -> None:
    mixed = frame(EVENT, {"timestamp": "31.12.2025"}, {"timestamp": "2025-12-31"}, {"timestamp": "12/31/2025"})
    rows, reasons = contracts.validate(mixed, "events", ValueFormat(timestamp_format="%d.%m.%Y"))
    assert str(rows["timestamp"][0]) == "2025-12-31 00:00:00+00:00"
    assert list(reasons) == ["", *["timestamp: not a date of the expected format"] * 2]


def test_seconds_and_milliseconds_since_1970_are_times_too() -> None:
    for timestamp_format, number in {"epoch_s": "1767312000.5", "epoch_ms": "1767312000500"}.items():
        rows, reasons = contracts.validate(
            frame(EVENT, {"timestamp": number}, {"timestamp": "soon"}),
            "events",
            ValueFormat(timestamp_format=timestamp_format),
        )
        assert str(rows["timestamp"][0]) == "2026-01-02 00:00:00.500000+00:00"
        assert list(reasons) == ["", "timestamp: not a date of the expected format"]


@pytest.mark.parametrize(
    ("values", "time"),
    [
        (pa.array([NOON], pa.timestamp("s")), "2026-07-01T10:00:00+00:00"),
        (pa.array([NOON], pa.timestamp("ns")), "2026-07-01T10:00:00+00:00"),
        (pa.array([NOON], pa.timestamp("us", "America/New_York")), "2026-07-01T12:00:00+00:00"),
        (pa.array([NOON.date()], pa.date32()), "2026-06-30T22:00:00+00:00"),
        (pa.array([NOON.date()], pa.date64()), "2026-06-30T22:00:00+00:00"),
        (pa.array(["2026-07-01 12:00:00"]), "2026-07-01T10:00:00+00:00"),
        (pa.array(["2026-07-01"]), "2026-06-30T22:00:00+00:00"),
        (pa.array(["2026-07-01T12:00:00-05"]), "2026-07-01T17:00:00+00:00"),
        (pa.array(["2026-07-01 12:00:00 UTC"]), "2026-07-01T12:00:00+00:00"),
        (pa.array(["20260701T120000z"]), "2026-07-01T12:00:00+00:00"),
    ],
)
def test_times_without_a_zone_are_in_the_sources(values: pa.Array, time: str) -> None:
    assert parse(values, BERLIN) == [time]


def test_a_skipped_hour_breaks_the_row_and_a_repeated_one_is_the_first() -> None:
    local = ["2026-03-29T02:30:00", "2026-10-25T02:30:00", "2026-10-25T02:30:00+01:00"]
    raw = frame(EVENT, *({"timestamp": time} for time in local))
    rows, reasons = contracts.validate(raw, "events", BERLIN)
    skipped = "timestamp: not a date of the expected format; clocks in Europe/Berlin skip this hour"
    assert list(reasons) == [skipped, "", ""]
    assert rows["timestamp"].dt.strftime("%H:%M").tolist()[1:] == ["00:30", "01:30"]
    assert times.count_ambiguous(pa.array(local), rows["timestamp"], BERLIN) == 1
    assert times.count_ambiguous(pa.array(local), rows["timestamp"], ValueFormat()) == 0


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_numbers_are_exact_in_every_unit(unit: str) -> None:
    value_format = ValueFormat(timestamp_format=f"epoch_{unit}")
    number = 1_767_312_000 * EPOCH_UNITS[f"epoch_{unit}"]
    kinds = [pa.array([number, None]), pa.array([str(number)]), pa.array([float(number)]), pa.array([f"{number}.0"])]
    for values in kinds:
        assert parse(values.drop_null(), value_format) == ["2026-01-02T00:00:00+00:00"]
    assert times.parse_time(kinds[0], value_format)[0].isna().tolist() == [False, True]


@pytest.mark.parametrize(
    ("timestamp", "timestamp_format", "step"),
    [
        ("1767312000", "epoch_ms", "set timestamp_format: epoch_s"),
        ("1767312000000", "epoch_s", "set timestamp_format: epoch_ms"),
        ("1767312000000000", "epoch_ns", "set timestamp_format: epoch_us"),
        ("1767312000000000000", "epoch_us", "set timestamp_format: epoch_ns"),
        ("1767312000", None, "set timestamp_format: epoch_s"),
        ("20260102", "epoch_s", "set timestamp_format: %Y%m%d"),
        ("1.76757E+12", "epoch_ms", "shortened by a spreadsheet; export the numbers as text"),
        ("46024.5", None, "a serial date of Excel; write it as a date"),
        ("1970-01-21T10:55:12", None, "before 1980 or after 2099"),
        ("9999-12-31", None, "before 1980 or after 2099"),
        ("2026", None, ""),
        ("now", None, ""),
        ("today", None, ""),
        ("0", "epoch_s", ""),
    ],
)
def test_an_unbelievable_time_breaks_the_row_and_names_the_step(
    timestamp: str, timestamp_format: str | None, step: str
) -> None:
    raw = frame(EVENT, {"timestamp": timestamp})
    reasons = contracts.validate(raw, "events", ValueFormat(timestamp_format=timestamp_format))[1]
    assert list(reasons) == ["; ".join(filter(None, ["timestamp: not a date of the expected format", step]))]


def test_a_column_of_another_type_holds_no_times() -> None:
    for values in (pa.array([1767312000]), pa.array([True]), pa.array([[1]])):
        assert parse(values, ValueFormat()) == [None]
    assert parse(pa.array([20260102]), ValueFormat()) == ["2026-01-02T00:00:00+00:00"]
    assert parse(pa.array([20260102]), ValueFormat(timestamp_format="%Y%m%d")) == ["2026-01-02T00:00:00+00:00"]


def test_a_format_with_a_zone_needs_no_other() -> None:
    value_format = ValueFormat(timestamp_format="%d.%m.%Y %H:%M %z", timezone="Asia/Tokyo")
    assert parse(pa.array(["01.07.2026 12:00 +0200"]), value_format) == ["2026-07-01T10:00:00+00:00"]
    local = value_format.model_copy(update={"timestamp_format": "%d.%m.%Y %H:%M"})
    assert parse(pa.array(["01.07.2026 12:00"]), local) == ["2026-07-01T03:00:00+00:00"]
