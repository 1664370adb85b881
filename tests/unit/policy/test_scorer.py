"""Probabilities worked by hand, then what holds for every policy, context and list of candidates."""

import itertools
import math
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adloom.errors import ArtifactError
from adloom.policy.distribution import distribute, softmax
from adloom.policy.scorer import Policy, ScoringRequest, draw_slate
from adloom.policy.thompson import Variances
from adloom.storage import npz

IDS = ("bag-1", "bag-2", "boot-1", "coat-1")
UNSEEN = ("new-1", "new-2")


def by_hand(**changes: Any) -> Policy:
    """Scores are logarithms, so that odds are whole numbers: 1 2 3 4, doubled at the top for bags, halved for coats."""
    log2 = np.float32(np.log(2))
    arrays: dict[str, Any] = {
        "creatives": IDS,
        "category": np.array([0, 0, 1, 2]),
        "categories": ("Bag", "Boot", "Coat"),
        "bias": np.log(np.array([1, 2, 3, 4], np.float32)),
        "features": (("placement",), ("placement", "segment")),
        "values": (("top", "side"), ("top\x1fsegment-1",)),
        "weights": (
            np.array([[0, 0, 0, 0], [log2, log2, 0, 0], [0, 0, 0, -log2]], np.float32),
            np.array([[0, 0, 0, 0], [0, 0, log2, 0]], np.float32),
        ),
        "prior": np.log(np.array([1, 3, 5, 2], np.float32)),
    }
    return Policy(**arrays | changes)


@pytest.mark.parametrize(
    ("context", "odds"),
    [
        ({}, [1, 2, 3, 4]),
        ({"placement": None, "other": "x"}, [1, 2, 3, 4]),
        ({"placement": "bottom"}, [1, 2, 3, 4]),
        ({"placement": "top"}, [2, 4, 3, 4]),
        ({"placement": "side", "segment": "segment-1"}, [1, 2, 3, 2]),
        ({"placement": "top", "segment": "segment-1"}, [2, 4, 6, 4]),
        ({"placement": "top", "segment": None}, [2, 4, 3, 4]),
    ],
)
def test_odds_worked_by_hand(context: dict[str, str | None], odds: Sequence[float]) -> None:
    expected = np.array(odds) / sum(odds)
    assert by_hand().probabilities(context, IDS) == pytest.approx(expected, abs=1e-7)


def test_the_floor_and_the_temperature_worked_by_hand() -> None:
    odds = by_hand(floor=0.1).probabilities({}, IDS)
    assert odds == pytest.approx([0.16, 0.22, 0.28, 0.34], abs=1e-7)  # 0.1 + 0.6 · (1 2 3 4) / 10
    half = by_hand(temperature=0.5).probabilities({}, IDS)
    assert half == pytest.approx(np.array([1, 4, 9, 16]) / 30, abs=1e-7)


def test_a_floor_that_is_too_high_is_uniform() -> None:
    assert by_hand(floor=0.3).probabilities({}, IDS) == [0.25] * 4
    assert by_hand(floor=0.25).probabilities({}, IDS) == [0.25] * 4


def test_a_creative_without_history_has_its_categorys_prior() -> None:
    policy = by_hand()
    shown = policy.probabilities({"placement": "top"}, ["bag-1", "new-1", "new-2"], {"new-1": "Boot", "new-2": "Hat"})
    assert shown == pytest.approx(np.array([2, 3, 2]) / 7, abs=1e-7)
    assert policy.probabilities({}, ["new-1", "bag-2"]) == pytest.approx([0.5, 0.5], abs=1e-7)
    assert policy.probabilities({}, ["new-1", "bag-2"], {"bag-2": "Coat"}) == pytest.approx([0.5, 0.5], abs=1e-7)


def test_a_policy_that_knows_no_creative() -> None:
    none = Policy((), np.zeros(0, np.int64), (), np.zeros(0, np.float32), (), (), (), np.zeros(1, np.float32))
    assert none.probabilities({"placement": "top"}, UNSEEN) == [0.5, 0.5]
    assert none.probabilities({}, []) == []


def test_creatives_of_a_category() -> None:
    assert by_hand().scorer.creatives_in("Bag") == ["bag-1", "bag-2"]
    assert by_hand().scorer.creatives_in("Hat") == []


contexts = st.dictionaries(
    st.sampled_from(["placement", "segment", "else"]),
    st.sampled_from([None, "", "top", "side", "segment-1", "top\x1fsegment-1"]),
)
candidates = st.permutations([*IDS, *UNSEEN]).flatmap(
    lambda order: st.integers(1, len(order)).map(lambda count: order[:count])
)
scores = st.lists(st.floats(-50, 50, width=32), min_size=4, max_size=4)


@given(contexts, candidates, scores, st.floats(0, 0.5), st.floats(0.01, 100))
def test_they_sum_to_one_and_none_is_under_the_floor(
    context: dict[str, str | None], shown: list[str], bias: list[float], floor: float, temperature: float
) -> None:
    policy = by_hand(bias=np.array(bias, np.float32), floor=floor, temperature=temperature)
    result = policy.probabilities(context, shown)
    assert abs(sum(result) - 1) <= 1e-12
    assert min(result) > 0
    assert min(result) >= floor or result == [1 / len(shown)] * len(shown)


@given(contexts, candidates, scores, st.randoms())
def test_the_order_of_candidates_is_no_matter(
    context: dict[str, str | None], shown: list[str], bias: list[float], chance: Any
) -> None:
    policy = by_hand(bias=np.array(bias, np.float32), floor=0.01)
    order = chance.sample(range(len(shown)), len(shown))
    again = policy.probabilities(context, [shown[i] for i in order])
    straight = policy.probabilities(context, shown)
    assert again == pytest.approx([straight[i] for i in order], abs=1e-14)


@given(st.lists(st.tuples(contexts, st.just([]) | candidates), max_size=5), scores)
def test_batched_requests_have_the_probabilities_of_single_ones(
    request: list[tuple[dict[str, str | None], list[str]]], bias: list[float]
) -> None:
    policy = by_hand(bias=np.array(bias, np.float32), floor=0.01)
    together = policy.scorer.probabilities([ScoringRequest(context, shown) for context, shown in request])
    assert [result.tolist() for result in together] == [
        policy.probabilities(context, shown) for context, shown in request
    ]


def slate_by_enumeration(p: Sequence[float], chosen: Sequence[int]) -> float:
    """The probability of drawing these, in this order, one after the other."""
    product, left = 1.0, list(range(len(p)))
    for i in chosen:
        product *= p[i] / sum(p[j] for j in left)
        left.remove(i)
    return product


def test_a_slates_propensity_is_that_of_enumeration_and_its_draws_are_as_often() -> None:
    p = [0.1, 0.2, 0.3, 0.4]
    chance = random.Random(1)
    seen: dict[tuple[int, ...], int] = {}
    for _ in range(20_000):
        chosen, propensities = draw_slate(p, 2, chance.random)
        key = tuple(chosen)
        seen[key] = seen.get(key, 0) + 1
        assert math.prod(propensities) == pytest.approx(slate_by_enumeration(p, key), rel=1e-12)
    every = {pair: slate_by_enumeration(p, pair) for pair in itertools.permutations(range(4), 2)}
    assert sum(every.values()) == pytest.approx(1)
    assert seen.keys() == every.keys()
    for pair, expected in every.items():  # five standard errors
        assert seen[pair] / 20_000 == pytest.approx(expected, abs=5 * np.sqrt(expected / 20_000))


@given(st.lists(st.floats(-800, 0), min_size=1, max_size=8), st.integers(1, 9), st.integers(0, 2**32 - 1))
def test_propensities_are_exact_however_small(exponents: list[float], slots: int, seed: int) -> None:
    p = softmax(np.array(exponents), [len(exponents)]).tolist()
    chosen, propensities = draw_slate(p, slots, random.Random(seed).random)
    assert len(set(chosen)) == len(chosen) == min(slots, len(p))
    assert all(0 < propensity <= 1 for propensity in propensities)
    if slots >= len(p):
        assert propensities[-1] == 1  # nobody else is left


SAMPLED = Variances(
    np.ones(4, np.float32), (np.ones((3, 4), np.float32), np.zeros((2, 4), np.float32)), np.full(4, 2, np.float32)
)


def test_thompson_sampling_is_saved_and_served_with_new_creatives(tmp_path: Path) -> None:
    policy = by_hand(variances=SAMPLED, bias=np.zeros(4, np.float32), prior=np.zeros(4, np.float32))
    policy.save(tmp_path / "policy.npz")
    served = Policy.load(tmp_path / "policy.npz")
    variance = [2.0, 2.0, 2.0]  # the bias and the placement; the prior of a new creative
    expected = distribute(np.zeros(3), np.array(variance), [3], 1.0, 0.0)
    assert served.probabilities({"placement": "bottom"}, ["bag-1", "boot-1", "new-1"]) == pytest.approx(expected)


def test_variances_of_another_shape_are_refused() -> None:
    with pytest.raises(ArtifactError, match=r"variance_prior: \(2,\), expected \(4,\)"):
        by_hand(variances=replace(SAMPLED, prior=np.ones(2, np.float32)))


def test_saving_is_reversible_and_reproducible(tmp_path: Path) -> None:
    policy = by_hand(floor=0.02, temperature=0.7)
    policy.save(tmp_path / "a.npz")
    Policy.load(tmp_path / "a.npz").save(tmp_path / "b.npz")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    again = Policy.load(tmp_path / "b.npz")
    context = {"placement": "top", "segment": "segment-1"}
    assert again.probabilities(context, IDS) == policy.probabilities(context, IDS)
    assert again.creatives == IDS


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bias": np.zeros(3, np.float32)}, r"bias: \(3,\), expected \(4,\)"),
        ({"prior": np.zeros(3, np.float32)}, r"prior: \(3,\), expected \(4,\)"),
        ({"weights": (np.zeros((3, 4), np.float32),)}, r"weights: \(1,\), expected \(2,\)"),
        ({"values": (("top",), ("x",))}, r"weights of placement: \(3, 4\), expected \(2, 4\)"),
        ({"bias": np.array([0, 0, np.nan, 0], np.float32)}, "scores: expected finite"),
        ({"category": np.array([0, 0, 1, 4])}, r"category: expected indices in \[0, "),
        ({"creatives": ("a", "b", "b", "c")}, "creatives: 3 distinct of 4"),
        ({"temperature": 0.0}, "temperature 0.0"),
        ({"floor": -0.1}, "floor -0.1"),
        ({"floor": float("nan")}, "floor nan"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ArtifactError, match=message):
        by_hand(**changes)


def test_files_that_are_no_policy_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "policy.npz"
    with pytest.raises(ArtifactError, match="missing"):
        Policy.load(path)
    path.write_bytes(b"PK")
    with pytest.raises(ArtifactError, match="expected an npz with"):
        Policy.load(path)
    by_hand().save(path)
    with np.load(path) as result:
        arrays = dict(result)
    npz.save(path, **{**arrays, "bias": np.zeros(3, np.float32)})
    with pytest.raises(ArtifactError, match=r"policy.npz: policy: bias: \(3,\), expected \(4,\); "):
        Policy.load(path)


def test_a_replaced_policy_does_not_change_its_source() -> None:
    policy = by_hand()
    other = replace(policy, floor=0.1)
    assert other.probabilities({}, IDS) == pytest.approx([0.16, 0.22, 0.28, 0.34], abs=1e-7)
    assert policy.probabilities({}, IDS) == pytest.approx([0.1, 0.2, 0.3, 0.4], abs=1e-7)
