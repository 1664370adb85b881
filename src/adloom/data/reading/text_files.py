"""Text files: compressed or not, in any encoding, line by line."""

import bz2
import codecs
import gzip
import io
import itertools
import lzma
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any, TextIO

import pyarrow as pa

from adloom.data.reading.files import FileFormatError, translate_errors
from adloom.errors import DataError

MAX_LINE = 16 * 2**20  # characters
MAX_LAYERS = 2  # of compression: some servers compress a compressed file
SAMPLE = 2**16  # characters that show a file's encoding
BYTE_ORDER_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",  # begins with the mark of UTF-16
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
COMMON_ENCODINGS = ("cp1252", "cp1250", "cp1251", "cp932", "gb18030", "euc_kr", "big5", "euc_jp", "mac_roman", "cp850")
HALF_WIDTH = frozenset(map(chr, range(0xFF61, 0xFFA0)))  # katakana, which two bytes of Chinese text seem to be
OTHER_FORMATS = {
    b"PAR1": "a Parquet file; set `format: parquet`",
    b"\xd0\xcf\x11\xe0": "an old or protected Excel workbook; save it as .xlsx without a password",
    b"7z\xbc\xaf": "a 7z archive; unpack it",
    b"Rar!": "a RAR archive; unpack it",
    b"%PDF": "a PDF document; export the table as CSV",
    b"Obj\x01": "an Avro file; export it as Parquet",
    b"ORC": "an ORC file; export it as Parquet",
    b"SQLite format 3": "a SQLite database; export the table as CSV",
    b"<!DOCTYPE html": "a web page; download the file itself, which may need a login",
    b"<html": "a web page; download the file itself, which may need a login",
    b"version https://git-lfs": "a pointer of Git LFS; run `git lfs pull`",
}
NUL = "line: a NUL byte"
TOO_LONG = f"line: {MAX_LINE} characters or more"
UNDECODABLE = "line: bytes of another encoding than the file's"

Line = tuple[int, str, str]  # number, text with its end, and why it is broken, else ""


@contextmanager
def open_text(path: Path, encoding: str | None) -> Iterator[TextIO]:
    """Open a text file, compressed or not; without a byte order mark it has the encoding, else UTF-8."""
    with ExitStack() as stack, translate_errors(path):
        content = stack.enter_context(open_content(path))
        start = content.peek(SAMPLE)
        _reject_other_formats(path, start)
        mark = next((name for bom, name in BYTE_ORDER_MARKS.items() if start.startswith(bom)), None)
        if not mark and codecs.lookup(encoding or "utf-8").name in {"utf-8", "utf-16"}:
            guess = guess_utf16(start)
            if guess:
                raise FileFormatError(f"{path}: UTF-16 without a byte order mark; set `encoding: {guess}`")
        yield io.TextIOWrapper(content, mark or encoding or "utf-8", errors="surrogateescape", newline="")


@contextmanager
def open_content(path: Path) -> Iterator[io.BufferedReader]:
    """Open a file, compressed or not."""
    with ExitStack() as stack:
        content = stack.enter_context(path.open("rb"))
        for _ in range(MAX_LAYERS):
            start = content.peek(8)
            opener = next((opener for magic, opener in DECOMPRESSORS.items() if start.startswith(magic)), None)
            if opener is None:
                break
            content = io.BufferedReader(stack.enter_context(opener(content, path)))
        yield content


def _open_zip(content: IO[bytes], path: Path) -> IO[bytes]:
    """Open the only file of a zip archive."""
    archive = zipfile.ZipFile(content)
    names = [n for n in archive.namelist() if not n.endswith("/") and not n.startswith("__MACOSX/")]
    if "[Content_Types].xml" in names:
        raise DataError(f"{path}: an Excel workbook; set `format: xlsx`")
    if len(names) != 1:
        raise DataError(f"{path}: {len(names)} files ({', '.join(names[:5])}), expected one; unpack it into a folder")
    try:
        return archive.open(names[0])
    except (RuntimeError, NotImplementedError) as error:  # a password, or an unknown method
        raise DataError(f"{path}: {error}; unpack it") from None


DECOMPRESSORS: Mapping[bytes, Callable[[IO[bytes], Path], Any]] = {
    b"\x1f\x8b": lambda content, _: gzip.GzipFile(fileobj=content, mode="rb"),
    b"BZh": lambda content, _: bz2.BZ2File(content),
    b"\xfd7zXZ\0": lambda content, _: lzma.LZMAFile(content),  # noqa: SIM115 - the caller closes it
    b"\x28\xb5\x2f\xfd": lambda content, _: pa.CompressedInputStream(content, "zstd"),
    b"\x04\x22\x4d\x18": lambda content, _: pa.CompressedInputStream(content, "lz4"),
    b"PK\x03\x04": _open_zip,
}


def _reject_other_formats(path: Path, start: bytes) -> None:
    advice = next((advice for magic, advice in OTHER_FORMATS.items() if start.lower().startswith(magic.lower())), None)
    if start[257:262] == b"ustar":
        advice = "a tar archive; unpack it into a folder"
    if advice:
        raise DataError(f"{path}: {advice}")


def guess_utf16(start: bytes) -> str | None:
    """Return the encoding of UTF-16 without a byte order mark, where every second byte of Latin text is 0."""
    if start[1::2].count(0) * 2 > len(start[1::2]):
        return "utf-16-le"
    return "utf-16-be" if start[::2].count(0) * 2 > len(start[::2]) else None


def read_lines(stream: TextIO, path: Path) -> Iterator[Line]:
    """Yield the lines. Raises DataError if no line shows that the file has the encoding it is read in."""
    number, proven = 0, False
    while line := stream.readline(MAX_LINE):
        number += 1
        error = ""
        if len(line) == MAX_LINE and line[-1] not in "\r\n":
            line, error = _skip_to_end(stream, line), TOO_LONG
        elif not line.isascii():
            line = line.removeprefix("\ufeff")  # of a file that was appended
            if _is_decoded(line):
                if not proven and _is_utf8(line, stream.encoding):
                    raise FileFormatError(
                        f"{path}: line {number} is UTF-8, not {stream.encoding}; remove `encoding`, or convert the file"
                    )
                proven = True
            elif proven:
                error = UNDECODABLE
            else:
                raise FileFormatError(
                    f"{path}: line {number} is not {stream.encoding}; {_suggest_encoding(stream, line)}"
                )
        if "\0" in line:
            error = NUL
        yield number, line, error


def _skip_to_end(stream: TextIO, line: str) -> str:
    """Read to the end of a line; return no text."""
    while line and line[-1] not in "\r\n":
        line = stream.readline(MAX_LINE)
    return ""


def _is_decoded(line: str) -> bool:
    try:
        line.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_utf8(line: str, encoding: str) -> bool:
    """Return whether the bytes of a line in an encoding of one byte per letter are UTF-8 as well."""
    content = line.encode(encoding, "surrogateescape")
    try:
        return len(content) == len(line) != len(content.decode())
    except UnicodeDecodeError:
        return False


def _suggest_encoding(stream: TextIO, line: str) -> str:
    """Name the likely encoding of a file from its first line that is not UTF-8 and the text after it."""
    from charset_normalizer import from_bytes

    encoding = stream.encoding.removesuffix("-sig")
    undecoded = line.encode(encoding, "surrogateescape")
    sample = undecoded + stream.read(SAMPLE).encode(encoding, "surrogateescape")
    matches = from_bytes(sample, cp_isolation=list(COMMON_ENCODINGS))
    ranked = sorted(
        matches, key=lambda m: (m.chaos, _count_oddities(str(m)), -m.coherence, COMMON_ENCODINGS.index(m.encoding))
    )
    if not ranked:
        return "set `encoding`"
    best = ranked[0].encoding
    if undecoded.decode(best, "replace") == undecoded.decode("cp1252", "replace"):
        best = "cp1252"
    shown = undecoded.decode(best, "replace").strip()[:60]
    return f"`encoding: {best}` would read {shown!r}"


def _count_oddities(text: str) -> int:
    """Count symbols, half-width katakana, and capitals after small letters, outside ASCII."""
    return sum(
        not letter.isascii()
        and (not letter.isalpha() or letter in HALF_WIDTH or (letter.isupper() and before.islower()))
        for before, letter in itertools.pairwise(" " + text)
    )
