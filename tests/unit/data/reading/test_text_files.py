"""Text files: content shows compression and encoding, and a line that cannot be decoded is named."""

import bz2
import codecs
import functools
import gzip
import io
import lzma
import zipfile
from pathlib import Path

import pyarrow as pa
import pytest
from tests.support.source_files import COPY, message, read, written

from adloom.data.contracts import PARSE_ERROR, PLACE
from adloom.data.reading import text_files

TEXT = "text\nGr\u00fc\u00dfe\n"
gzipped = functools.partial(gzip.compress, mtime=0)  # equal parameters in every test process


def zipped(*names: str) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name in names:
            archive.writestr(zipfile.ZipInfo(name), TEXT)
    return stream.getvalue()


def compressed(content: bytes, codec: str) -> bytes:
    return bytes(pa.Codec(codec).compress(content, asbytes=True))


@pytest.mark.parametrize(
    "content",
    [
        gzipped(TEXT.encode()),
        gzipped(gzipped(TEXT.encode())),
        bz2.compress(TEXT.encode()),
        lzma.compress(TEXT.encode()),
        compressed(TEXT.encode(), "zstd"),
        compressed(TEXT.encode(), "lz4"),
        zipped("lines.csv", "__MACOSX/._lines.csv"),
        gzipped(codecs.BOM_UTF16_BE + TEXT.encode("utf-16-be")),
        codecs.BOM_UTF16_LE + TEXT.encode("utf-16-le"),
        codecs.BOM_UTF32_LE + TEXT.encode("utf-32-le"),
        codecs.BOM_UTF8 + TEXT.encode(),
    ],
)
def test_compression_and_encoding_show_in_the_content(tmp_path: Path, content: bytes) -> None:
    assert read(written(tmp_path, "lines.csv", content), COPY, "copy")["text"].tolist() == ["Gr\u00fc\u00dfe"]


@pytest.mark.parametrize("encoding", ["cp1252", "latin-1", "utf-16-le", "utf-16", "cp437"])
def test_a_stated_encoding_is_used(tmp_path: Path, encoding: str) -> None:
    path = written(tmp_path, "lines.csv", TEXT.encode(encoding))
    assert read(path, COPY.model_copy(update={"encoding": encoding}), "copy")["text"].tolist() == ["Gr\u00fc\u00dfe"]


@pytest.mark.parametrize(
    ("text", "encoding", "advice"),
    [
        ("caf\u00e9", "cp1252", "line 2 is not utf-8; `encoding: cp1252` would read 'caf\u00e9'"),
        ("zapatos de ni\u00f1o", "latin-1", "`encoding: cp1252` would read 'zapatos de ni\u00f1o'"),
        ("\u017b\u00f3\u0142te buty, \u017ad\u017ab\u0142o na lato", "cp1250", "`encoding: cp1250`"),
        ("\u9648\u9759", "gbk", "`encoding: gb18030` would read '\u9648\u9759'"),
        ("\u6771\u4eac\u306e\u5e97", "shift_jis", "`encoding: cp932` would read '\u6771\u4eac\u306e\u5e97'"),
        (
            "\u041b\u0435\u0442\u043d\u044f\u044f \u0440\u0430\u0441\u043f\u0440\u043e\u0434\u0430\u0436\u0430",
            "cp1251",
            "`encoding: cp1251`",
        ),
        ("a", "utf-16-le", "UTF-16 without a byte order mark; set `encoding: utf-16-le`"),
        ("a", "utf-16-be", "set `encoding: utf-16-be`"),
        ("caf\u00e9 cr\u00e8me", "mac_roman", "`encoding: mac_roman`"),
        ("caf\u00e9 cr\u00e8me", "cp850", "`encoding: cp850`"),
    ],
)
def test_the_likely_encoding_is_named(tmp_path: Path, text: str, encoding: str, advice: str) -> None:
    path = written(tmp_path, "lines.csv", f"text\n{text}\n".encode(encoding))
    assert advice in message(path, COPY, "copy")


def test_utf8_under_another_name_is_refused(tmp_path: Path) -> None:
    source = COPY.model_copy(update={"encoding": "cp1252"})
    assert "line 2 is UTF-8, not cp1252; remove `encoding`" in message(written(tmp_path, "a.csv", TEXT), source, "copy")


def test_a_line_of_bytes_that_are_no_text_breaks_no_other_line(tmp_path: Path) -> None:
    content = "text\ncaf\u00e9\n".encode() + b"caf\xe9\na\0b\n" + b"end\n"
    rows = read(written(tmp_path, "lines.csv", content), COPY, "copy")
    assert rows["text"].fillna("").tolist() == ["caf\u00e9", "", "", "end"]
    assert rows[PARSE_ERROR].dropna().tolist() == [text_files.UNDECODABLE, text_files.NUL]
    assert rows[PLACE].dropna().tolist() == ["lines.csv line 3", "lines.csv line 4"]


def test_a_line_without_an_end_is_not_held_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_files, "MAX_LINE", 100)
    rows = read(written(tmp_path, "lines.csv", f"text\n{'x' * 1001}\n{'y' * 99}\n"), COPY, "copy")
    assert rows[PARSE_ERROR].dropna().to_dict() == {0: text_files.TOO_LONG}
    assert rows["text"].dropna().tolist() == ["y" * 99]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (gzipped(TEXT.encode() * 9)[:-9], "truncated or damaged compression; fetch it again"),
        (bz2.compress(TEXT.encode() * 9)[:-9], "truncated or damaged compression"),
        (compressed(TEXT.encode() * 9, "zstd")[:-9], "truncated or damaged compression"),
        (zipped("lines.csv")[:-9], "truncated or damaged compression"),
        (b"\x1f\x8bnot gzip", "truncated or damaged compression"),
        (zipped("a.csv", "b.csv"), "2 files (a.csv, b.csv), expected one; unpack it into a folder"),
        (zipped("[Content_Types].xml"), "an Excel workbook; set `format: xlsx`"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old or protected Excel workbook; save it as .xlsx"),
        (b"PAR1....", "a Parquet file; set `format: parquet`"),
        (b"<!doctype HTML><title>Log in", "a web page; download the file itself"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a pointer of Git LFS; run `git lfs pull`"),
        (gzipped(b"lines.csv".ljust(257, b"\0") + b"ustar"), "a tar archive; unpack it into a folder"),
    ],
)
def test_a_file_that_is_no_text_is_named(tmp_path: Path, content: bytes, expected: str) -> None:
    path = written(tmp_path, "lines.csv.gz", content)
    assert message(path, COPY, "copy").startswith(f"{path}: {expected}")
