"""Privacy: small groups, by hand; noise as OpenDP draws it; and an attack that learns no more than epsilon allows."""

from dataclasses import asdict

import numpy as np
import opendp.prelude as dp
import pytest
from scipy import stats

from adloom.audience.assignment import SUPPRESSED, assign, list_reasons
from adloom.audience.privacy import (
    BOUNDS,
    CELLS,
    SensitiveColumn,
    add_noise,
    describe_privately,
    draw_noise,
    find_scale,
    measure_epsilon,
    protect,
    require_key,
    sum_cells,
)
from adloom.audience.segmenter import FeatureScale, Segmenter
from adloom.config.audience import Privacy
from adloom.errors import ConfigError

KEY = b"a key for tests only"
SIZES = (30, 12, 4, 3)  # users of the segments, which lie at 0, 1, 4 and 5 on each scaled axis
PLANTED = list(BOUNDS.values())  # a user that changes every cell the most


@pytest.fixture
def segmenter() -> Segmenter:
    """Return four segments on a line."""
    prototypes = np.repeat([[0.0], [1], [4], [5]], 5, axis=1)
    return Segmenter(FeatureScale(np.zeros(5), np.zeros(5), np.ones(5)), prototypes, np.arange(4), ("a", "b", "c", "d"))


def users(segmenter: Segmenter) -> np.ndarray:
    return np.expm1(segmenter.prototypes)[np.repeat(np.arange(4), SIZES)]


def test_small_segments_become_part_of_the_nearest(segmenter: Segmenter) -> None:
    private, reach = protect(segmenter, [users(segmenter)], [], Privacy(k=5))
    assert private.names == ("a", "b", "c")  # d, the smallest, is part of c: 7 users
    assert np.bincount(private.index(users(segmenter))).tolist() == [30, 12, 7]
    assert asdict(reach) == {
        "merged": {"d": "c"}, "merged_users": 3, "suppressed": (), "suppressed_users": 0, "lost": 0.0,
    }  # fmt: skip


def test_small_segments_are_suppressed_together(segmenter: Segmenter) -> None:
    private, reach = protect(segmenter, [users(segmenter)], [], Privacy(k=5, small_segments="suppress"))
    assert private.names == ("a", "b", SUPPRESSED)
    assert np.bincount(private.index(users(segmenter))).tolist() == [30, 12, 7]
    assert (reach.suppressed, reach.suppressed_users, reach.lost) == (("c", "d"), 7, 7 / 49)
    assert {list_reasons()[code] for code in assign(private, users(segmenter)[-7:]).code} == {"suppressed"}


@pytest.mark.parametrize(("preset", "names"), [("none", "abcd"), ("platform_100", "abc"), ("platform_1000", "a")])
def test_presets_are_the_minimum_of_ad_platforms(segmenter: Segmenter, preset: str, names: str) -> None:
    rows = np.repeat(np.expm1(segmenter.prototypes), [1500, 600, 120, 60], axis=0)
    private, _ = protect(segmenter, [rows], [], Privacy.model_validate({"k": 50, "preset": preset}))
    assert private.names == tuple(names)


def test_too_few_users_for_any_segment_are_all_suppressed(segmenter: Segmenter) -> None:
    private, reach = protect(segmenter, [users(segmenter)], [], Privacy(k=50))
    assert (private.names, reach.lost) == ((SUPPRESSED,), 1.0)


def test_a_segment_of_one_sensitive_value_is_merged_until_there_are_two(segmenter: Segmenter) -> None:
    illness = SensitiveColumn(np.array([0, 0, 0, 1]), np.array([0, 1, 2, 1]))  # c and d have none
    private, reach = protect(segmenter, [users(segmenter)], [illness], Privacy(k=1))
    assert (private.names, reach.merged) == (("a", "c", "d"), {"b": "a"})
    private, _ = protect(segmenter, [users(segmenter)], [illness], Privacy(k=1, diversity=4))
    assert private.names[-1] == SUPPRESSED  # there are three values in all


def test_noise_is_discrete_laplace_as_in_opendp() -> None:
    dp.enable_features("contrib")
    ours = np.array([draw_noise(KEY, str(i), 3.0) for i in range(20_000)])
    space = dp.atom_domain(T=int), dp.absolute_distance(T=int)
    theirs = np.array([dp.m.make_laplace(*space, scale=3.0)(0) for _ in range(4000)])
    alpha = np.exp(-1 / 3)
    for draws in (ours, theirs):
        values, counts = np.unique(np.clip(draws, -15, 15), return_counts=True)
        expected = (1 - alpha) / (1 + alpha) * alpha ** np.abs(values)
        expected[[0, -1]] = alpha**15 / (1 + alpha)  # the tails
        assert stats.chisquare(counts, expected / expected.sum() * len(draws)).pvalue > 1e-4
    assert draw_noise(KEY, "0", 3.0) == ours[0]
    assert (np.array([draw_noise(b"another key of tests", str(i), 3.0) for i in range(50)]) != ours[:50]).any()


def test_a_release_costs_its_epsilon() -> None:
    assert measure_epsilon(Privacy(epsilon=0.7)) == pytest.approx(0.7)


def test_noisy_profiles_are_near_the_truth_for_many_users_and_equal_for_equal_data() -> None:
    features = np.tile([[10.0, 3, 120, 400, np.nan], [10, 3, 120, 400, 130]], (20_000, 1))
    segment = np.zeros(len(features), np.int64)
    params = Privacy(epsilon=1.0)
    profiles = describe_privately([features], segment, ("a", "b", SUPPRESSED), params, KEY, "data")
    assert profiles == describe_privately([features], segment, ("a", "b", SUPPRESSED), params, KEY, "data")
    assert profiles != describe_privately([features], segment, ("a", "b", SUPPRESSED), params, KEY, "other data")
    assert [profile["segment"] for profile in profiles] == ["a", "b"]
    assert profiles[0]["users"] == pytest.approx(40_000, abs=100)
    assert profiles[0]["interpurchase_days"] == pytest.approx(130, rel=0.1)
    assert profiles[0]["recency_days"] == pytest.approx(10, rel=0.1)
    assert profiles[1]["recency_days"] is None  # nobody, or so few that noise decides


def test_noise_needs_a_key() -> None:
    with pytest.raises(ConfigError, match=r"^segment.privacy.epsilon 1: the noise needs a secret key; set ADLOOM_PSEU"):
        require_key(Privacy(epsilon=1), None)


def log_likelihood(released: dict[str, int], exact: dict[str, int], params: Privacy) -> float:
    """Return what an attacker who knows all but the key concludes, up to a constant."""
    return -sum(abs(released[cell] - exact[cell]) / find_scale(cell, params) for cell in CELLS)


@pytest.mark.slow
@pytest.mark.parametrize("epsilon", [0.3, 1.0])
def test_two_releases_hide_a_planted_user_as_epsilon_says(epsilon: float) -> None:
    rng = np.random.default_rng(0)
    params, trials = Privacy(epsilon=epsilon), 1500
    today = rng.gamma(2, 30, (200, 5))
    days = [today, np.vstack([today, rng.gamma(2, 30, (9, 5))])]
    worlds = [[sum_cells(day) for day in days], [sum_cells(np.vstack([day, PLANTED])) for day in days]]
    scores = np.zeros((2, trials))
    for is_member, world in enumerate(worlds):
        for trial in range(trials):
            key = f"key {trial} {is_member}".encode()
            for day, exact in enumerate(world):
                released = add_noise({"a": exact}, params, key, "content")["a"]
                known = [log_likelihood(released, worlds[guess][day], params) for guess in (0, 1)]
                scores[is_member, trial] += known[1] - known[0]
    assert np.abs(scores).max() <= 2 * epsilon + 1e-9  # no release convinces more
    thresholds = np.quantile(scores, np.linspace(0, 1, 201))
    hits, alarms = ((scores[i][:, None] >= thresholds).mean(axis=0) for i in (1, 0))
    error = 4 * np.sqrt(0.25 / trials)
    assert (hits <= np.exp(2 * epsilon) * (alarms + error) + error).all()
    assert (hits - alarms).max() <= np.tanh(epsilon) + 2 * error  # the most that 2 epsilon allows
    assert (hits - alarms).max() >= np.tanh(epsilon) / 5  # the attack is a good one
