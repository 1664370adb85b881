"""Tokens: any text goes in and comes out unchanged, and no text is taken for a token of ours."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.toy_lines import LINES, words

from adloom.copywriting import tokenizer
from adloom.errors import ArtifactError

WORDS = words()


@given(st.text(max_size=40))
def test_any_text_comes_back(text: str) -> None:
    assert WORDS.decode(WORDS.encode(text)) == text


@pytest.mark.parametrize(
    "text", ["<end>", "a <begin> b", "<category:Coats>", " two  blanks ", "日本語 \N{SNOWMAN}\x00"]
)
def test_text_is_never_a_special_token(text: str) -> None:
    tokens = WORDS.encode(text)
    assert not WORDS.special & set(tokens)
    assert WORDS.decode(tokens) == text


def test_a_line_is_prefix_tokens_end() -> None:
    coats = WORDS.prefix("Coats")
    assert WORDS.encode_line("Soft", "Coats") == [coats, *WORDS.encode("Soft"), WORDS.end]
    assert WORDS.encode_line("Soft", None)[0] == WORDS.encode_line("Soft", "never seen")[0] == WORDS.begin
    assert len({coats, WORDS.prefix("Dresses"), WORDS.begin, WORDS.end}) == 4
    assert WORDS.decode(WORDS.encode_line("Soft", "Coats")) == "Soft"


def test_frequent_pairs_become_one_token() -> None:
    assert len(WORDS.encode("Lovely")) < len("Lovely")
    assert WORDS.spell("Lovely dress") == "".join(WORDS.pieces[i] for i in WORDS.encode("Lovely dress"))


def test_the_same_lines_make_the_same_file_and_the_file_the_same_tokenizer() -> None:
    assert words().to_json() == WORDS.to_json()
    read = tokenizer.from_json(WORDS.to_json())
    assert read.to_json() == WORDS.to_json()
    assert read.categories == ["Coats", "Dresses"]
    assert [read.encode_line(line, "Coats") for line in LINES] == [WORDS.encode_line(line, "Coats") for line in LINES]
    assert read.encode("<end>") == WORDS.encode("<end>")


def test_no_category_and_a_vocabulary_too_small_for_the_bytes() -> None:
    small = tokenizer.fit(["ab"], [], vocabulary=1)
    assert small.size == 256 + 2
    assert small.categories == []
    assert small.decode(small.encode("é")) == "é"


def test_a_file_that_is_no_tokenizer_is_refused() -> None:
    with pytest.raises(ArtifactError, match=r"tokenizer\.json: not a tokenizer"):
        tokenizer.from_json('{"model": 1}')
