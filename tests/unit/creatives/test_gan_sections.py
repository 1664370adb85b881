"""Sections of the generator's report: the way between two noise vectors, and small categories."""

import numpy as np
import pytest
from tests.support import landscapes

from adloom.creatives import gan_sections
from adloom.creatives.conditions import ConditionSpace
from adloom.evaluation.metric import Lines


def test_the_way_between_noise_vectors_keeps_their_length_and_turns_evenly() -> None:
    way = gan_sections.interpolate(latent=512, steps=5, seed=3)
    first, second = np.random.default_rng(3).standard_normal((2, 512))
    np.testing.assert_allclose(way[[0, -1]], [first, second], rtol=1e-5)
    lengths = np.linalg.norm(way, axis=1)
    assert lengths.max() / lengths.min() < 1.1  # a straight line would pass at 0.7 of the length
    assert gan_sections.interpolate(latent=1, steps=3, seed=0).shape == (3, 1)


def test_an_interpolation_has_a_row_for_each_category() -> None:
    figure = gan_sections.draw_interpolation(
        landscapes.Fake("new"), ConditionSpace(landscapes.CATEGORIES), (1, 28, 28), 0
    )
    assert figure.png.startswith(b"\x89PNG")


@pytest.mark.parametrize(("counts", "lines"), [([10, 12], []), ([9, 12], ["day: 9"]), ([0, 3], ["day: 0", "night: 3"])])
def test_small_categories_are_listed(counts: list[int], lines: list[str]) -> None:
    sections = gan_sections.list_small(np.array(counts), landscapes.CATEGORIES, 10)
    assert [section.lines for section in sections if isinstance(section, Lines)] == ([lines] if lines else [])
