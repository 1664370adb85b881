"""Alarms: significant over all features, and large."""

import pytest
from tests.support.drift_samples import DROP, shifted

from adloom.config.drift import Drift
from adloom.drift.detection import describe, detect


def test_p_values_are_adjusted_over_all_features() -> None:
    found = detect([shifted(1.0), *(shifted(0.0) for _ in range(9))], None, {}, {}, Drift())
    (alarm,) = found.alarms
    assert alarm.adjusted == pytest.approx(10 * alarm.p_value)
    assert found.findings[0] == alarm
    assert found.reason == describe(alarm)


@pytest.mark.slow
def test_a_small_change_of_many_rows_is_significant_and_no_alarm() -> None:
    found = detect([shifted(0.1, 20_000)], None, {}, {}, Drift())
    assert found.findings[0].adjusted < 1e-6
    assert found.alarms == []
    assert detect([shifted(0.1, 20_000)], None, {}, {}, Drift(min_psi=0.005)).alarms


def test_an_explained_change_is_no_alarm() -> None:
    assert detect([shifted(2.0, explanation="another policy")], None, {}, {}, Drift()).alarms == []


@pytest.mark.parametrize(("limit", "alarms"), [(0.1, 1), (0.5, 0)])
def test_the_click_rate_is_judged_by_its_relative_change(limit: float, alarms: int) -> None:
    found = detect([], DROP, {}, {}, Drift(min_rate_change=limit))
    assert len(found.alarms) == alarms
    assert found.findings[0].effect == -0.4
    if alarms:
        assert found.reason == "impressions click rate changed by -40% (p 1e-05)"


def test_nothing_to_compare_is_no_alarm() -> None:
    assert detect([], None, {}, {"events": "12 rows"}, Drift()).reason == ""
