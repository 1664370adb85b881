"""Lists of user ids are read in any common encoding and layout."""

import gzip
from pathlib import Path

import pytest

from adloom.data.reading.id_lists import read_ids
from adloom.errors import DataError


def read(folder: Path, content: bytes) -> set[str]:
    path = folder / "erase.txt"
    path.write_bytes(content)
    return set(read_ids(path))


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252", "latin-1"]
)
def test_every_common_encoding_is_read(tmp_path: Path, encoding: str) -> None:
    assert read(tmp_path, "42\njosé\n".encode(encoding)) == {"42", "josé"}


def test_a_compressed_list_is_read(tmp_path: Path) -> None:
    assert read(tmp_path, gzip.compress(b"42\n43\n")) == {"42", "43"}


@pytest.mark.parametrize(
    "text",
    [
        "42\n43\n",
        "42\r\n43\r\n",
        "42\r43",
        "\n 42 \n\n43.0\n43\n",
        '"42"\n"43"\n',
        "user_id\n42\n43\n",
        "Customer ID,date\n42,2026-01-01\n43,2026-01-02\n",
        "date;user_id\n2026-01-01;42\n2026-01-02;43\n",
        '"42"\t"x"\n"43"\t"y"\n',
        "42,\n43,\n",
        '"42","asked, twice"\n"43","left"\n',
        "user_id,reason\n42,asked, twice\n43,left\n",
        "42, 43",
        "42\u200b\n\ufeff43\n",
    ],
)
def test_every_layout_is_read(tmp_path: Path, text: str) -> None:
    assert read(tmp_path, text.encode()) == {"42", "43"}


def test_ids_keep_what_is_theirs(tmp_path: Path) -> None:
    ids = {"ann@x.de", "Doe, John", "042", 'o"neil', "anna smith"}
    assert read(tmp_path, "\n".join(sorted(ids)).encode()) == ids


@pytest.mark.parametrize("content", [b"", b"\n \n", b"\xef\xbb\xbf"])
def test_an_empty_list_has_no_ids(tmp_path: Path, content: bytes) -> None:
    assert read(tmp_path, content) == set()


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"erase.txt: not a text file; expected one user id per line"):
        read(tmp_path, b"PAR1\x00\x01\xff\x00\x00ab")
    with pytest.raises(DataError, match="a folder; expected a text file"):
        read_ids(tmp_path)
