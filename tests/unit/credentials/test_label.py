"""The visible label: black on white at the lower right, on pictures of any size, and nothing else changes."""

import numpy as np
import pytest

from adloom.credentials.label import draw_label


@pytest.mark.parametrize(("edge", "channels"), [(28, 1), (32, 3), (64, 3), (512, 3)])
def test_a_label_is_readable_and_the_rest_stays(edge: int, channels: int) -> None:
    grey = np.full((2, channels, edge, edge), 100, np.uint8)
    labelled = draw_label(grey)
    changed = (labelled != grey).any((0, 1))
    corner = labelled[0, 0][changed.any(1)][:, changed.any(0)]
    assert corner.shape[0] <= edge / 2
    assert corner.shape[1] <= edge / 2
    assert corner.min() < 64 < corner.max() == 255
    assert 0.05 < (corner < 128).mean() < 0.5
    assert changed[-1, -1]
    assert (labelled[0] == labelled[1]).all()


def test_the_label_of_a_transparent_picture_is_opaque() -> None:
    labelled = draw_label(np.zeros((1, 4, 28, 28), np.uint8))[0]
    is_label = labelled[3] > 0
    assert is_label.any()
    assert (labelled[3][is_label] == 255).all()
    assert labelled[0][is_label].min() < 64


def test_a_wide_picture_has_the_long_label() -> None:
    wide, narrow = (draw_label(np.zeros((1, 1, 64, width), np.uint8)).any((0, 1, 2)).sum() for width in (300, 64))
    assert wide > 3 * narrow


def test_a_picture_smaller_than_the_label_is_covered() -> None:
    assert draw_label(np.zeros((1, 1, 4, 4), np.uint8)).shape == (1, 1, 4, 4)
