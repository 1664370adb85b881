"""Propensities are estimated from context, day and candidates; what they cannot tell is said."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from tests.support.impression_tables import impressions_frame, read_rows

from adloom.arrays import AnyArray
from adloom.policy import propensity_model
from adloom.policy.impressions import Impressions
from adloom.policy.propensity_model import SUFFICIENT, describe_overlap, estimate_propensities, find_overlap

DEVICES, CREATIVES = ["phone", "tablet"], ["a", "b", "c"]
CHANCES = {"phone": [0.6, 0.3, 0.1], "tablet": [0.2, 0.2, 0.6]}


def draw_log(rows: int = 6000, seed: int = 0, **columns: Any) -> tuple[Impressions, AnyArray]:
    """Return a log without propensities over ten days, and the true propensities (rows,)."""
    rng = np.random.default_rng(seed)
    device = rng.choice(DEVICES, rows)
    shown = np.array([rng.choice(3, p=CHANCES[name]) for name in device])
    hours = np.sort(rng.uniform(0, 240, rows))
    frame = impressions_frame(np.array(CREATIVES)[shown], hours, propensity=None, ctx_device=device, **columns)
    return read_rows(frame)[0], np.array([CHANCES[name][i] for name, i in zip(device, shown, strict=True)])


@pytest.mark.slow
def test_propensities_of_contexts_are_recovered() -> None:
    data, truth = draw_log()
    estimated = estimate_propensities(data)
    assert estimated.propensity_estimated.all()
    assert np.abs(estimated.propensity / truth - 1).mean() < 0.15
    assert (1 / estimated.propensity).mean() == pytest.approx(3, rel=0.03)  # as it would be with true ones


def test_the_same_log_gives_the_same_propensities() -> None:
    one, other = (estimate_propensities(draw_log(1000)[0]).propensity for _ in range(2))
    np.testing.assert_array_equal(one, other)


@pytest.mark.slow
def test_a_sample_of_contexts_is_enough_for_a_log_that_has_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    data, truth = draw_log(position=np.arange(6000) % 40)
    monkeypatch.setattr(propensity_model, "MAX_CELLS", 600)
    assert np.abs(estimate_propensities(data).propensity / truth - 1).mean() < 0.35


def test_what_is_no_candidate_takes_no_probability() -> None:
    rng = np.random.default_rng(1)
    lists = rng.choice(["a", "a|b", "a|b|c"], 3000)
    shown = [rng.choice(names.split("|")) for names in lists]
    frame = impressions_frame(shown, np.arange(3000) / 60, propensity=None, candidates=[n.split("|") for n in lists])
    propensity = pd.Series(estimate_propensities(read_rows(frame)[0]).propensity).groupby(lists).median()
    assert propensity["a"] == pytest.approx(1.0)
    assert propensity[["a|b", "a|b|c"]].to_numpy() == pytest.approx(np.array([1 / 2, 1 / 3]), rel=0.1)


def test_creatives_that_change_by_the_day_are_followed() -> None:
    hours = np.arange(4000) * 240 / 4000
    shown = np.where(np.random.default_rng(2).random(4000) < np.where(hours < 120, 0.9, 0.1), "a", "b")
    data, _ = read_rows(impressions_frame(shown, hours, propensity=None))
    early = estimate_propensities(data).propensity[(data.shown == 0) & (np.arange(len(data)) < 2000)]
    assert early.mean() == pytest.approx(0.9, abs=0.05)


def test_rows_of_a_user_are_not_judged_by_a_model_that_saw_them() -> None:
    shown = ["a", "b"] * 300 + ["c"] * 100
    users = [f"u{i}" for i in range(600)] + ["heavy"] * 100
    frame = impressions_frame(shown, np.zeros(700), propensity=None, user_id=users)
    of_heavy = estimate_propensities(read_rows(frame)[0]).propensity[600:]
    assert of_heavy.max() < 0.02  # a model that saw them expects 1 in 7


def test_placements_without_overlap_are_named() -> None:
    placement = np.repeat(["even", "fixed", "single"], 400)
    device = np.tile(DEVICES, 600)
    even = np.random.default_rng(3).choice(["a", "b"], 400)
    shown = np.concatenate([even, np.where(device[400:800] == "phone", "a", "b"), ["a"] * 400])
    frame = impressions_frame(shown, np.zeros(1200), propensity=None, placement=placement, ctx_device=device)
    data = estimate_propensities(read_rows(frame)[0])
    findings = {overlap.placement: overlap.finding for overlap in find_overlap(data)}
    assert findings["fixed"].startswith("lacking: ")
    assert findings["even"] == findings["single"] == SUFFICIENT
    assert "overlap is lacking in fixed, where" in describe_overlap(data)
