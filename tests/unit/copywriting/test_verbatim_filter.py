"""Fingerprints of training lines."""

import numpy as np

from adloom.copywriting import verbatim_filter


def test_case_and_blanks_do_not_hide_a_copy() -> None:
    prints = verbatim_filter.fingerprint_lines(["Lovely Dress", "Soft coat", "lovely  dress "])
    assert len(prints) == 2
    assert verbatim_filter.is_known(prints, ["LOVELY DRESS", "Soft coat!", "Soft\ncoat", ""]).tolist() == [
        True,
        False,
        True,
        False,
    ]


def test_empty_inputs() -> None:
    assert verbatim_filter.fingerprint_lines([]).dtype == np.uint64
    assert verbatim_filter.is_known(verbatim_filter.fingerprint_lines([]), ["a"]).tolist() == [False]
    assert verbatim_filter.is_known(verbatim_filter.fingerprint_lines(["a"]), []).tolist() == []
