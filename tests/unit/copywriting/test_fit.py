"""The compared models learn what is plain to see."""

import numpy as np
import pytest

from adloom.copywriting.fit import fit_category_classifier, fit_click_rates


def test_a_rare_category_is_recognised_by_its_words() -> None:
    lines = ["Warm coat", "Soft coat", "Long coat", "Red coat", "Red dress"]
    classifier = fit_category_classifier(lines, [*"cccc", "d"])
    assert classifier.predict(["My dress", "My coat", "\U0001f600"]).tolist()[:2] == ["d", "c"]


def test_click_rates_follow_the_words() -> None:
    ridge = fit_click_rates(
        ["free coat", "free dress", "grey coat", "grey dress"] * 5, np.array([0.2, 0.2, 0.1, 0.1] * 5)
    )
    free, grey = ridge.predict(["free hat", "grey hat"])
    assert free > grey
    assert ridge.predict(["hat"])[0] == pytest.approx(0.15, abs=0.02)
