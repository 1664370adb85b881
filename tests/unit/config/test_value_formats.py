"""How sources write values: keys are checked when params.yaml is read."""

import pytest
from pydantic import ValidationError

from adloom.config.params import parse
from adloom.config.value_formats import ValueFormat


@pytest.mark.parametrize(
    ("key", "value", "part"),
    [
        ("timestamp_format", "%Q", "%Q cannot be read; known are A, B"),
        ("timestamp_format", "%s", "%s cannot be read; use epoch_s"),
        ("timestamp_format", "%F %T", "write %Y-%m-%d"),
        ("timestamp_format", "%", "% cannot be read"),
        ("timestamp_format", "%H:%M", "names no day"),
        ("timestamp_format", "%d.%m.", "names no day"),
        ("timestamp_format", "%m/%Y", "names no day"),
        ("timestamp_format", "YYYY-MM-DD", "names no day"),
        ("timestamp_format", "mixed", "names no day"),
        ("timestamp_format", "epoch", "epoch_s, epoch_ms, epoch_us, epoch_ns"),
        ("timestamp_format", "%Y-%m-%d %d", "twice"),
        ("timestamp_format", "%d.%m.%Y %I:%M", "%I needs %p"),
        ("timezone", "Berlin", "expected an IANA time zone such as Europe/Berlin"),
        ("timezone", "+02:00", "expected an IANA time zone"),
        ("decimal", ";", "'.' or ','"),
        ("thousands", "_", "','"),
    ],
)
def test_a_bad_key_is_refused(key: str, value: str, part: str) -> None:
    with pytest.raises(ValidationError) as caught:
        ValueFormat.model_validate({key: value})
    assert part in str(caught.value)


def test_signs_must_differ() -> None:
    for signs in ({"decimal": ",", "thousands": ","}, {"decimal": ".", "thousands": "."}):
        with pytest.raises(ValidationError, match="set them to different signs"):
            ValueFormat.model_validate(signs)
    assert ValueFormat(thousands=".").decimal_sign == ","
    assert ValueFormat().decimal_sign == "."


@pytest.mark.parametrize(
    "timestamp_format",
    ["%d.%m.%Y", "%Y%m%d", "%m/%d/%y %I:%M %p", "%d %b %Y %H:%M:%S.%f %z", "%Y-%j", "epoch_ns", "100%% %Y%m%d"],
)
def test_a_format_is_parsed_from_its_json(timestamp_format: str) -> None:
    value_format = ValueFormat(timestamp_format=timestamp_format, timezone="Europe/Berlin", null_values=["x"])
    assert parse(ValueFormat, value_format.to_json()) == value_format
