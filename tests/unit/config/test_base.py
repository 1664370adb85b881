"""Blocks of params.yaml: strict keys, digests and JSON."""

from pathlib import Path
from typing import Any

import pytest
from tests.support.params_files import SHIPPED, load_error

from adloom.config import params
from adloom.errors import ConfigError


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
    assert f"{block}.{wrong}: unknown key; did you mean {right}?" in load_error(raw, tmp_path)


def test_a_misspelt_key_inside_a_source_is_named(raw: dict[str, Any], tmp_path: Path) -> None:
    raw["ingest"]["events"]["separater"] = ";"
    assert "ingest.events.separater: unknown key; did you mean separator?" in load_error(raw, tmp_path)


def test_a_key_like_no_other_is_answered_with_all_known_keys(raw: dict[str, Any], tmp_path: Path) -> None:
    raw["evaluate"]["zzzzzz"] = 1
    assert "known keys: bootstraps, " in load_error(raw, tmp_path)


def test_a_number_out_of_range_is_named_with_its_value(raw: dict[str, Any], tmp_path: Path) -> None:
    raw["train_cnn"]["batch_size"] = -4
    assert "train_cnn.batch_size: Input should be greater than 0, got -4" in load_error(raw, tmp_path)


def test_a_string_for_a_number_is_refused_rather_than_guessed(raw: dict[str, Any], tmp_path: Path) -> None:
    raw["train_cnn"]["batch_size"] = "64"
    assert "train_cnn.batch_size" in load_error(raw, tmp_path)


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
