"""params.yaml as a whole: values, rules across blocks, files that are not YAML."""

from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.support.params_files import SHIPPED, load_error

from adloom.config import params
from adloom.config.params import Period
from adloom.errors import ConfigError


def test_shipped_params_load() -> None:
    assert params.load(SHIPPED).project == "demo"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"segment": {"segments_min": 9}}, "segments_min must not be above segments_max"),
        ({"prepare": {"events": None}}, "prepare.events: holdout_start and end are required"),
        (
            {"train_gan": {"nodes": 3, "devices": 2}},
            "train_gan: batch_size 64 cannot be divided evenly among 6 processes",
        ),
        ({"train_gan": {"seed": 2**32}}, "train_gan.seed: Input should be less than 4294967296"),
        ({"train_gan": {"learning_rate": float("inf")}}, "train_gan.learning_rate: Input should be a finite number"),
        ({"segment": {"enabled": "on"}}, "segment.enabled: expected true or false, got 'on'"),
        (
            {"train_policy": {"reward": "value"}},
            "no rule compares value_per_impression, which train_policy.reward: value optimises; add {metric: value_per",
        ),
        ({"train_policy": {"attribution_hours": 2}}, "attribution_hours: 2 is above maturity_hours: 1"),
        ({"segment": {"min_segment_size": 10}}, "smallest_segment must not be above segment.min_segment_size"),
    ],
)
def test_values_that_no_stage_can_take_are_refused(
    raw: dict[str, Any], tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    for block, values in change.items():
        raw[block].update(values)
    assert message in load_error(raw, tmp_path)


def test_a_project_is_named_like_an_example(raw: dict[str, Any], tmp_path: Path) -> None:
    raw["project"] = "My Shop"
    assert "project: expected at most 40 lower-case letters, digits and hyphens, such as my-shop, got 'My Shop'" in (
        load_error(raw, tmp_path)
    )


def test_a_bare_date_is_refused_since_dvc_cannot_read_it(raw: dict[str, Any], tmp_path: Path) -> None:
    raw["prepare"]["events"]["end"] = date(1998, 7, 1)
    assert "prepare.events.end: put the date in quotes" in load_error(raw, tmp_path)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11-26", date(2026, 11, 26)),
        ("2026-11-26T17:30", datetime(2026, 11, 26, 17, 30)),
        ("2026-11-26T17:30+02:00", datetime(2026, 11, 26, 15, 30)),
    ],
)
def test_a_period_starts_at_a_day_or_a_time_in_utc(text: str, expected: date) -> None:
    period = Period.model_validate({"holdout_start": text, "end": "2026-12-01"})
    assert period.holdout_start == expected
    assert Period.model_validate(period.model_dump(mode="json")) == period


@pytest.mark.parametrize(
    ("start", "end"), [("1998-07-01T00:00:01", "1998-07-01"), ("1998-07-01", "1998-07-01T00:00:00")]
)
def test_a_period_that_ends_before_it_starts_is_refused(
    raw: dict[str, Any], tmp_path: Path, start: str, end: str
) -> None:
    raw["prepare"]["events"] = {"holdout_start": start, "end": end}
    assert "prepare.events: holdout_start must be before end" in load_error(raw, tmp_path)


def test_a_missing_file_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="`adloom init` writes one"):
        params.load(tmp_path / "absent.yaml")


@pytest.mark.parametrize("text", ["", "- a\n- b\n", "a: [1\n", "\x00"])
def test_a_file_without_a_mapping_is_an_error(tmp_path: Path, text: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match="expected a mapping|not YAML"):
        params.load(path)


def test_every_key_is_explained() -> None:
    schema = params.Params.model_json_schema()
    silent = [
        f"{name}.{key}"
        for name, block in schema["$defs"].items()
        for key, field in block["properties"].items()
        if "description" not in field
    ]
    assert silent == []
