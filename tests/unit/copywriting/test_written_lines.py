"""Measurements of written lines: variety, copies, spelling and category, by hand."""

import numpy as np
import pandas as pd
from tests.support.toy_lines import LINES

from adloom.copywriting.written_lines import (
    agreement_sample,
    copied_sample,
    distinct_2_sample,
    gap_sample,
    known_words_sample,
)
from adloom.evaluation.metric import Sample

HEBREW = "\u05e9\u05dc\u05d5\u05dd"


def value(sample: Sample) -> float:
    return sample.statistic(*sample.columns, np.ones(len(sample.columns[0])))


def test_distinct_2_counts_each_bigram_once() -> None:
    assert (
        value(distinct_2_sample(["so soft coat", "So soft", "warm", "so warm coat"])) == 4 / 5
    )  # "so soft" came again


def test_copied_is_the_share_of_training_lines() -> None:
    assert value(copied_sample(["Lovely dress", "lovely  Dress", "Lovely", "coat"], LINES)) == 0.5


def test_the_gap_is_how_much_more_of_our_lines_are_copies() -> None:
    ours, theirs = ["coat", "Lovely", "Lovely dress", "Soft dress"], ["Lovely dress", "coats", "hat"]
    copied = copied_sample(ours, LINES)
    assert value(gap_sample(copied, copied_sample(theirs, LINES))) == 0  # of as many lines of each
    assert value(gap_sample(copied, copied_sample([*theirs, "scarf"], LINES))) == 0.25


def test_known_words_are_those_of_the_training_lines_in_any_case_and_script() -> None:
    lines = ["WARM coats, don\u2019t!", "na\xefve 5 \U0001f600", f"{HEBREW} {HEBREW[::-1]}"]
    assert value(known_words_sample(lines, [*LINES, "Don\u2019t", HEBREW])) == 4 / 6  # not coats, not the last


def test_agreement_is_the_share_of_lines_in_which_a_classifier_finds_the_category() -> None:
    train = pd.DataFrame({"text": ["Warm coat", "Soft coat", "Red dress", "Long dress"], "category": list("ccdd")})
    served: dict[str | None, list[str]] = {"c": ["A coat", "Coats"], "d": ["A dress", "My coat"]}
    assert value(agreement_sample(served, train)) == 0.75
