"""Changes of pictures, by hand where a hand can do them."""

import numpy as np
import pytest

from adloom.creatives import transforms
from adloom.creatives.transforms import DISTURBANCES, DUPLICATES

RAMP = np.arange(9, dtype=np.uint8).reshape(1, 1, 3, 3) * 20


def random() -> np.random.Generator:
    return np.random.default_rng(0)


def test_mirroring_darkening_and_blurring_by_hand() -> None:
    assert transforms.flip(RAMP, random())[0, 0].tolist() == [[40, 20, 0], [100, 80, 60], [160, 140, 120]]
    assert transforms.darken(RAMP, random())[0, 0, 2].tolist() == [60, 70, 80]
    assert transforms.blur(RAMP, random())[0, 0, 1, 1] == 80  # the mean of all nine
    assert transforms.blur(RAMP, random())[0, 0, 0, 0] == (4 * 0 + 2 * 20 + 2 * 60 + 80) // 9


def test_a_crop_of_a_horizontal_ramp_is_steeper_by_its_share() -> None:
    pixels = np.broadcast_to(np.arange(100, dtype=np.uint8) * 2, (4, 3, 100, 100))
    cropped = transforms.crop(pixels, random()).astype(int)
    assert cropped.shape == pixels.shape
    spans = cropped[:, :, :, 90] - cropped[:, :, :, 10]
    assert spans == pytest.approx(0.9 * 160, abs=2)
    assert len(set(cropped[:, 0, 0, 0].tolist())) > 1  # at several places


def test_noise_has_a_tenth_of_the_range_as_deviation() -> None:
    grey = np.full((4, 1, 64, 64), 128, np.uint8)
    noise = transforms.add_noise(grey, random()) - 128.0
    assert noise.std() == pytest.approx(25.5, rel=0.02)
    assert noise.mean() == pytest.approx(0, abs=0.5)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", DISTURBANCES)
def test_every_change_keeps_shape_and_is_the_same_each_time(name: str, channels: int) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (3, channels, 28, 28), np.uint8)
    changed = DISTURBANCES[name](pixels, random())
    assert changed.shape == pixels.shape
    assert changed.dtype == np.uint8
    assert (changed != pixels).any()
    np.testing.assert_array_equal(changed, DISTURBANCES[name](pixels, random()))


def test_duplicates_are_changed_as_stated() -> None:
    assert list(DUPLICATES) == ["mirrored", "90 % crop", "JPEG 50", "10 % noise"]
