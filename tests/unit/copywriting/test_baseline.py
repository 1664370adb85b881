"""The baseline: the order and the training lines that predict validation lines best."""

import pytest

from adloom.copywriting import baseline
from adloom.sequences import kneser_ney

TRAIN = ["Lovely dress", "Lovely top", "Great dress", "So soft", "Soft top"] + ["Great top"] * 40
VALIDATION = ["Lovely soft top", "So great"]


def test_every_order_competes_on_distinct_lines_and_on_all() -> None:
    candidates = baseline.fit_candidates(TRAIN, VALIDATION)
    assert [c.order for c in candidates] == [*range(3, 13)] * 2
    assert {c.training for c in candidates} == {"distinct lines", "all lines"}
    best = baseline.choose_best(candidates)
    assert best.bits == min(c.bits for c in candidates)
    lines = list(dict.fromkeys(TRAIN)) if best.training == "distinct lines" else TRAIN
    alone = kneser_ney.fit(lines, best.order).line_bits(VALIDATION).sum() / sum(len(line) + 1 for line in VALIDATION)
    assert best.bits == pytest.approx(alone)
    assert best.training == "distinct lines"  # of forty equal lines no validation line is one


def test_lines_without_repetitions_are_fitted_once_and_short_ones_to_their_length() -> None:
    candidates = baseline.fit_candidates(["ab", "c"], ["a"])
    assert [(c.order, c.training) for c in candidates] == [(3, "distinct lines"), (4, "distinct lines")]
    assert [c.order for c in baseline.fit_candidates(["", "a"], [""])] == [3]
    assert [c.order for c in baseline.fit_candidates([""], ["a"])] == [2]
