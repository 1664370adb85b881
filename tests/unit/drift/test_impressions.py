"""The features of impressions."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from tests.support.drift_samples import make_impressions

from adloom.config.drift import Drift
from adloom.drift import impressions
from adloom.drift.detection import Detection, detect
from adloom.drift.impressions import build_features, read_period

HOUR = pd.Timedelta(hours=1)


def compare(reference: pd.DataFrame, current: pd.DataFrame) -> Detection:
    old, new = (read_period([frame], len(frame)) for frame in (reference, current))
    return detect(*build_features(old, new, HOUR), {}, {}, Drift(maturity_hours=1))


def test_equal_periods_raise_no_alarm() -> None:
    found = compare(make_impressions(3000, 1), make_impressions(3000, 2))
    assert found.alarms == []
    assert {finding.feature for finding in found.findings} == {
        *("placement", "ctx_segment", "creative_id", "predicted click rate", "click rate"),
    }


@pytest.mark.parametrize(
    ("change", "feature"),
    [
        ({"segments": "aaaab"}, "ctx_segment"),
        ({"rate": 0.1}, "click rate"),
    ],
)
def test_a_planted_shift_is_named(change: dict[str, Any], feature: str) -> None:
    found = compare(make_impressions(3000, 1), make_impressions(3000, 2, **change))
    assert [alarm.feature for alarm in found.alarms] == [feature]
    assert feature in found.reason


def test_creatives_that_another_policy_chose_raise_no_alarm() -> None:
    current = make_impressions(3000, 2).assign(creative_id="b", logging_policy="version 2")
    shown = next(f for f in compare(make_impressions(3000, 1), current).findings if f.feature == "creative_id")
    assert (shown.is_alarm, shown.explanation) == (False, impressions.POLICY_CHANGED)
    assert shown.adjusted < 1e-6
    same = compare(make_impressions(3000, 1), current.assign(logging_policy="uniform"))
    assert "creative_id" in {alarm.feature for alarm in same.alarms}


def test_young_impressions_have_no_clicks_yet_and_late_clicks_never_count() -> None:
    """The last hour of clicks is missing, as in a log that was just converted."""
    current = make_impressions(3000, 2)
    young = current["timestamp"] + HOUR > current["timestamp"].max()
    found = compare(make_impressions(3000, 1), current.assign(clicked=current["clicked"] & ~young))
    late = current.assign(outcome_at=current["timestamp"] + 2 * HOUR)
    assert found.alarms == []
    assert [alarm.feature for alarm in compare(make_impressions(3000, 1), late).alarms] == ["click rate"]


def test_a_log_without_clicks_is_compared_by_its_contexts() -> None:
    frame = make_impressions(500, 1)
    found = compare(frame.assign(clicked=False), frame.drop(columns=["clicked", "user_id"]))
    assert found.click_rates is None
    assert {finding.feature for finding in found.findings} == {"placement", "ctx_segment", "creative_id"}


def test_marked_rows_are_left_out_and_weights_count() -> None:
    frame = make_impressions(400, 1).assign(weight=2)
    period = read_period([frame[:200].assign(invalid=True), frame[200:].assign(invalid=False)], 400)
    assert len(period.rows) == 200
    assert period.weight.sum() == 400


def test_a_large_log_is_thinned_by_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(impressions, "MAX_ROWS", 1000)
    frame = make_impressions(4000, 1)
    period = read_period([frame[:2000], frame[2000:]], 4000)
    assert 700 < len(period.rows) < 1300
    kept = frame["user_id"].isin(period.rows["user_id"])
    assert kept.sum() == len(period.rows)  # all rows of each user
    assert np.array_equal(period.rows["impression_id"], frame[kept]["impression_id"])


def test_clicks_of_one_user_predict_no_click_rate() -> None:
    rows = make_impressions(300, 1).assign(user_id="u1")
    assert {finding.feature for finding in compare(rows, rows).findings} == {"placement", "ctx_segment", "creative_id"}
