import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support import painted_pictures

from adloom.arrays import UInt8Array
from adloom.creatives import copy_check
from adloom.creatives.copy_check import MAX_THRESHOLD, CopyCheck, calibrate_threshold, find_distances
from adloom.creatives.fingerprint import fit_fingerprint
from adloom.creatives.memorization import make_canaries
from adloom.creatives.pictures import decode_pngs


@pytest.fixture(scope="module")
def painted() -> UInt8Array:
    return decode_pngs(painted_pictures.rows()["image"].tolist(), 1, 28, 28)


@pytest.fixture(scope="module")
def check(painted: UInt8Array) -> CopyCheck:
    fitted = fit_fingerprint(painted[:40], seed=7)
    known = fitted(painted[:40])
    return CopyCheck(fitted, known, calibrate_threshold(find_distances(fitted(painted[40:50]), known)))


def test_copies_are_found_as_they_are_mirrored_and_noisy(check: CopyCheck, painted: UInt8Array) -> None:
    assert check.find_copies(make_canaries(painted[:40], seed=7)).all()


def test_new_pictures_are_no_copies(check: CopyCheck, painted: UInt8Array) -> None:
    assert not check.find_copies(painted[50:]).any()


def test_distances_do_not_depend_on_the_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    known = np.eye(5, dtype=np.float32)
    picture = np.array([[0.6, 0.8, 0, 0, 0], [0, 0, 0, 0, 1]], np.float32)
    assert find_distances(picture, known) == pytest.approx([0.2, 0])
    monkeypatch.setattr(copy_check, "ROWS_PER_TILE", 2)
    assert find_distances(picture, known) == pytest.approx([0.2, 0])


@given(st.lists(st.floats(0, 2), max_size=50))
def test_the_threshold_is_bounded(distances: list[float]) -> None:
    assert 0 < calibrate_threshold(np.array(distances)) <= MAX_THRESHOLD


def test_five_of_a_thousand_new_pictures_is_below_the_threshold() -> None:
    distances = np.concatenate(
        [np.zeros(50), np.linspace(0.002, 0.5, 10_000)]
    )  # the first are in the training data, too
    assert (distances[50:] < calibrate_threshold(distances)).mean() == pytest.approx(0.005)
