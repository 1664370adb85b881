"""Baselines on pixels: they learn what is easy, at every size, and are the same each time."""

import numpy as np
import pytest

from adloom.creatives.fit import predict_baselines


@pytest.mark.parametrize(("channels", "edge"), [(1, 28), (3, 64)])
def test_baselines_tell_bright_from_dark(channels: int, edge: int) -> None:
    random = np.random.default_rng(0)
    category = np.arange(40) % 2
    pixels = (random.integers(0, 100, (40, channels, edge, edge)) + 100 * category[:, None, None, None]).astype(
        np.uint8
    )
    predicted = predict_baselines(pixels[:30], category[:30], pixels[30:], seed=7, threads=1)
    assert {name: classes.tolist() for name, classes in predicted.items()} == {
        "random_forest": category[30:].tolist(),
        "logistic_regression": category[30:].tolist(),
    }
    again = predict_baselines(pixels[:30], category[:30], pixels[30:], seed=7, threads=2)
    assert all((again[name] == classes).all() for name, classes in predicted.items())
