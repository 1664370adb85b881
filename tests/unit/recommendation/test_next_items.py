"""Recall and NDCG of next items, by hand."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.item_events import find_day, interact

from adloom.arrays import Float32Array, Int32Array
from adloom.recommendation import next_items
from adloom.recommendation.next_items import find_cases, find_ranks, measure_ranks, ndcg, recall


@dataclass(frozen=True)
class Fixed:
    """Scores that do not depend on the history."""

    scores: Sequence[float]

    def score(self, histories: Sequence[Int32Array]) -> Float32Array:
        return np.tile(np.array(self.scores, np.float32), (len(histories), 1))


def test_recall_and_ndcg_by_hand() -> None:
    ranks = np.array([1.0, 2.0, 3.0, 10.0, 11.0, np.inf])
    assert recall(ranks).tolist() == [1, 1, 1, 1, 0, 0]
    assert ndcg(ranks) == pytest.approx([1, 0.6309298, 0.5, 0.2890648, 0, 0])  # 1 / log2(rank + 1)


def test_a_users_cases_are_the_new_items_after_all_before() -> None:
    cases = find_cases(interact({"u1": ["a", "b", "a", "c"], "u2": ["b"], "u3": ["c", "c", "c"]}), find_day(1))
    assert cases.target.tolist() == [1, 2]  # u1: b, then c; a and u3's c are not new
    assert [history.tolist() for history in cases.histories] == [[0], [0, 1, 0]]
    assert (cases.user.tolist(), cases.users) == ([0, 0], 1)


def test_a_rank_counts_the_items_that_the_user_lacks() -> None:
    interactions = interact({"u1": ["a", "b"], "u2": ["c", "d"], "u3": ["d", "a", "c"], "u4": ["b"]})
    cases = find_cases(interactions, find_day(1))
    scorer, popularity = Fixed([4, 3, 3, 1]), Fixed([0, 0, 0, 0])
    # u1 has a: b is first. u2 has c: a, b, d. u3 has d: a; then c behind b, as they are equal.
    assert find_ranks(scorer, popularity, cases, 4).tolist() == [1, 3, 1, 2]
    ndcg_sample = measure_ranks(find_ranks(scorer, popularity, cases, 4), cases)["ndcg_at_10"]
    assert ndcg_sample.columns[0] == pytest.approx([1, 0.5, 1 + 0.6309298])  # by user
    assert ndcg_sample.columns[1].tolist() == [1, 1, 2]


def test_users_without_history_get_popularity_and_unknown_items_are_missed() -> None:
    interactions = interact({"u1": ["b"], "u2": ["x", "a"]})
    known = interactions.items.tolist().index("x")
    unknown = interactions.__class__(
        interactions.users, np.array(["a", "b"]), interactions.starts,
        np.where(interactions.item == known, -1, interactions.item).astype(np.int32), interactions.time,
    )  # fmt: skip
    cases = find_cases(unknown, find_day(0))
    assert [history.tolist() for history in cases.histories] == [[], [], []]
    assert find_ranks(Fixed([0, 1]), Fixed([1, 0]), cases, 2).tolist() == [2, np.inf, 1]


def test_one_user_has_a_limited_number_of_cases(monkeypatch: pytest.MonkeyPatch) -> None:
    interactions = interact({"u1": [f"i{number:03}" for number in range(80)], "u2": ["i000"]})
    cases = find_cases(interactions, find_day(0))
    assert np.bincount(cases.user).tolist() == [next_items.MAX_CASES, 1]
    assert [len(history) for history in cases.histories[:3]] == [0, 1, 2]


@given(st.lists(st.integers(0, 5), min_size=6, max_size=6), st.integers(0, 5))
def test_the_ranks_of_all_items_are_one_to_n(scores: list[int], batch: int) -> None:
    cases = next_items.Cases([np.array([], np.int32)] * 6, np.arange(6, dtype=np.int32), np.arange(6), 6)
    ranks = find_ranks(Fixed([]), Fixed(scores), cases, 6)
    assert sorted(ranks) == [1, 2, 3, 4, 5, 6]
    assert scores[int(np.argmin(ranks))] == max(scores)
