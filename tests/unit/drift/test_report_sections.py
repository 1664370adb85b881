"""The page of a comparison."""

import pytest
from tests.support.drift_samples import DROP, shifted

from adloom.config.drift import Drift
from adloom.drift.detection import detect
from adloom.drift.report_sections import build_page, build_sections


@pytest.mark.slow
def test_the_page_names_the_alarms_and_shows_both_pictures() -> None:
    found = detect([shifted(1.0)], DROP, {"events": (300, 300)}, {"creatives": "no reader"}, Drift())
    page = build_page(found, 0.1)
    assert "<h1>2 of 2 features have drifted</h1>" in page
    assert "monetary PSI" in page
    assert page.count("data:image/png") == 2
    assert "no reader" in page
    assert [section.title for section in build_sections(found, 0.1)] == [
        *("How far each feature has moved", "Click rate", "All tests", "Compared rows", "Not compared"),
    ]


@pytest.mark.slow
def test_a_page_without_drift_says_so() -> None:
    page = build_page(detect([shifted(0.0)], None, {"events": (300, 300)}, {}, Drift()), 0.1)
    assert "<h1>No drift</h1>" in page
    assert "Not compared" not in page
