"""Pictures are generated and read in batches of a bounded number of pixels."""

from dataclasses import dataclass

import numpy as np
import pytest

from adloom.arrays import Float32Array
from adloom.creatives import inference, pictures


class Echo:
    """Paints a picture in a shade of its z, and notes the sizes of batches."""

    latent = 3

    def __init__(self, edge: int = 28) -> None:
        self.edge, self.sizes = edge, list[int]()

    def __call__(self, z: Float32Array, condition: Float32Array) -> Float32Array:
        self.sizes.append(len(z))
        return np.tanh(z[:, :1, None, None]).repeat(self.edge, 2).repeat(self.edge, 3)


@dataclass(frozen=True)
class Reading:
    probabilities: Float32Array
    embedding: Float32Array


def read(picture: Float32Array) -> Reading:
    mean = picture.mean((1, 2, 3))[:, None]
    return Reading(mean, -mean)


def test_the_same_seed_draws_the_same_pictures() -> None:
    condition = np.ones((7, 1), np.float32)
    first, second, other = (inference.generate_pictures(Echo(), condition, (1, 28, 28), seed) for seed in (1, 1, 2))
    assert (first == second).all()
    assert not (first == other).all()


@pytest.mark.parametrize(("edge", "sizes"), [(28, [512, 88]), (128, [24] * 25)])
def test_larger_pictures_come_in_smaller_batches(edge: int, sizes: list[int]) -> None:
    echo = Echo(edge)
    inference.generate_pictures(echo, np.ones((600, 1), np.float32), (1, edge, edge), seed=1)
    assert echo.sizes == sizes


def test_pictures_do_not_depend_on_the_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    condition = np.ones((50, 1), np.float32)
    together = inference.generate_pictures(Echo(), condition, (1, 28, 28), seed=1)
    monkeypatch.setattr(pictures, "PIXELS_PER_BATCH", 7 * 28**2)
    assert (inference.generate_pictures(Echo(), condition, (1, 28, 28), seed=1) == together).all()


def test_batches_are_read_in_order() -> None:
    pixels = np.arange(5, dtype=np.uint8).repeat(4).reshape(5, 1, 2, 2)
    probabilities, embedding = inference.read_pictures(read, (pixels[:2], pixels[2:]))
    assert probabilities[:, 0] == pytest.approx(np.arange(5) / 127.5 - 1)
    assert (embedding == -probabilities).all()
