"""The choice of a recommender."""

import numpy as np

from adloom.evaluation import statistics
from adloom.evaluation.metric import Sample
from adloom.recommendation.model_selection import choose


def measured(gains: list[float]) -> dict[str, Sample]:
    return {"ndcg_at_10": Sample((np.array(gains), np.ones(len(gains))), statistics.ratio, "share")}


def test_a_model_must_be_better_by_an_interval_than_the_one_before() -> None:
    rng = np.random.default_rng(0)
    base = rng.random(300) / 2
    samples = {
        "popularity": measured(base.tolist()),
        "neighbours": measured((base + 0.1).tolist()),
        "factors": measured((base + 0.1 + rng.normal(0, 0.2, 300)).tolist()),  # as good, by chance a little better
        "lstm": measured((base + 0.05).tolist()),  # better than popularity, worse than item-kNN
    }
    chosen, results = choose(samples, seed=1)
    assert chosen == "neighbours"
    assert {name: result.is_better for name, result in results.items()} == {
        "popularity": True, "neighbours": True, "factors": False, "lstm": False,
    }  # fmt: skip
    assert results["popularity"].gain is None
    gain = results["lstm"].gain
    assert gain is not None
    assert abs(gain.value + 0.05) < 1e-9


def test_equal_models_leave_popularity() -> None:
    same = measured([0.5, 0.0, 1.0])
    assert choose({"popularity": same, "lstm": same}, seed=1)[0] == "popularity"
