"""The evaluation of recommenders."""

import numpy as np
import pytest
from tests.support.item_events import event_rows, walk_circle

from adloom.config.params import Evaluate
from adloom.errors import DataError
from adloom.evaluation.metric import Figure, Table
from adloom.recommendation.evaluation import evaluate
from adloom.recommendation.item_neighbours import ItemNeighbours
from adloom.recommendation.popularity import Popularity
from adloom.recommendation.recommender import ItemScorer
from adloom.storage.table_scan import hold_rows

PARAMS = Evaluate(bootstraps=20)
ITEMS = np.array([f"item-{number:02}" for number in range(30)])
SHARE = np.linspace(1, 0, 30, dtype=np.float32)
NEXT = (np.arange(30, dtype=np.int32)[:, None] + 1) % 30  # the neighbour of each item
MODELS: dict[str, ItemScorer] = {
    "popularity": Popularity(SHARE, np.array([], str), np.zeros((0, 30), np.float32)),
    "neighbours": ItemNeighbours(NEXT, np.ones((30, 1), np.float32), SHARE),
}
CARD = {"chosen": "neighbours"}


def test_the_model_that_knows_the_circle_is_compared_with_popularity() -> None:
    events = hold_rows(event_rows(walk_circle(30, 30, 6), holdout=5))
    result = evaluate(MODELS, ITEMS, events, CARD, PARAMS, {"loss": [[1, 3.0]]})
    metrics = {name: metric.value for name, metric in result.metrics.items()}
    assert (metrics["recall_at_10"], metrics["ndcg_at_10"]) == (1, 1)
    assert metrics["popularity_recall_at_10"] <= 0.5
    assert metrics["ndcg_against_popularity"] == pytest.approx(1 / metrics["popularity_ndcg_at_10"])
    assert result.metrics["ndcg_against_popularity"].low > 1
    assert result.samples["ndcg_at_10"].rows == 30
    table, *pictures = result.sections
    assert isinstance(table, Table)
    assert [row[0] for row in table.rows] == ["Popularity", "Item-kNN (chosen)"]
    assert table.caption.startswith("30 next items of 30 users")
    assert all(isinstance(figure, Figure) and figure.png.startswith(b"\x89PNG") for figure in pictures)


def test_a_popularity_that_never_hits_leaves_the_ratio_out() -> None:
    events = hold_rows(event_rows({"u1": ["item-20", "item-21"]}, holdout=1))
    result = evaluate(MODELS, ITEMS, events, CARD, PARAMS, {})
    assert result.metrics["ndcg_at_10"].value == 1
    assert "ndcg_against_popularity" not in result.metrics


@pytest.mark.parametrize(
    ("orders", "said"),
    [
        ({"u1": ["item-01"]}, "events: 0 rows in the holdout period; set prepare.events.holdout_start"),
        ({"u1": ["item-01", "item-01"]}, "events: no user has a new item in the holdout period"),
    ],
)
def test_a_holdout_without_new_items_is_an_error(orders: dict[str, list[str]], said: str) -> None:
    with pytest.raises(DataError, match=said):
        evaluate(MODELS, ITEMS, hold_rows(event_rows(orders, holdout=1)), CARD, PARAMS, {})
