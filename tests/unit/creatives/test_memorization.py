"""Copies: planted ones are caught, mirrored and noisy ones too; real new pictures and smooth ones are not."""

import numpy as np
import pytest

from adloom.arrays import UInt8Array
from adloom.creatives import memorization

RNG = np.random.default_rng(0)


def products(number: int, size: int = 28, channels: int = 1, contrast: float = 1.0) -> UInt8Array:
    """Pictures of one kind that differ as products do: smooth random fields around a common shape."""
    coarse = RNG.normal(0, 1, (number, channels, size // 4, size // 4)).repeat(4, 2).repeat(4, 3)
    ramp = np.linspace(60, 160, size)[None, None, :, None]
    return np.clip(ramp + contrast * 30 * coarse, 0, 255).astype(np.uint8)


TRAINING = products(400)


def find_nearest(pictures: UInt8Array, training: UInt8Array) -> memorization.NearestTraining:
    """Search in uneven batches."""
    return memorization.find_nearest(np.split(pictures, [2]), np.split(training, [1, 150]))


TEST = find_nearest(products(300), TRAINING)


def share_of_copies(pictures: UInt8Array) -> float:
    return float((find_nearest(pictures, TRAINING).relative < memorization.copy_threshold(TEST)).mean())


def noisy(pictures: UInt8Array) -> UInt8Array:
    return np.clip(pictures + RNG.normal(0, 5, pictures.shape), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("change", [lambda p: p, lambda p: p[..., ::-1], noisy], ids=["as it is", "mirrored", "noisy"])
def test_a_planted_copy_is_detected(change: object) -> None:
    planted = products(20)
    planted[7] = change(TRAINING[123])  # type: ignore[operator]
    assert share_of_copies(planted) == 1 / 20
    near = find_nearest(planted, TRAINING)
    assert near.index[7] == 123
    assert near.relative[7] < 0.3


def test_new_pictures_and_smooth_ones_are_no_copies() -> None:
    assert share_of_copies(products(200)) <= 2 / 200
    assert share_of_copies(products(200, contrast=0.5)) <= 2 / 200


def test_distances_by_hand() -> None:
    black, grey = np.zeros((1, 1, 2, 2), np.uint8), np.full((1, 1, 2, 2), 126, np.uint8)  # levels 0 and 63
    near = find_nearest(grey, np.concatenate([black, grey + 126]))
    assert near.pixels.tolist() == pytest.approx([126.5], abs=0.1)  # of 127 levels
    assert near.relative.tolist() == [1]  # both are equally far
    assert near.index.tolist() == [0]


@pytest.mark.parametrize(("size", "channels"), [(28, 1), (32, 3), (64, 3), (128, 3)])
def test_sums_are_exact_in_every_order(size: int, channels: int) -> None:
    white = np.full((1, channels, size, size), 255, np.uint8)
    point = memorization.reduce_pictures(white)
    assert point.size * (memorization.LEVELS - 1) ** 2 < 2**24
    [[square]] = memorization._compare(*map(memorization._fold, (point, np.zeros_like(point))))
    assert float(square) == point.size * (memorization.LEVELS - 1) ** 2


@pytest.mark.parametrize("size", [1, 2, 5, 16])
def test_the_nearer_of_a_picture_and_its_mirror_image_counts(size: int) -> None:
    points, training = (RNG.integers(0, memorization.LEVELS, (9, 3, size, size), np.uint8) for _ in range(2))
    squares = memorization._compare(*map(memorization._fold, (points, training)))
    pairs = [
        [((a[None] - np.stack([b, b[..., ::-1]])) ** 2).sum((1, 2, 3)).min() for b in training.astype(int)]
        for a in points.astype(int)
    ]
    assert squares.tolist() == pairs


@pytest.mark.parametrize(("pictures", "training"), [(1, 1), (7, 60), (1000, 1000)])
def test_results_do_not_depend_on_the_tiles(pictures: int, training: int, monkeypatch: pytest.MonkeyPatch) -> None:
    searched = np.concatenate([products(20), TRAINING[5:9], TRAINING[5:9, :, :, ::-1]])
    known = np.concatenate([TRAINING, TRAINING[::-1]])  # with ties: the first is the nearest
    expected = memorization.find_nearest([searched], [known])
    monkeypatch.setattr(memorization, "PICTURES_PER_TILE", pictures)
    monkeypatch.setattr(memorization, "TRAINING_PER_TILE", training)
    near = memorization.find_nearest([searched], np.split(known, range(50, 800, 50)))
    assert near.index.tolist() == expected.index.tolist()
    assert near.index[20:].tolist() == [5, 6, 7, 8] * 2
    assert near.pixels.tobytes() + near.relative.tobytes() == expected.pixels.tobytes() + expected.relative.tobytes()


def test_more_neighbours_than_training_pictures() -> None:
    assert find_nearest(TRAINING[:3], TRAINING[:3]).relative.tolist() == [0, 0, 0]


def test_canaries_are_found_among_new_pictures() -> None:
    """Each third is mirrored, each third noisy; training pictures that were planted twice are found as well."""
    canaries = memorization.make_canaries(TRAINING[:99], seed=1)
    assert (canaries[::3] == TRAINING[:99:3]).all()
    assert (canaries[1::3] == TRAINING[1:99:3, :, :, ::-1]).all()
    doubled = np.concatenate([TRAINING, TRAINING[:50], TRAINING[:50]])
    threshold = memorization.copy_threshold(find_nearest(products(300), doubled))
    found = find_nearest(np.concatenate([canaries, products(300)]), doubled).relative < threshold
    assert found[:99].mean() >= 0.99
    assert found[99:].mean() <= 0.01


def test_leaked_test_pictures_do_not_blind_the_search() -> None:
    leaked = find_nearest(np.concatenate([products(300), TRAINING[:30]]), TRAINING)
    assert memorization.copy_threshold(leaked) == min(0.3, np.quantile(leaked.relative[:300], 0.001))
    assert memorization.copy_threshold(leaked.select(slice(300, None))) == 0.3


@pytest.mark.parametrize("tile", [1, 7, 1000])
def test_repeats_of_earlier_pictures_are_found(tile: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memorization, "PICTURES_PER_TILE", tile)
    drawn = products(30)
    drawn[20], drawn[25] = drawn[3], drawn[4, :, :, ::-1]
    assert np.flatnonzero(memorization.find_repeats(drawn)).tolist() == [20, 25]


@pytest.mark.parametrize("tile", [1, 7, 4096])
def test_nearest_embeddings_are_those_of_a_full_comparison(tile: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memorization, "TRAINING_PER_TILE", tile)
    a, b = (points / np.linalg.norm(points, axis=1, keepdims=True) for points in RNG.normal(size=(2, 40, 8)))
    index, distance = memorization.nearest_embeddings(a.astype(np.float32), b.astype(np.float16))
    full = np.linalg.norm(a[:, None] - b[None], axis=2)
    np.testing.assert_allclose(distance, full.min(1), atol=0.005)
    assert (full[np.arange(40), index] <= full.min(1) + 0.005).all()
