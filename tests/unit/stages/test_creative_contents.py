"""Texts and categories of creatives come from the tables that impressions join."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tests.conftest import MakeTable
from tests.support.impression_tables import impressions_frame
from tests.support.policies import PARAMS

from adloom.config.sources import Source
from adloom.context import StageContext
from adloom.policy.content_model import TEXT_BUCKETS
from adloom.policy.scorer import Policy
from adloom.stages.creative_contents import read_contents
from adloom.stages.train_policy import Inputs, Outputs, run
from adloom.storage import manifest

WORDS_ALONE = PARAMS.model_copy(update={"text_encoder": None})


@pytest.fixture
def nothing(tmp_path: Path) -> Path:
    manifest.skip(tmp_path / "nothing", "prepare", Source(uri="x"), "no source")
    return tmp_path / "nothing"


def rotate_lines(seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the impressions of 60 lines, 15 a week for four weeks, and the table of these and 20 new ones."""
    rng = np.random.default_rng(seed)
    words = np.array(["soft", "wool", "coat", "red", "bag", "new", "warm", "light", "blue", "sale", "free", "today"])
    effects = rng.normal(0, 0.5, len(words))
    chosen = np.array([rng.choice(len(words), 4, replace=False) for _ in range(80)])
    truth = effects[chosen].sum(1)
    lines = pd.DataFrame(
        {"copy_id": [f"line-{number:02}" for number in range(80)], "text": [" ".join(row) for row in words[chosen]]}
    ).assign(category=None, split="train", truth=truth)
    shown = 15 * (np.arange(12_000) // 3_000) + rng.integers(15, size=12_000)
    rows = impressions_frame(
        creative_id=lines["copy_id"].to_numpy()[shown], clicked=rng.random(12_000) < 0.1 * np.exp(truth[shown] / 2),
        hours=np.arange(12_000) / 18, propensity=1 / 15,
    )  # fmt: skip
    candidates = [lines["copy_id"][start : start + 15].tolist() for start in range(0, 60, 15)]
    offered = pd.Series([candidates[row // 15] for row in shown])
    return rows.assign(split="calibration", candidates=offered), lines


def test_a_new_line_starts_by_its_text(
    make_table: MakeTable, nothing: Path, tmp_path: Path, context: StageContext
) -> None:
    rows, lines = rotate_lines(seed=0)
    inputs = Inputs(make_table("impressions", rows), nothing, nothing, nothing, make_table("copy", lines))
    run(inputs, Outputs(tmp_path / "policy"), WORDS_ALONE, context)
    policy = Policy.load(tmp_path / "policy" / "policy.npz")
    assert policy.new == 20
    scores = policy.bias[[policy.creatives.index(name) for name in lines["copy_id"][60:]]]
    assert np.corrcoef(scores, lines["truth"][60:])[0, 1] > 0.5  # the category alone knows no difference


def test_the_table_of_creatives_comes_before_that_of_copy(
    make_table: MakeTable, nothing: Path, context: StageContext
) -> None:
    creatives = pd.DataFrame({"creative_id": ["a", "b"], "category": ["Bag", "Coat"], "text": ["Red bag", None]})
    copy = pd.DataFrame({"copy_id": ["a", "b", "c"], "category": [None, "Boot", None], "text": ["no", "Warm", "Dry"]})
    paths = [make_table(name, rows.assign(split="train")) for name, rows in (("creatives", creatives), ("copy", copy))]
    categories, contents = read_contents(paths[0], paths[1], nothing, ["a", "c"], WORDS_ALONE, context)
    assert categories.of == {"a": "Bag", "b": "Coat"}
    assert contents is not None
    assert contents.creatives.tolist() == ["a", "b", "c"]
    assert contents.category.tolist() == ["Bag", "Coat", ""]
    assert contents.features[:, TEXT_BUCKETS].tolist() == pytest.approx([7 / 50, 4 / 50, 3 / 50])  # lengths


def test_lines_without_impressions_are_not_joined(make_table: MakeTable, nothing: Path, context: StageContext) -> None:
    copy = make_table("copy", pd.DataFrame({"copy_id": ["00000001"], "text": ["Warm"], "split": ["train"]}))
    assert read_contents(nothing, copy, nothing, ["1"], WORDS_ALONE, context)[1] is None
