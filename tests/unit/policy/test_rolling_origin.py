"""Origins: models learn before, are judged after, and choose among creatives that ran before."""

import numpy as np
import pytest
from tests.support.impression_tables import NO_CATEGORIES, dense_probabilities, impressions_frame, read_frame, read_rows

from adloom.policy import model_selection, models, rolling_origin
from adloom.policy.impressions import Impressions
from adloom.policy.ope import terms
from adloom.policy.ope.reward_model import cross_fit


def read_rotating(weeks: int = 4, rows: int = 2000) -> Impressions:
    """Return uniform decisions over two creatives: each week one enters and the oldest leaves."""
    rng = np.random.default_rng(0)
    week = np.arange(rows) * weeks // rows
    offered = [[f"c{number}", f"c{number + 1}"] for number in week]
    shown = [pair[i] for pair, i in zip(offered, rng.integers(2, size=rows), strict=True)]
    better = np.array([name in ("c1", "c3") for name in shown])
    return read_rows(
        impressions_frame(
            creative_id=shown, clicked=rng.random(rows) < np.where(better, 0.3, 0.1), candidates=offered,
            hours=np.arange(rows) * weeks * 168 / rows,
        )
    )[0]  # fmt: skip


def test_origins_part_what_teaches_from_what_judges() -> None:
    data = read_frame(creative_id=["a", "b"] * 50, clicked=np.arange(100) % 4 < 2)  # an hour apart
    folds = rolling_origin.split_origins(data)
    assert [len(fold.early) for fold in folds] == [40, 50, 60, 70, 80, 90]
    assert np.concatenate([fold.rows for fold in folds]).tolist() == list(range(40, 100))
    assert all(fold.late.timestamp[0] > fold.early.timestamp[-1] for fold in folds)


def test_only_creatives_of_before_the_origin_can_be_chosen() -> None:
    data = read_frame(creative_id=["a", "b"] * 20 + ["a", "c", "b"] * 20, clicked=np.arange(100) % 4 < 2)
    fold = rolling_origin.split_origins(data)[0]
    assert (fold.early.count, len(fold.late)) == (40, 10)
    shares = dense_probabilities(models.fit_uniform(fold.early, NO_CATEGORIES), fold.late)
    np.testing.assert_allclose(shares, [[0.5, 0.5, 0.0]] * 10)


def test_rows_without_a_choice_among_known_creatives_do_not_judge() -> None:
    data = read_rotating()
    folds = rolling_origin.split_origins(data)
    candidates = [{data.creatives[i] for i in fold.late.sets.candidates} for fold in folds]
    assert candidates == [
        {"c1", "c2"},
        {"c2", "c3"},
        {"c2", "c3"},
        {"c3", "c4"},
        {"c3", "c4"},
    ]  # none of week 3's start


def test_a_policy_of_known_creatives_is_estimated_without_bias() -> None:
    """With c new at the origin, the share of a and b doubles, and so do the weights of their impressions."""
    rng = np.random.default_rng(1)
    names = rng.choice(["a", "b", "c", "d"], 8000)
    names[:3200] = rng.choice(["a", "b"], 3200)
    clicked = rng.random(8000) < np.select([names == "a", names == "b"], [0.2, 0.1], 0.9)
    propensity = np.where(np.arange(8000) < 3200, 0.5, 0.25)
    offered = [["a", "b"]] * 3200 + [["a", "b", "c", "d"]] * 4800
    data = read_frame(
        creative_id=names, clicked=clicked, propensity=propensity, candidates=offered, hours=np.arange(8000) / 100
    )
    [fold, *_] = folds = rolling_origin.split_origins(data)[:1]
    log = model_selection.to_log(data.select(fold.rows))
    scorer = rolling_origin.FoldScorer(folds, [models.fit_uniform(fold.early, NO_CATEGORIES)], log.cell)
    predicted = cross_fit(log.rates)
    result = terms.collect_terms(log, scorer.score_batches(1.0, 0.0), predicted)
    weight = result.target / log.propensity
    assert weight.tolist() == (2.0 * (data.shown[fold.rows] < 2)).tolist()
    assert (weight * log.reward).mean() == pytest.approx(0.15, abs=0.04)
