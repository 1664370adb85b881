"""Near-duplicates: found as by comparing all pairs, and by hand."""

from hypothesis import given, settings
from hypothesis import strategies as st

from adloom.copywriting.near_duplicates import SIMILAR, _split_grams, find_near_duplicates


def test_marks_case_and_a_small_change_do_not_hide_a_repetition() -> None:
    lines = ["so cute!!", "A very long line about a warm winter coat", "Warm coat", "\U0001f600", "\U0001f601"]
    others = ["So cute", "A very long line about the warm winter coat", "Soft coat", "\U0001f600"]
    assert find_near_duplicates(lines, others).tolist() == [True, True, False, True, False]
    assert find_near_duplicates(lines, []).tolist() == [False] * 5
    assert find_near_duplicates([], others).tolist() == []


@settings(max_examples=50)
@given(st.lists(st.text("abc ", max_size=12), max_size=8), st.lists(st.text("abc ", max_size=12), max_size=8))
def test_the_index_finds_what_all_pairs_find(lines: list[str], others: list[str]) -> None:
    def are_similar(line: str, other: str) -> bool:
        ours, theirs = _split_grams(line), _split_grams(other)
        return len(ours & theirs) >= SIMILAR * len(ours | theirs)

    expected = [any(are_similar(line, other) for other in others) for line in lines]
    assert find_near_duplicates(lines, others).tolist() == expected
