"""Distinct lists of candidates."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adloom.policy import candidate_sets
from adloom.policy.candidate_sets import CandidateIndex, CandidateSets

names = st.sampled_from(["a", "b", "c", "ä", "z" * 9])


@given(st.lists(st.tuples(names, st.none() | st.lists(names, max_size=4)), min_size=1, max_size=20), st.integers(1, 7))
def test_lists_are_kept_as_sets_with_the_shown_creative(rows: list[tuple[str, list[str] | None]], size: int) -> None:
    index, shown, offered = CandidateIndex(), [], []
    everything = sorted({name for name, _ in rows})
    for start in range(0, len(rows), size):
        creative, lists = (pd.Series(list(part)) for part in zip(*rows[start : start + size], strict=True))
        shown.append(index.number_creatives(creative))
        place = pd.Series("top", creative.index)
        offered.append(index.number_sets(lists.astype("object"), place, shown[-1], {"top": everything}))
    creatives, sets, rank = index.finish()
    result = [[creatives[i] for i in sets[number]] for number in np.concatenate(offered)]
    assert result == [everything if own is None else sorted({*own, name}) for name, own in rows]
    assert [creatives[i] for i in rank[np.concatenate(shown)]] == [name for name, _ in rows]
    assert len(sets) == len({tuple(candidates) for candidates in result})


@pytest.mark.parametrize("limit", [1, 3, 100])
def test_sets_are_gathered_and_sorted_in_parts(limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(candidate_sets, "MAX_CANDIDATES", limit)
    index, place = CandidateIndex(), pd.Series("top", range(3))
    shown = index.number_creatives(pd.Series(["z", "y", "x"]))
    index.number_sets(pd.Series([["y", "x"], ["z"], ["w"]]), place, shown, {})
    creatives, sets, _ = index.finish()
    lists = [[creatives[i] for i in candidates] for candidates in (sets[number] for number in range(len(sets)))]
    assert sorted(lists) == [["w", "x"], ["x", "y", "z"], ["y", "z"]]
    starts, candidates = sets.gather(np.array([2, 0, 2], np.int32))
    assert np.split(candidates, starts[1:-1])[0].tolist() == sets[2].tolist()
    assert candidates.tolist() == [*sets[2], *sets[0], *sets[2]]


def test_no_set_may_be_gathered() -> None:
    starts, candidates = CandidateSets(np.array([0, 2]), np.array([4, 5], np.int32)).gather(np.zeros(0, np.int32))
    assert (starts.tolist(), candidates.tolist()) == ([0], [])
