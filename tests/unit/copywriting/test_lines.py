"""Lines of copy: prompts, rules and bounds."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.toy_lines import LINES, Bigram, words

from adloom.arrays import Float32Array, Int64Array
from adloom.copywriting import verbatim_filter
from adloom.copywriting.lines import MAX_ROUNDS, LineRequest, LineRules, filter_lines, write_lines, write_together

WORDS = words()
WRITE = Bigram(WORDS)


def test_equal_seeds_give_equal_lines() -> None:
    lines = write_lines(WRITE, WORDS, LineRequest(20, 5, "Coats"))
    assert len(lines) == 20
    assert lines == write_lines(WRITE, WORDS, LineRequest(20, 5, "Coats"))
    assert lines != write_lines(WRITE, WORDS, LineRequest(20, 6, "Coats"))


@pytest.mark.parametrize("prompt", ["Lovely ", "Lov", "Soft warm", "N", "Naï", "x", "日本 ", "<end>"])
def test_every_line_begins_with_the_prompt(prompt: str) -> None:
    write = Bigram(WORDS, [*LINES, f"{prompt} coat"])
    lines = write_lines(write, WORDS, LineRequest(5, 1, prompt=prompt, top_p=0.99))
    assert len(lines) == 5
    assert all(line.startswith(prompt) for line in lines)


def test_a_prompt_may_end_inside_a_token() -> None:
    assert set(write_lines(WRITE, WORDS, LineRequest(50, 1, prompt="Lovel", top_p=0.99))) <= {
        "Lovely dress", "Lovely warm coat", "Lovely coat", "Lovely warm dress", "Lovely coat!", "Lovely warm coat!",
    }  # fmt: skip


def test_banned_words_are_whole_words_in_any_case() -> None:
    rules = LineRules(banned=("coat", "warm dress"))
    assert filter_lines(["A COAT!", "Coated", "overcoat", "Warm  dress", "warm dress", "coat"], rules) == [
        "Coated", "overcoat", "Warm  dress",
    ]  # fmt: skip
    lines = write_lines(WRITE, WORDS, LineRequest(30, 2, rules=LineRules(banned=("coat",))))
    assert lines
    assert not any("coat" in line for line in lines)


def test_a_banned_word_is_no_pattern() -> None:
    assert filter_lines(["a.c", "abc", "$5 off!"], LineRules(banned=("a.c", "$5"))) == ["abc"]


@settings(max_examples=20)
@given(st.integers(0, 10**6), st.integers(9, 20))
def test_lines_keep_the_maximum_length(seed: int, most: int) -> None:
    lines = write_lines(WRITE, WORDS, LineRequest(5, seed, rules=LineRules(max_characters=most)))
    assert all(0 < len(line) <= most for line in lines)


def test_training_lines_are_rejected_by_the_rule() -> None:
    lines = write_lines(
        WRITE, WORDS, LineRequest(20, 3, rules=LineRules(known=verbatim_filter.fingerprint_lines(LINES)))
    )
    assert lines
    assert not set(lines) & set(LINES)
    assert set(write_lines(WRITE, WORDS, LineRequest(20, 3))) & set(LINES)


def test_blank_lines_broken_utf8_and_zero_bytes_are_always_refused() -> None:
    assert filter_lines(["", "  ", "a\ufffd", "a\0b", "a"], LineRules()) == ["a"]


def test_unsatisfiable_rules_give_no_line_after_bounded_work() -> None:
    class Counting(Bigram):
        starts = 0

        def start(self, batch: int) -> int:
            Counting.starts += 1
            assert batch <= 4
            return 0

    assert write_lines(Counting(WORDS), WORDS, LineRequest(4, 0, rules=LineRules(max_characters=1))) == []
    assert Counting.starts == MAX_ROUNDS


class Costly(Bigram):
    """Counts the tokens that it reads."""

    tokens_read = 0

    def __call__(self, token: Int64Array, state: int) -> tuple[Float32Array, int]:
        self.tokens_read += token.size
        return super().__call__(token, state)


def test_a_line_that_is_too_long_is_not_continued() -> None:
    write = Costly(WORDS)
    assert write_lines(write, WORDS, LineRequest(64, 0, rules=LineRules(max_characters=1))) == []
    assert write.tokens_read <= MAX_ROUNDS * 64 * 3  # a character too many, and in late rounds an end


def test_a_request_has_a_bound_whatever_its_rules() -> None:
    write = Costly(WORDS)
    request = LineRequest(8, 0, rules=LineRules(banned=("dress", "coat", "warm")), max_drawn=100)
    assert filter_lines(lines := write_lines(write, WORDS, request), request.rules) == lines
    assert 0 < write.tokens_read <= 100
    unbound, bound = LineRequest(8, 0), LineRequest(8, 0, max_drawn=8 * 64)
    assert write_lines(WRITE, WORDS, unbound) == write_lines(WRITE, WORDS, bound)


@pytest.mark.parametrize("text", ["coat", "Naïve", "日本", "a\u0301", "👍🏽 ok"])
def test_characters_are_counted_where_they_begin(text: str) -> None:
    assert WORDS.characters[WORDS.encode(text)].sum() == len(text)
    assert WORDS.characters[list(WORDS.special)].sum() == 0


def test_a_line_that_does_not_end_in_time_is_left_out() -> None:
    assert write_lines(WRITE, WORDS, LineRequest(3, 0, max_tokens=1)) == []
    assert write_lines(WRITE, WORDS, LineRequest(0, 0)) == []


ODD = [
    "\U0001f600 Lovely dress \U0001f44d\U0001f3fd",
    "\u05e9\u05dc\u05d5\u05dd \u05e2\u05d5\u05dc\u05dd",
    "caf\xe9 coat",
    "\u65e5\u672c\u8a9e",
]
ODD_WORDS = words(ODD * 3)


def test_every_script_survives_and_no_token_ends_inside_a_character() -> None:
    write = Bigram(ODD_WORDS, ODD, smoothing=0.02)  # draws many tokens that no line has
    lines = write_lines(write, ODD_WORDS, LineRequest(40, 1, max_tokens=200))
    assert len(lines) == 40
    assert not any("\ufffd" in line for line in lines)
    likely = write_lines(Bigram(ODD_WORDS, ODD), ODD_WORDS, LineRequest(40, 1))
    assert set(ODD) <= set(likely)


@pytest.mark.parametrize(
    "banned", ["caf\xe9", "CAF\xc9", "\u05e2\u05d5\u05dc\u05dd", "\U0001f44d\U0001f3fd", "lovely dress"]
)
def test_banned_words_cannot_be_drawn_in_any_script(banned: str) -> None:
    rules = LineRules(banned=(banned,))
    lines = write_lines(Bigram(ODD_WORDS, ODD, smoothing=1e-4), ODD_WORDS, LineRequest(30, 1, rules=rules))
    assert len(lines) == 30
    assert filter_lines(lines, rules) == lines


def test_a_banned_word_that_begins_another_bans_only_itself() -> None:
    tokens = words(["Coat rack", "Coat racks", "Coats"] * 3)
    write = Bigram(tokens, ["Coat rack", "Coat racks", "Coats"])
    lines = write_lines(write, tokens, LineRequest(20, 0, rules=LineRules(banned=("coat rack",))))
    assert set(lines) <= {"Coat racks", "Coats", "Coat"}


def test_claims_are_banned_on_request() -> None:
    lines = ["The best coat", "100% warm coat", "Guaranteed warm", "#1 coat", "Best-selling", "bestow", "1001% x"]
    assert filter_lines(lines, LineRules(no_claims=True)) == ["bestow", "1001% x"]


@pytest.mark.parametrize("prompt", ["", "Lov"])
def test_required_words_are_in_every_line(prompt: str) -> None:
    rules = LineRules(required=("soft", "WARM coat"), max_characters=40)
    lines = write_lines(WRITE, WORDS, LineRequest(6, 0, "Coats", prompt, rules=rules))
    assert len(lines) == 6
    assert all(line.startswith(prompt) and len(line) <= 40 for line in lines)
    assert filter_lines(lines, rules) == lines
    assert lines == write_lines(WRITE, WORDS, LineRequest(6, 0, "Coats", prompt, rules=rules))


def test_required_words_that_do_not_fit_give_no_line() -> None:
    rules = LineRules(required=("warm", "soft"), max_characters=7)
    assert write_lines(WRITE, WORDS, LineRequest(3, 0, rules=rules)) == []
    assert write_lines(WRITE, WORDS, LineRequest(3, 0, rules=LineRules(banned=("warm",), required=("warm",)))) == []


def test_lines_that_seldom_fit_end_with_a_whole_word() -> None:
    tokens = words(["Warm soft lovely coat"] * 3)
    rules = LineRules(max_characters=12)
    lines = write_lines(Bigram(tokens, ["Warm soft lovely coat"]), tokens, LineRequest(5, 0, rules=rules))
    assert lines == ["Warm soft"] * 5


def test_guidance_and_the_nucleus_make_lines_more_typical() -> None:
    plain, typical = (
        write_lines(Bigram(WORDS, smoothing=0.01), WORDS, LineRequest(200, 0, "Coats", top_p=p, guidance=g))
        for p, g in ((1.0, 0.0), (0.8, 1.0))
    )
    known = {word for line in LINES for word in line.split()}
    shares = [np.mean([set(line.split()) <= known for line in lines]) for lines in (plain, typical)]
    assert shares[0] < shares[1]


def test_lines_written_together_are_the_lines_written_alone() -> None:
    requests = [
        LineRequest(3, 1, "Coats", guidance=2.0),
        LineRequest(8, 2, prompt="Lovely", temperature=1.5, top_p=0.9),
        LineRequest(2, 3, "Dresses", rules=LineRules(required=("warm",), max_characters=30)),
        LineRequest(0, 4),
        LineRequest(4, 5, rules=LineRules(max_characters=1)),
    ]
    write = Bigram(WORDS, smoothing=1e-3)
    together = write_together(write, WORDS, requests)
    assert together == [write_lines(write, WORDS, request) for request in requests]
    assert [len(lines) for lines in together] == [3, 8, 2, 0, 0]
