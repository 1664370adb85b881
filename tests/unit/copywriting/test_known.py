"""Fingerprints of training lines."""

import numpy as np

from adloom.copywriting import known


def test_case_and_blanks_do_not_hide_a_copy() -> None:
    prints = known.fingerprints(["Lovely Dress", "Soft coat", "lovely  dress "])
    assert len(prints) == 2
    assert known.contains(prints, ["LOVELY DRESS", "Soft coat!", "Soft\ncoat", ""]).tolist() == [
        True,
        False,
        True,
        False,
    ]


def test_nothing_known_and_nothing_asked() -> None:
    assert known.fingerprints([]).dtype == np.uint64
    assert known.contains(known.fingerprints([]), ["a"]).tolist() == [False]
    assert known.contains(known.fingerprints(["a"]), []).tolist() == []
