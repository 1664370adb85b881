"""The recommender that serves ranks as its model scores."""

from pathlib import Path

import numpy as np
import pytest
from tests.support.tiny_models import write_recommender

from adloom.recommendation.factorization import ItemFactors
from adloom.recommendation.recommender import select_top_items
from adloom.serving.models.card import ModelCard
from adloom.serving.models.recommender import ItemRecommender, open_recommender
from adloom.storage import npz

ITEMS = 700


@pytest.fixture
def served(tmp_path: Path) -> ItemRecommender:
    """A matrix factorisation of random factors."""
    write_recommender(tmp_path / "recommender")
    factors = np.random.default_rng(3).normal(size=(ITEMS, 8)).astype(np.float32)
    npz.save(tmp_path / "recommender/factors.npz", **ItemFactors(factors, 4.0, 1.0).to_arrays())
    npz.save(tmp_path / "recommender/items.npz", items=np.array([f"item-{number:03}" for number in range(ITEMS)]))
    return open_recommender(tmp_path / "recommender", ModelCard(categories=[], chosen="factors"), 1)


def test_the_shortlist_gives_the_order_of_all_scores(served: ItemRecommender) -> None:
    recommender, history = served.recommender, np.array([5, 600, 42], np.int32)
    scores = recommender.scorer.score([history])[0]
    assert recommender.shortlist is not None
    for seen in (history, history[:0]):
        assert recommender.find_items(recommender.rank(history, 20, seen)).tolist() == select_top_items(
            scores, 20, seen
        )
