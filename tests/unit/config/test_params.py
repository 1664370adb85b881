from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml

from adloom.config import params
from adloom.errors import ConfigError

SHIPPED = Path(__file__).parents[3] / "params.yaml"


@pytest.fixture
def raw() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(SHIPPED.read_text(encoding="utf-8"))
    return loaded


def refused(raw: dict[str, Any], tmp_path: Path) -> str:
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(raw), encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        params.load(path)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(str(path))
    return message


def test_shipped_params_load() -> None:
    assert params.load(SHIPPED).project == "demo"


@pytest.mark.parametrize(
    ("block", "wrong", "right"),
    [
        ("train_gan", "widht", "width"),
        ("prepare", "max_quarantine", "max_quarantine_rate"),
        ("evaluate", "sed", "seed"),
    ],
)
def test_a_misspelt_key_is_named_with_the_nearest_known(
    raw: dict[str, Any], tmp_path: Path, block: str, wrong: str, right: str
) -> None:
    raw[block][wrong] = 1
    assert f"{block}.{wrong}: unknown key; did you mean {right}?" in refused(raw, tmp_path)


def test_a_misspelt_key_inside_a_source_is_named(raw: dict[str, Any], tmp_path: Path) -> None:
    raw["ingest"]["events"]["separater"] = ";"
    assert "ingest.events.separater: unknown key; did you mean separator?" in refused(raw, tmp_path)


def test_a_key_like_no_other_is_answered_with_all_known_keys(raw: dict[str, Any], tmp_path: Path) -> None:
    raw["evaluate"]["zzzzzz"] = 1
    assert "known keys: bootstraps, " in refused(raw, tmp_path)


def test_a_number_out_of_range_is_named_with_its_value(raw: dict[str, Any], tmp_path: Path) -> None:
    raw["train_cnn"]["batch_size"] = -4
    assert "train_cnn.batch_size: Input should be greater than 0, got -4" in refused(raw, tmp_path)


def test_a_string_for_a_number_is_refused_rather_than_guessed(raw: dict[str, Any], tmp_path: Path) -> None:
    raw["train_cnn"]["batch_size"] = "64"
    assert "train_cnn.batch_size" in refused(raw, tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"segment": {"segments_min": 9}}, "segments_min must not be above segments_max"),
        ({"prepare": {"events": None}}, "prepare.events: holdout_start and end are required"),
        (
            {"train_gan": {"nodes": 3, "devices": 2}},
            "train_gan: batch_size 64 cannot be divided evenly among 6 processes",
        ),
        ({"segment": {"min_segment_size": 10}}, "smallest_segment must not be above segment.min_segment_size"),
    ],
)
def test_rules_across_fields(raw: dict[str, Any], tmp_path: Path, change: dict[str, Any], message: str) -> None:
    for block, values in change.items():
        raw[block].update(values)
    assert message in refused(raw, tmp_path)


def test_a_rule_needs_one_side(raw: dict[str, Any], tmp_path: Path) -> None:
    raw["gate"]["cnn"] = [{"metric": "accuracy", "at_least": 0.9, "at_most": 1.0}]
    assert "rule for accuracy: set at_least or at_most" in refused(raw, tmp_path)
    raw["gate"]["cnn"] = [{"metric": "accuracy"}]
    assert "rule for accuracy: set at_least or at_most" in refused(raw, tmp_path)


def test_a_bare_date_is_refused_since_dvc_cannot_read_it(raw: dict[str, Any], tmp_path: Path) -> None:
    raw["prepare"]["events"]["end"] = date(1998, 7, 1)
    assert "prepare.events.end: put the date in quotes" in refused(raw, tmp_path)


def test_a_missing_file_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="`adloom init` writes one"):
        params.load(tmp_path / "absent.yaml")


@pytest.mark.parametrize("text", ["", "- a\n- b\n", "a: [1\n", "\x00"])
def test_what_is_not_a_mapping_is_refused(tmp_path: Path, text: str) -> None:
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


def test_the_digest_of_a_block_is_a_function_of_its_values_alone() -> None:
    one, two = params.load(SHIPPED), params.load(SHIPPED)
    assert one.segment.digest() == two.segment.digest()
    assert one.segment.digest() != one.segment.model_copy(update={"seed": 8}).digest()


@pytest.mark.parametrize(
    "stage", ["ingest", "prepare", "train_gan", "segment", "evaluate", "report", "register", "score"]
)
def test_a_block_survives_as_json(stage: str) -> None:
    block = params.load(SHIPPED).block(stage)
    assert params.parse(params.stage_class(stage), block.to_json()) == block


def test_a_broken_block_names_the_key() -> None:
    with pytest.raises(
        ConfigError, match="block of TrainCnn: epochs: required; .*learning_rat: unknown key; did you mean"
    ):
        params.parse(params.TrainCnn, '{"learning_rat": 1}')


def test_resources_for_an_unknown_stage_are_rejected(raw: dict[str, Any], tmp_path: Path) -> None:
    raw["pipeline"] = {"stages": {"train_gna": {"cpu": "2"}}}
    assert "pipeline.stages: unknown stage train_gna" in refused(raw, tmp_path)
