"""A user's own log: any column names, bad rows counted, what it cannot say said."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from adloom.arrays import AnyArray
from adloom.errors import DataError
from adloom.policy.ope.estimate import WIDENING
from adloom.policy.ope.estimators import ips, snips
from adloom.policy.ope.log_evaluation import LogColumns, evaluate_log

OWN = LogColumns(action="banner", reward="revenue", propensity="prob", context=("country",))


def uniform(rows: pd.DataFrame, actions: tuple[str, ...]) -> AnyArray:
    return np.full((len(rows), len(actions)), 1 / len(actions))


def always_b(rows: pd.DataFrame, actions: tuple[str, ...]) -> AnyArray:
    return np.tile([float(action == "b") for action in actions], (len(rows), 1))


@pytest.fixture
def log() -> pd.DataFrame:
    rng = np.random.default_rng(5)
    banner = rng.choice(["a", "b"], 2000, p=[0.75, 0.25])
    country = rng.choice(["de", "fr"], 2000)
    rate = np.where(banner == "b", 0.3, 0.1) + np.where(country == "fr", 0.1, 0)
    return pd.DataFrame(
        {
            "banner": banner,
            "country": country,
            "revenue": np.where(rng.random(2000) < rate, 2.5, 0.0),
            "prob": np.where(banner == "b", 0.25, 0.75),
        }
    )


def test_every_estimator_finds_the_value(log: pd.DataFrame) -> None:
    value = evaluate_log(log, OWN, always_b)
    assert set(value.estimates) == {"direct", "ips", "snips", "clipped_ips", "doubly_robust"}
    for estimate in value.estimates.values():
        assert estimate.value == pytest.approx(2.5 * 0.35, rel=0.15)
    assert value.logged.value == pytest.approx(log["revenue"].mean())
    assert value.estimates["doubly_robust"].trustworthy
    assert value.excluded == {}


def test_a_table_without_propensities_is_evaluated_by_estimated_ones(log: pd.DataFrame) -> None:
    known = evaluate_log(log, OWN, always_b).estimates["doubly_robust"]
    value = evaluate_log(log.drop(columns="prob"), replace(OWN, propensity=None), always_b)
    assert set(value.estimates) == {"doubly_robust"}
    estimated = value.estimates["doubly_robust"]
    assert estimated.value == pytest.approx(known.value, rel=0.03)
    assert estimated.high - estimated.low == pytest.approx(WIDENING * (known.high - known.low), rel=0.1)
    assert value.logged.value == pytest.approx(log["revenue"].mean())


def test_a_table_without_overlap_says_so(log: pd.DataFrame) -> None:
    rows = log.assign(banner=np.where(log["country"] == "fr", "a", "b"))
    estimate = evaluate_log(rows, replace(OWN, propensity=None), always_b).estimates["doubly_robust"]
    assert "overlap is lacking: in some contexts, the log hardly ever shows what" in estimate.reliability_issue


def test_estimates_equal_those_of_the_arrays(log: pd.DataFrame) -> None:
    value = evaluate_log(log, OWN, always_b)
    reward, propensity, target = log["revenue"], log["prob"], (log["banner"] == "b").astype(float)
    for name, estimator in (("ips", ips), ("snips", snips)):
        assert value.estimates[name] == estimator(reward.to_numpy(), propensity.to_numpy(), target.to_numpy())


def test_bad_rows_are_counted_by_reason_and_change_nothing(log: pd.DataFrame) -> None:
    bad = pd.DataFrame(
        {
            "banner": ["a", None, "a", "a", "a"],
            "country": "de",
            "revenue": [1.0, 1.0, np.nan, 1.0, np.inf],
            "prob": [0.0, 0.5, 0.5, 1.2, 0.5],
        }
    )
    value = evaluate_log(pd.concat([bad, log], ignore_index=True), OWN, always_b)
    assert value.excluded == {"banner: missing": 1, "prob: not in (0, 1]": 2, "revenue: not a finite number": 2}
    assert value.estimates == evaluate_log(log, OWN, always_b).estimates


def test_numbers_may_be_text_and_missing_contexts_are_a_context(log: pd.DataFrame) -> None:
    text = log.assign(revenue=log["revenue"].astype(str), country=log["country"].mask(log["country"] == "fr"))
    assert evaluate_log(text, OWN, always_b).estimates == evaluate_log(log, OWN, always_b).estimates


def test_an_action_outside_the_log_is_reported(log: pd.DataFrame) -> None:
    value = evaluate_log(log, OWN, uniform, actions=["a", "b", "c"])
    assert value.support.unsupported_actions == {"c": pytest.approx(1 / 3)}
    assert "c (33.3%)" in str(value.support)
    assert value.estimates["ips"].reliability_issue.startswith("33.3% of the policy's probability")


def test_a_missing_column_is_named(log: pd.DataFrame) -> None:
    with pytest.raises(DataError, match="log: no column 'prob' for propensity; columns: banner, country, revenue"):
        evaluate_log(log.drop(columns="prob"), OWN, always_b)


def test_a_log_without_a_good_row_is_refused(log: pd.DataFrame) -> None:
    with pytest.raises(DataError, match=r"log: 0 of 2000 rows usable: \{'prob: not in \(0, 1\]': 2000\}"):
        evaluate_log(log.assign(prob=0.0), OWN, always_b)


def test_an_unlisted_action_is_an_error(log: pd.DataFrame) -> None:
    with pytest.raises(DataError, match="actions: missing 'b' .and 0 more."):
        evaluate_log(log, OWN, always_b, actions=["a"])


def test_a_policy_of_the_wrong_shape_is_refused(log: pd.DataFrame) -> None:
    with pytest.raises(DataError, match=r"policy: shape \(2000, 2\), expected \(2000, 3\)"):
        evaluate_log(log, OWN, lambda rows, actions: np.full((len(rows), 2), 0.5), actions=["a", "b", "c"])


def test_a_policy_that_does_not_sum_to_one_is_refused(log: pd.DataFrame) -> None:
    with pytest.raises(DataError, match="probabilities: 0.8"):
        evaluate_log(log, OWN, lambda rows, actions: np.full((len(rows), 2), 0.4))
