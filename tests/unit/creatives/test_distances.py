"""Distances between clouds of embeddings: by hand, and against known truth."""

import os
import platform
import subprocess
import sys

import numpy as np
import pytest

from adloom.creatives import distances

RNG = np.random.default_rng(0)


def cloud(number: int, shift: float = 0.0, spread: float = 1.0) -> np.ndarray:
    return RNG.normal(shift, spread, (number, 4))


def test_frechet_of_one_dimension_by_hand() -> None:
    """(m - m')² + s² + s'² - 2 s s' = (1 - 0)² + 1 + 4 - 4 = 2."""
    drawn = np.array([[0.0], [2.0]])  # mean 1, variance 1
    assert distances.frechet_distance(drawn, np.zeros(1), np.array([[4.0]]), np.ones(2)) == pytest.approx(2)


def test_frechet_of_a_cloud_to_itself_is_zero_and_grows_with_the_shift() -> None:
    points = cloud(500)
    mean, covariance = distances.fit_normal(points)
    assert distances.frechet_distance(points, mean, covariance, np.ones(500)) == pytest.approx(0, abs=1e-9)
    assert distances.frechet_distance(points + 1, mean, covariance, np.ones(500)) == pytest.approx(
        4
    )  # 1² in 4 dimensions


def test_frechet_weights_are_repeated_rows() -> None:
    points, (mean, covariance) = cloud(20), distances.fit_normal(cloud(50))
    weights = RNG.integers(0, 4, 20)
    repeated = points.repeat(weights, axis=0)
    expected = distances.frechet_distance(repeated, mean, covariance, np.ones(len(repeated)))
    assert distances.frechet_distance(points, mean, covariance, weights) == pytest.approx(expected)


def test_kernel_distance_by_hand() -> None:
    """One dimension, k(x, y) = (x y + 1)³: drawn {1, 1}, real {0, 0}: 8 + 1 - 2 = 7."""
    assert distances.kernel_distances(np.ones((2, 1)), np.zeros((2, 1))).mean() == pytest.approx(7)


def test_kernel_distance_is_unbiased() -> None:
    values = [distances.kernel_distances(cloud(40), cloud(40)).mean() for _ in range(200)]
    assert np.mean(values) == pytest.approx(0, abs=3 * np.std(values) / np.sqrt(200))


def test_in_manifold_by_hand() -> None:
    """Balls around 0, 1, 2, 3 reach to the third nearest other: radii 3, 2, 2, 3."""
    manifold = np.array([[0.0], [1.0], [2.0], [3.0]])
    points = np.array([[-3.0], [-3.1], [6.0], [6.1], [1.5]])
    assert distances.in_manifold(points, manifold).tolist() == [True, False, True, False, True]


def test_precision_and_recall_see_a_missing_half() -> None:
    real = np.concatenate([cloud(200), cloud(200, shift=20)])
    drawn = cloud(400)  # plausible, but one half is missing
    assert distances.in_manifold(drawn, real).mean() > 0.8
    assert distances.in_manifold(real, drawn).mean() < 0.6


def test_outliers_by_hand() -> None:
    """Real points at 0, 1, 2 and 4: the farthest nearest other is 2 away, and an outlier is farther."""
    real = np.array([[0.0], [1.0], [2.0], [4.0]])
    assert distances.find_outliers(np.array([[1.5], [6.0], [6.1], [-3.0]]), real).tolist() == [False, False, True, True]
    assert distances.find_outliers(np.array([[0.0], [1.0]]), np.zeros((2, 1))).tolist() == [False, True]


@pytest.mark.parametrize("cells", [1, 500, 2**30])
def test_results_do_not_depend_on_the_tiles(cells: int, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn, real = np.random.default_rng(1).normal(size=(2, 300, 64)) / 8
    expected = distances.kernel_distances(drawn, real[:200]), distances.in_manifold(drawn, real[:200])
    monkeypatch.setattr(distances, "CELLS_PER_TILE", cells)
    assert distances.kernel_distances(drawn, real[:200]).tobytes() == expected[0].tobytes()
    assert distances.in_manifold(drawn, real[:200]).tobytes() == expected[1].tobytes()


def test_eigenvalues_and_factor_are_those_of_the_matrix() -> None:
    spread = RNG.normal(size=(12, 9)) @ np.diag(np.logspace(0, -5, 9))
    matrix = spread.T @ spread
    np.testing.assert_allclose(distances._eigenvalues(matrix), np.linalg.eigvalsh(matrix), rtol=0, atol=1e-14)
    factor = distances.cholesky(matrix)
    np.testing.assert_allclose(factor @ factor.T, matrix, rtol=0, atol=1e-14)


def test_directions_without_variance_count_nothing() -> None:
    """Embeddings of a line in 4 dimensions are as far apart as on the line."""
    line, direction = RNG.normal(size=(60, 2)), np.array([[0.5, 0.5, 0.5, 0.5]])
    flat, deep = [
        distances.frechet_distance(x, *distances.fit_normal(y), np.ones(60))
        for x, y in [(line[:, :1], line[:, 1:]), (line[:, :1] @ direction, line[:, 1:] @ direction)]
    ]
    assert deep == pytest.approx(flat, abs=1e-5)  # a grid of 20 bits


BYTES = """
import hashlib
import numpy as np
from adloom.creatives import distances, memorization, second_reader

rng = np.random.default_rng(0)
drawn, real = (rng.normal(size=(rows, 64)).astype(np.float32) / 8 for rows in (700, 500))
drawn[:, :3] *= 4
weights = np.bincount(rng.integers(700, size=700), minlength=700).astype(float)
mean, covariance = distances.fit_normal(real)
frechet = np.float64(distances.frechet_distance(drawn, mean, covariance, weights))
reader = second_reader.fit_second_reader(real, np.arange(500) % 5, 5)
found = [mean, covariance, frechet, distances.kernel_distances(drawn, real), distances.in_manifold(drawn, real)]
unit = [each / np.sqrt((each**2).sum(1, keepdims=True)) for each in (drawn, real)]
found += [distances.find_outliers(drawn, real), *memorization.nearest_embeddings(*unit), reader.whiten, reader.means]
print(hashlib.sha256(b"".join(array.tobytes() for array in found)).hexdigest())
"""
KERNELS = {"x86_64": ["Prescott", "Nehalem", "Sandybridge"], "aarch64": ["ARMV8", "CORTEXA57"]}


@pytest.mark.slow
def test_every_kernel_of_blas_gives_the_same_bytes() -> None:
    inherited = {name: value for name, value in os.environ.items() if name != "OPENBLAS_CORETYPE"}
    choices = [{}, *({"OPENBLAS_CORETYPE": kernel} for kernel in KERNELS.get(platform.machine(), []))]
    command = [sys.executable, "-c", BYTES]
    printed = [subprocess.run(command, env=inherited | choice, capture_output=True, check=True) for choice in choices]
    assert len({done.stdout for done in printed}) == 1
