"""The click model on simulated tests with known truth, and its pairs by hand."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tests.support.headline_tests import simulate_tests

from adloom.copywriting import click_evaluation, click_model
from adloom.copywriting.click_model import ClickModel, load_click_model, rank_lines
from adloom.storage import npz

HELD, TEST = (simulate_tests(n, i, s) for i, (n, s) in enumerate([(80, "held"), (150, "test")], 1))


@pytest.fixture(scope="module")
def train() -> pd.DataFrame:
    return simulate_tests(500, 0)


@pytest.fixture(scope="module")
def model(train: pd.DataFrame) -> ClickModel:
    fitted = click_model.fit(train, HELD)
    assert fitted
    return fitted


@pytest.mark.slow
def test_it_ranks_better_than_ridge_on_rates_and_nearly_as_the_truth(model: ClickModel, train: pd.DataFrame) -> None:
    samples = click_evaluation.measure(model, train, TEST)
    ours, ridge = (samples[f"{name}best_over_worst"].columns[0].mean() for name in ("", "ridge_"))
    best, worst = click_evaluation.find_extremes(TEST)
    truth = (best["truth"] > worst["truth"]).mean()
    assert ours > ridge + 0.05
    assert ours > truth - 0.08


@pytest.mark.slow
def test_a_saved_model_ranks_the_same(model: ClickModel, tmp_path: Path) -> None:
    npz.save(tmp_path / "clicks.npz", **model.to_arrays())
    loaded = load_click_model(tmp_path / "clicks.npz")
    assert loaded
    lines = TEST["text"].tolist()[:50]
    assert loaded.score(lines) == pytest.approx(model.score(lines), abs=1e-5)
    ranked = rank_lines(loaded, [*lines, lines[0]])
    assert sorted(ranked) == sorted({*lines})
    assert (np.diff(loaded.score(ranked)) <= 0).all()
    assert load_click_model(tmp_path / "none.npz") is None


def frame(*rows: tuple[str | None, int | None, int | None]) -> pd.DataFrame:
    lines = pd.DataFrame(rows, columns=["group", "impressions", "clicks"]).astype(
        {"impressions": "Int64", "clicks": "Int64"}
    )
    return lines.assign(text=[f"line {i}" for i in range(len(rows))])


def test_pairs_are_of_one_group_each_once_and_certain_where_clicks_are_many() -> None:
    rows = frame(("a", 1000, 10), ("a", 1000, 90), ("b", 1000, 50), ("a", 1000, 12), ("b", 1000, 50), ("a", 0, 0))
    pairs = click_model.list_pairs(rows)
    certainty = dict(zip(zip(pairs.better.tolist(), pairs.worse.tolist(), strict=True), pairs.certainty, strict=True))
    assert certainty.keys() == {(1, 0), (1, 3), (3, 0)}  # equal rates tell nothing, and no impressions neither
    assert certainty[1, 0] > 0.99
    assert 0 < certainty[3, 0] < 0.5


def test_large_groups_give_eight_partners_to_each_line() -> None:
    rows = frame(*[(None, 1000, 10 + i) for i in range(30)])
    pairs = click_model.list_pairs(rows)
    assert np.bincount(np.concatenate([pairs.better, pairs.worse])).tolist() == [8] * 30


def test_lines_without_outcomes_train_no_model() -> None:
    assert click_model.fit(frame(("a", None, None), ("a", None, None)), HELD) is None
    assert click_model.fit(frame(("a", 10, 1), ("b", 10, 2)), HELD) is None
    assert click_model.fit(HELD[["text"]], HELD) is None


def test_emoji_and_empty_lines_have_scores() -> None:
    assert np.isfinite(
        ClickModel(np.ones(click_model.BUCKETS)).score(["\U0001f600", "", "\u05e9\u05dc\u05d5\u05dd"])
    ).all()
