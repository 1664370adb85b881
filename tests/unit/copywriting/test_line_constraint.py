"""The constraint of single steps: which tokens may come next."""

import numpy as np
import pytest
from tests.support.toy_lines import words

from adloom.copywriting.line_constraint import LineConstraint, match_words

WORDS = words()
ROW = np.array([0])


def allowed_pieces(constraint: LineConstraint, written: str) -> list[str]:
    constraint.update(np.zeros(len(tokens := WORDS.encode(written)), int), np.array(tokens, int))
    return [WORDS.decode([i]) for i in np.flatnonzero(constraint.allowed(ROW)[0]).tolist() if i != WORDS.end]


def test_a_prompt_is_followed_exactly_and_may_end_inside_a_token() -> None:
    pieces = allowed_pieces(LineConstraint(WORDS, ["Lovely dr"]), "Lovely")
    assert pieces
    assert all(" dr".startswith(piece) or piece.startswith(" dr") for piece in pieces)
    assert not LineConstraint(WORDS, ["L"]).allowed(ROW)[0, WORDS.end]
    assert LineConstraint(WORDS, [""]).allowed(ROW)[0, WORDS.end]


def test_a_prompt_of_whole_words_does_not_go_on_inside_the_last() -> None:
    pieces = allowed_pieces(LineConstraint(WORDS, ["Warm"], whole_words=True), "Warm")
    assert {" coat", "!"} <= {*pieces}
    assert not any(piece[:1].isalnum() for piece in pieces)


def test_a_character_is_ended_before_anything_else() -> None:
    constraint = LineConstraint(WORDS, [""])
    constraint.update(ROW, np.array([WORDS.encode("\u65e5")[0]]))
    mask = constraint.allowed(ROW)[0]
    assert not mask[WORDS.end]
    assert all(WORDS.piece_bytes[i][0] & 0xC0 == 0x80 for i in np.flatnonzero(mask))


@pytest.mark.parametrize(
    ("banned", "written"),
    [("coat", "Soft"), ("warm coat", "A warm"), ("COAT", ""), ("warm coat", "Lovely dress, soft coat, warm")],
)
def test_the_token_that_would_complete_a_banned_word_is_refused(banned: str, written: str) -> None:
    assert " coat" not in allowed_pieces(LineConstraint(WORDS, [""], [banned]), written)


def test_a_phrase_is_banned_after_its_own_beginning_only() -> None:
    assert " coat" in allowed_pieces(LineConstraint(WORDS, [""], ["warm coat"]), "Lukewarm")


def test_a_line_over_the_limit_is_given_up_or_must_end() -> None:
    for cut in (False, True):
        constraint = LineConstraint(WORDS, [""], max_characters=3, cut=cut)
        assert constraint.update(ROW, np.array(WORDS.encode("Lovely"))[:1]).tolist() == [cut]
    assert np.flatnonzero(constraint.allowed(ROW)[0]).tolist() == [WORDS.end]


def test_words_with_marks_are_matched_whole() -> None:
    pattern = match_words(["#1", "100%"])
    assert [bool(pattern.search(text)) for text in ("the #1!", "#12", "100% wool", "1100%")] == [
        True,
        False,
        True,
        False,
    ]
