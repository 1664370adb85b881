"""Times in every notation that a source states, as UTC."""

import re

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from adloom.arrays import BoolArray
from adloom.config.value_formats import EPOCH_UNITS, ValueFormat
from adloom.data.arrow_columns import is_text, to_text
from adloom.data.numbers import parse_number

FIRST, END = pd.Timestamp("1980-01-01", tz="UTC"), pd.Timestamp("2100-01-01", tz="UTC")  # of believable times
_FIRST_US, _END_US = (int(time.value // 1000) for time in (FIRST, END))
_US = pa.timestamp("us")
_ISO_DATE = r"^[0-9]{4}[-/]?[0-9]"
_ZONE = r"(Z|[+-][0-9]{2}(:?[0-9]{2})?)$"
_ISO_ZONE = rf"[T ][0-9]{{2}}.*{_ZONE}"
_EXCEL_DAYS = (20_000, 80_000)  # since 1900: 1954 to 2119
_COMPACT_DATES = (19_800_000, 21_000_000)  # such as 20260131


def parse_time(values: pa.Array, value_format: ValueFormat) -> tuple[pd.Series, BoolArray]:
    """Return times in UTC, NaT where missing or unreadable, and whether each is unreadable."""
    times = _parse(values, value_format).astype("datetime64[us, UTC]")
    times = times.where((times >= FIRST) & (times < END))
    return times, times.isna().to_numpy() & values.is_valid().to_numpy(zero_copy_only=False)


def _parse(values: pa.Array, value_format: ValueFormat) -> pd.Series:
    kind, timestamp_format = values.type, value_format.timestamp_format
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return _read_typed(values, value_format.timezone)
    if value_format.epoch_unit:
        return _read_epoch(values, value_format.epoch_unit)
    texts = values if is_text(values) else to_text(values)
    if timestamp_format is None:
        return _read_iso(texts, value_format.timezone)
    times = pd.to_datetime(
        texts.to_pandas(), format=timestamp_format, utc=_names_zone(timestamp_format), errors="coerce"
    )
    return _localise(times, value_format.timezone)


def _names_zone(timestamp_format: str) -> bool:
    return "%z" in timestamp_format or "%Z" in timestamp_format


def _read_typed(values: pa.Array, timezone: str) -> pd.Series:
    zone = getattr(values.type, "tz", None)
    times = pd.Series(values.cast(pa.timestamp("us", zone), safe=False).cast(_US).to_numpy(zero_copy_only=False))
    return times.dt.tz_localize("UTC") if zone else _localise(times, timezone)


def _read_epoch(values: pa.Array, unit: int) -> pd.Series:
    """Return times of numbers since 1970; integers are exact."""
    if is_text(values):
        values = pc.if_else(pc.match_substring_regex(values, "[eE]"), None, values)  # a spreadsheet's 1.76757E+12
    try:
        numbers = values.cast(pa.int64()).fill_null(0).to_numpy()  # 0 is not believable
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        numbers = parse_number(values, ValueFormat(decimal="."))[0]
    with np.errstate(invalid="ignore"):
        known = (numbers >= _FIRST_US / 1e6 * unit) & (numbers < _END_US / 1e6 * unit)
    scaled = numbers[known] * (10**6 // unit) if unit <= 10**6 else numbers[known] // (unit // 10**6)
    times = np.full(len(numbers), np.datetime64("NaT"), "datetime64[us]")
    times[known] = np.rint(scaled).astype(np.int64).view("datetime64[us]")
    return pd.Series(times).dt.tz_localize("UTC")


def _read_iso(texts: pa.Array, timezone: str) -> pd.Series:
    texts = pc.replace_substring_regex(texts, r"([0-9])\s*(UTC|z)$", r"\1Z")
    texts = pc.if_else(pc.match_substring_regex(texts, _ISO_DATE), texts, None)  # pandas reads "now", and years
    if timezone == "UTC":
        return _to_datetime(texts, "ISO8601", utc=True)
    zoned = pc.match_substring_regex(texts, _ISO_ZONE)
    times = _to_datetime(pc.if_else(zoned, texts, None), "ISO8601", utc=True)
    local = _to_datetime(pc.if_else(zoned, None, texts), "ISO8601", utc=False)
    return times.fillna(_localise(local, timezone))


def _to_datetime(texts: pa.Array, timestamp_format: str, utc: bool) -> pd.Series:
    times: pd.Series = pd.to_datetime(texts.to_pandas(), format=timestamp_format, utc=utc, errors="coerce")
    return times


def _localise(times: pd.Series, timezone: str) -> pd.Series:
    """Return times in UTC; local times that exist twice are the first, those that do not exist become missing."""
    if times.dt.tz is not None:
        return times
    first = np.ones(len(times), bool)
    in_utc: pd.Series = times.dt.tz_localize(timezone, ambiguous=first, nonexistent="NaT").dt.tz_convert("UTC")
    return in_utc


def count_ambiguous(values: pa.Array, times: pd.Series, value_format: ValueFormat) -> int:
    """Return how many times without a zone exist twice, because clocks were set back."""
    zone = value_format.timezone
    if zone == "UTC" or _have_zones(values, value_format.timestamp_format):
        return 0
    local = times.dt.tz_convert(zone).dt.tz_localize(None)
    second = local.dt.tz_localize(zone, ambiguous=np.zeros(len(times), bool), nonexistent="NaT")
    ambiguous = (second.dt.tz_convert("UTC") != times) & times.notna()
    if is_text(values) and value_format.timestamp_format is None:
        zoned = pc.match_substring_regex(values, _ISO_ZONE).fill_null(False)
        ambiguous &= ~zoned.to_numpy(zero_copy_only=False)
    return int(ambiguous.sum())


def _have_zones(values: pa.Array, timestamp_format: str | None) -> bool:
    if pa.types.is_timestamp(values.type) or pa.types.is_date(values.type):
        return getattr(values.type, "tz", None) is not None
    return timestamp_format is not None and (timestamp_format in EPOCH_UNITS or _names_zone(timestamp_format))


def explain_times(texts: pa.Array, value_format: ValueFormat) -> list[str]:
    """Return the next step for each text that is no believable time, else ""."""
    times = _parse(texts, value_format.model_copy(update={"timezone": "UTC"}))
    pairs = zip(texts.to_pylist(), times, strict=True)
    return [
        _explain_text(text, value_format) if time is pd.NaT else _explain_time(time, value_format)
        for text, time in pairs
    ]


def _explain_time(time: pd.Timestamp, value_format: ValueFormat) -> str:
    if FIRST <= time < END:
        return f"clocks in {value_format.timezone} skip this hour"
    return f"before {FIRST.year} or after {END.year - 1}"


def _explain_text(text: str, value_format: ValueFormat) -> str:
    if re.fullmatch(r"[0-9.,]+[eE]\+?[0-9]+", text):
        return "shortened by a spreadsheet; export the numbers as text"
    if re.fullmatch(r"[0-9]+(\.[0-9]*)?", text):
        return _explain_number(float(text), value_format.timestamp_format)
    other_order = value_format.timestamp_format is None and re.match(r"[0-9]{1,2}([./-])[0-9]{1,2}\1[0-9]{2}", text)
    return "set timestamp_format, such as %d.%m.%Y" if other_order else ""


def _explain_number(number: float, timestamp_format: str | None) -> str:
    for name, unit in EPOCH_UNITS.items():
        if name != timestamp_format and FIRST.timestamp() <= number / unit < END.timestamp():
            return f"set timestamp_format: {name}"
    if _EXCEL_DAYS[0] <= number < _EXCEL_DAYS[1]:
        return "a serial date of Excel; write it as a date"
    if _COMPACT_DATES[0] <= number < _COMPACT_DATES[1]:
        return "set timestamp_format: %Y%m%d"
    return ""
