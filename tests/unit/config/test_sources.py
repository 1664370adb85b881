"""The keys of sources: what they accept, and how prepare gets them."""

import pytest
from pydantic import ValidationError

from adloom.config.params import parse
from adloom.config.sources import Source
from adloom.config.value_formats import ValueFormat


def test_whole_constants_are_integers_because_dvc_treats_them_as_equal() -> None:
    source = Source(uri="a.csv", constants={"position": 1.0, "value": 1.5, "clicked": True})
    assert [repr(value) for value in source.constants.values()] == ["1", "1.5", "True"]


@pytest.mark.parametrize("separator", ["", ",,", "blanks", '"', "\r", r"\t", ";\n"])
def test_a_separator_is_one_character_or_blanks(separator: str) -> None:
    with pytest.raises(
        ValidationError, match="expected one character, or 'whitespace'; a tab is \"\\\\t\" in double quo"
    ):
        Source(uri="a.csv", separator=separator)


@pytest.mark.parametrize("encoding", ["", "utf-99", "base64"])
def test_an_encoding_is_one_of_text(encoding: str) -> None:
    with pytest.raises(ValidationError, match="no text encoding; expected a name such as cp1252"):
        Source(uri="a.csv", encoding=encoding)


@pytest.mark.parametrize(
    ("file_format", "key", "value"),
    [("parquet", "separator", ";"), ("xlsx", "encoding", "cp1252"), ("jsonl", "skip_rows", 1), ("csv", "sheet", "A")],
)
def test_a_key_that_the_format_does_not_use_is_refused(file_format: str, key: str, value: object) -> None:
    with pytest.raises(ValidationError, match=f"{key} is for .*; remove it for {file_format}"):
        Source.model_validate({"uri": "a", "format": file_format, key: value})


def test_a_value_format_is_parsed_from_its_json() -> None:
    value_format = ValueFormat(timestamp_format="%d.%m.%Y")
    assert parse(ValueFormat, value_format.to_json()) == value_format
