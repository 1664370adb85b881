"""The recommender as it serves."""

from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from tests.support.tiny_models import RECOMMENDED, write_recommender

from adloom.recommendation.recommender import (
    Recommender,
    describe_columns,
    load_items,
    load_models,
    load_popularity,
    select_top_items,
)

NOTHING = np.array([], np.int32)


@given(st.lists(st.integers(0, 3), min_size=1, max_size=12), st.integers(1, 15), st.sets(st.integers(0, 11)))
def test_the_top_is_that_of_a_full_sort(scores: list[int], n: int, seen: set[int]) -> None:
    without = np.array(sorted(number for number in seen if number < len(scores)), np.int32)
    expected = [i for i in sorted(range(len(scores)), key=lambda i: (-scores[i], i)) if i not in seen][:n]
    assert select_top_items(np.array(scores, np.float32), n, without) == expected


@given(st.integers(0, 2**32 - 1), st.integers(1, 20), st.sampled_from([300, 1280, 1300]))
def test_the_top_of_many_items_is_that_of_a_full_sort(seed: int, n: int, items: int) -> None:
    rng = np.random.default_rng(seed)
    scores, seen = rng.integers(0, 40, items).astype(np.float32), rng.integers(0, items, 200).astype(np.int32)
    kept = np.setdiff1d(np.arange(items), seen)
    expected = kept[np.argsort(-scores[kept], kind="stable")][:n]
    assert select_top_items(scores, n, seen) == expected.tolist()


def test_it_ranks_by_its_model_or_by_popularity(tmp_path: Path) -> None:
    write_recommender(tmp_path / "recommender")
    folder = tmp_path / "recommender"
    models = load_models(folder, None)
    assert list(models) == ["popularity", "neighbours"]
    recommender = Recommender(load_items(folder), load_popularity(folder), models["neighbours"])
    history = recommender.find_items(["item-b", "no item", "item-a"])
    assert history.tolist() == [1, 0]
    assert recommender.rank(history, 2, history) == ["item-c", "item-d"]
    assert recommender.rank(history, 2, NOTHING) == ["item-b", "item-c"]
    assert recommender.rank(NOTHING, 2, NOTHING) == ["item-d", "item-a"]
    assert recommender.rank(NOTHING, 9, NOTHING, "segment-2") == ["item-c", "item-a", "item-b", "item-d"]
    assert recommender.rank_popular(2, history) == ["item-d", "item-c"]
    assert recommender.rank(np.arange(4, dtype=np.int32), 2, np.arange(4, dtype=np.int32)) == []


def test_mlflow_gets_an_example(tmp_path: Path) -> None:
    write_recommender(tmp_path / "recommender")
    assert describe_columns(tmp_path / "recommender").example == {"item": RECOMMENDED[0]}
