"""Whitening, worked by hand, and of embeddings without extent."""

import numpy as np
import pytest

from adloom.creatives.whitening import fit_whitening, read_whitening


def test_directions_are_divided_by_the_root_of_their_deviation() -> None:
    points = np.array([[17, 1], [-15, 1], [1, 3], [1, -1]], np.float16)  # variances 128 and 2 around (1, 1)
    whiten = fit_whitening(np.tile(points, (1000, 1)))
    assert whiten.mean.tolist() == [1, 1]
    assert whiten.matrix == pytest.approx(np.diag([128**-0.25, 2**-0.25]), rel=1e-2, abs=1e-6)
    expected = np.array([1, 2**1.5]) / 3  # (1, 1) times the diagonal, of unit length
    assert whiten(np.array([[2, 2]], np.float32))[0] == pytest.approx(expected, rel=1e-2)


@pytest.mark.parametrize("number", [1, 2, 5])
def test_equal_embeddings_give_finite_ones(number: int) -> None:
    embedding = np.full((number, 4), 0.5, np.float16)
    assert np.isfinite(fit_whitening(embedding)(np.eye(4, dtype=np.float32))).all()
    assert np.isfinite(fit_whitening(embedding)(embedding)).all()


def test_embeddings_of_an_older_model_stay_as_they_are() -> None:
    embedding = np.array([[0.6, 0.8], [1, 0]], np.float32)
    assert read_whitening({"embedding": embedding})(embedding) == pytest.approx(embedding)


def test_few_embeddings_are_whitened_less() -> None:
    points = np.array([[17, 1], [-15, 1], [1, 3], [1, -1]], np.float16)
    few, many = (np.diag(fit_whitening(np.tile(points, (number, 1))).matrix) for number in (1, 1000))
    assert few[1] / few[0] < 0.6 * many[1] / many[0]
