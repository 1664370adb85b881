"""Damaged files are named."""

import struct
import zlib
from pathlib import Path

import pyarrow as pa
import pytest

from adloom.data.reading.files import translate_errors
from adloom.errors import DataError


@pytest.mark.parametrize("error", [EOFError(), zlib.error("bad"), struct.error("bad"), pa.ArrowInvalid("bad")])
def test_an_error_of_a_decoder_names_the_file(error: Exception) -> None:
    with pytest.raises(DataError, match="^shop/a.csv: "), translate_errors(Path("shop/a.csv")):
        raise error


def test_a_file_that_is_gone_is_left_to_the_check_of_the_lock() -> None:
    with pytest.raises(FileNotFoundError), translate_errors(Path("gone")):
        Path("gone").read_bytes()
