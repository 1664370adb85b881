"""Splits: depend on the row alone, never part equal content, and have the sizes they say."""

from collections import Counter
from datetime import date

import numpy as np
import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from adloom.data import splits
from adloom.data.privacy import pseudonymise


def test_a_content_hash_is_the_first_eight_bytes_of_sha256() -> None:
    # sha256 of nothing begins e3b0c442 98fc1c14
    assert splits.hash_content(b"") == 0xE3B0C44298FC1C14


def test_the_last_digit_chooses_the_split() -> None:
    assert list(splits.split_by_hash([0, 7, 8, 9, 10, 18, 99])) == [
        *("train", "train", "validation", "test", "train", "validation", "test")
    ]


def test_shares_are_80_10_10() -> None:
    hashes = [splits.hash_content(str(i).encode()) for i in range(20_000)]
    shares = {name: count / 20_000 for name, count in Counter(splits.split_by_hash(hashes)).items()}
    assert abs(shares["train"] - 0.8) < 0.01
    assert abs(shares["validation"] - 0.1) < 0.01
    assert abs(shares["test"] - 0.1) < 0.01


@given(st.lists(st.binary(max_size=3), max_size=50))
def test_equal_content_is_never_parted_and_neighbours_do_not_matter(contents: list[bytes]) -> None:
    hashes = [splits.hash_content(content) for content in contents]
    together = splits.split_by_hash(hashes)
    assert [splits.split_by_hash([h])[0] for h in hashes] == list(together)


def test_holdout_begins_at_midnight_utc() -> None:
    moments = pd.Series(["1997-12-31T23:59:59.999999Z", "1998-01-01T00:00:00Z", "1998-01-01T00:30+01:00"])
    times = pd.to_datetime(moments, format="ISO8601", utc=True)
    assert list(splits.split_by_time(times, date(1998, 1, 1))) == ["calibration", "holdout", "calibration"]


def test_halves_are_halves_and_follow_the_user() -> None:
    users = pd.Series([pseudonymise(str(i), b"key") for i in range(4000)])
    halves = splits.assign_halves(users)
    assert set(halves) == {"a", "b"}
    assert abs(np.mean(halves == "a") - 0.5) < 0.03
    assert (splits.assign_halves(users[::-1])[::-1] == halves).all()


def test_case_blanks_and_compatibility_forms_do_not_make_another_line() -> None:
    assert splits.normalise_text("  Great\tFIT \n") == "great fit"
    assert splits.normalise_text("ﬁne \uff21\uff22") == "fine ab"
    assert splits.normalise_text("STRASSE") == splits.normalise_text("straße")
