"""The pictures of a comparison."""

import io
from dataclasses import replace

import pytest
from PIL import Image
from tests.support.drift_samples import DROP, shifted

from adloom.config.drift import Drift
from adloom.drift.detection import detect
from adloom.drift.figures import MOST, draw_click_rates, draw_effects


def height(png: bytes) -> int:
    return Image.open(io.BytesIO(png)).height


@pytest.mark.slow
def test_a_picture_grows_with_its_features_up_to_a_limit() -> None:
    findings = detect([shifted(1.0), shifted(0.0)], None, {}, {}, Drift()).findings
    few, many = (draw_effects(findings * times, 0.1) for times in (1, MOST))
    assert height(few) < height(many)
    assert height(many) == height(draw_effects(findings * 2 * MOST, 0.1))
    assert few == draw_effects(findings, 0.1)


@pytest.mark.slow
def test_click_rates_without_clicks_are_drawn() -> None:
    assert draw_click_rates(DROP) != draw_click_rates(replace(DROP, observed=None, expected=None))
