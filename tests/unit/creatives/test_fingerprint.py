"""Fingerprints: of mirrored pictures the same, of changed ones near, of others far, in every size and colour."""

import numpy as np
import pytest

from adloom.arrays import UInt8Array
from adloom.creatives import fingerprint
from adloom.creatives.fingerprint import fit_fingerprint
from adloom.creatives.memorization import nearest_embeddings
from adloom.creatives.transforms import DUPLICATES


def draw_blots(number: int, channels: int = 1, size: int = 28) -> UInt8Array:
    """Draw smooth random pictures."""
    coarse = np.random.default_rng(0).normal(size=(number, channels, 6, 6))
    rows = np.array([np.interp(np.linspace(0, 5, size), np.arange(6), np.eye(6)[k]) for k in range(6)]).T
    smooth = rows @ coarse @ rows.T
    pixels: UInt8Array = (255 * (smooth - smooth.min()) / np.ptp(smooth)).astype(np.uint8)
    return pixels


@pytest.mark.slow
@pytest.mark.parametrize(("channels", "size"), [(1, 28), (3, 32), (1, 64), (3, 128)])
def test_changed_pictures_are_nearest_to_their_originals(channels: int, size: int) -> None:
    pictures = draw_blots(400, channels, size)
    fitted = fit_fingerprint(pictures[:200], seed=7)
    gallery = fitted(pictures[200:])
    assert gallery.shape == (200, fingerprint.DIMENSIONS)
    assert np.linalg.norm(gallery, axis=1) == pytest.approx(1, rel=1e-5)
    for name, change in DUPLICATES.items():
        found, _ = nearest_embeddings(fitted(change(pictures[200:], np.random.default_rng(1))), gallery)
        assert (found == np.arange(200)).mean() >= 0.98, name


def test_a_mirrored_picture_has_the_same_fingerprint() -> None:
    pictures = draw_blots(60)
    fitted = fit_fingerprint(pictures, seed=7)
    np.testing.assert_allclose(fitted(pictures[..., ::-1].copy()), fitted(pictures), atol=1e-4)


def test_equal_pictures_are_fitted_and_have_a_finite_fingerprint() -> None:
    black = np.zeros((5, 1, 28, 28), np.uint8)
    assert np.isfinite(fit_fingerprint(black, seed=7)(black)).all()
    assert np.isfinite(fit_fingerprint(black[:1], seed=7)(draw_blots(3))).all()
