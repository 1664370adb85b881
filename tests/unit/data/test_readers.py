"""Readers: every format gives the same columns, and a damaged file is one line that names it."""

import gzip
import io
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from adloom.config.params import Source
from adloom.data import readers
from adloom.data.contracts import PARSE_ERROR
from adloom.errors import ConfigError, DataError

ORDERS = "customer;when;total\nann;2026-01-02;9.99\nbob;2026-01-03;\n"
EVENTS = Source(
    uri="orders.csv",
    format="csv",
    separator=";",
    columns={"user_id": "customer", "timestamp": "when", "value": "total"},
    constants={"event": "purchase"},
)
COPY = Source(uri="lines.csv", format="csv")


def read(path: Path, source: Source, table: str) -> pd.DataFrame:
    return pd.concat(readers.read_source(path, source, table), ignore_index=True)


def written(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def idx(values: np.ndarray) -> bytes:
    return np.array([0x0800 + values.ndim, *values.shape], ">u4").tobytes() + values.astype(np.uint8).tobytes()


def message(path: Path, source: Source, table: str) -> str:
    with pytest.raises(DataError) as caught:
        read(path, source, table)
    return str(caught.value)


def test_a_csv_is_read_as_text_under_the_contracts_names(tmp_path: Path) -> None:
    rows = read(written(tmp_path, "orders.csv", ORDERS), EVENTS, "events")
    assert rows.fillna("").to_dict("list") == {
        "user_id": ["ann", "bob"],
        "timestamp": ["2026-01-02", "2026-01-03"],
        "value": ["9.99", ""],
        "event": ["purchase", "purchase"],
    }


def test_columns_come_in_the_contracts_order_then_in_the_sources(tmp_path: Path) -> None:
    path = written(tmp_path, "orders.csv", "store;total;when;customer\nb;9.99;2026-01-02;ann\n")
    assert list(read(path, EVENTS, "events")) == ["user_id", "timestamp", "event", "value", "store"]


def test_csv_files_of_spreadsheets_are_read(tmp_path: Path) -> None:
    path = written(tmp_path, "lines.csv", '\ufefftext,category\r\n"two\nlines, one ""field""",NA\r\n\r\nnull,\r\n')
    rows = read(path, COPY, "copy")
    assert rows["text"].tolist() == ['two\nlines, one "field"', "null"]
    assert rows["category"].fillna("").tolist() == ["NA", ""]  # NA is a word, an empty field is missing


def test_runs_of_blanks_separate_columns(tmp_path: Path) -> None:
    source = EVENTS.model_copy(update={"separator": "whitespace"})
    rows = read(written(tmp_path, "orders.txt", " customer  when total\n 0007 19970101  1.5\n"), source, "events")
    assert rows.iloc[0].to_dict() == {"user_id": "0007", "timestamp": "19970101", "value": "1.5", "event": "purchase"}


def test_a_folder_of_csv_files_compressed_or_not_is_one_table(tmp_path: Path) -> None:
    written(tmp_path, "2026/a.csv", "text\nfirst\n")
    written(tmp_path, "2026/b.csv.gz", gzip.compress(b"text\nsecond\n"))
    written(tmp_path, "_SUCCESS", b"")
    written(tmp_path, ".DS_Store", b"\0")
    rows = read(tmp_path, COPY, "copy")
    assert rows["text"].tolist() == ["first", "second"]
    assert rows["copy_id"].tolist() == ["00000000", "00000001"]  # numbered, since the source names no rows


def test_a_line_with_another_number_of_fields_breaks_no_other_line(tmp_path: Path) -> None:
    rows = read(written(tmp_path, "lines.csv", "text,category\na,b\nc\nd,e,f\ng,h\n"), COPY, "copy")
    assert rows[PARSE_ERROR].fillna("").tolist() == ["", "line: 1 fields, expected 2", "line: 3 fields, expected 2", ""]
    assert rows["text"].fillna("").tolist() == ["a", "", "", "g"]


def test_a_long_csv_comes_in_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readers, "ROWS_PER_CHUNK", 2)
    chunks = [*readers.read_source(written(tmp_path, "lines.csv", "text\n1\n2\n3\n"), COPY, "copy")]
    assert [chunk["copy_id"].tolist() for chunk in chunks] == [["00000000", "00000001"], ["00000002"]]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "lines.csv: empty; expected a first line with the columns' names"),
        (b"text\n", "lines.csv (ingest.copy): no rows"),
        (b"line\nx\n", "lines.csv (ingest.copy): no column for text"),
        (
            "text\ncafé\n".encode("latin1"),
            "lines.csv: not UTF-8 (byte 0xe9); `iconv -f LATIN1 -t UTF-8` converts it",
        ),
        (b'text\n"never closed\n', "lines.csv: unexpected end of data"),
    ],
)
def test_a_csv_that_cannot_be_read_says_why(tmp_path: Path, content: bytes, expected: str) -> None:
    assert expected in message(written(tmp_path, "lines.csv", content), COPY, "copy")


def test_a_missing_mapped_column_is_named(tmp_path: Path) -> None:
    path = written(tmp_path, "orders.csv", ORDERS.replace("total", "amount"))
    text = message(path, EVENTS, "events")
    for part in ("orders.csv (ingest.events)", "'total' for value", "customer, when, amount", "`columns`"):
        assert part in text


def test_an_unknown_column_is_refused(tmp_path: Path) -> None:
    source = EVENTS.model_copy(update={"columns": {**EVENTS.columns, "quantitty": "total"}})
    with pytest.raises(ConfigError) as caught:
        read(written(tmp_path, "orders.csv", ORDERS), source, "events")
    message = str(caught.value)
    assert message.startswith("ingest.events: quantitty ")
    assert message.endswith("expected user_id, timestamp, event, item_id, quantity, value, user_key")


def test_a_truncated_gzip_is_named(tmp_path: Path) -> None:
    whole = gzip.compress(b"text\n" + bytes(range(97, 123)) * 999)
    for content in (whole[:-20], b"not gzip"):
        path = written(tmp_path, "lines.csv.gz", content)
        assert message(path, COPY, "copy") == f"{path}: truncated or damaged gzip; fetch it again"


def test_parquet_keeps_its_types(tmp_path: Path) -> None:
    table = pa.table({"user_id": pa.array([7, None]), "timestamp": ["2026-01-02"] * 2, "event": ["view"] * 2})
    pq.write_table(table, tmp_path / "a.parquet")
    rows = read(tmp_path, Source(uri="events", format="parquet"), "events")
    assert rows["user_id"].dtype == pd.ArrowDtype(pa.int64())


def test_broken_parquet_is_named(tmp_path: Path) -> None:
    path = written(tmp_path, "a.parquet", b"PAR1 and nothing else")
    assert message(path, Source(uri="a.parquet", format="parquet"), "events").startswith(f"{path}: ")


def test_a_folder_names_categories_by_its_subfolders(tmp_path: Path) -> None:
    png = io.BytesIO()
    Image.new("RGB", (64, 64)).save(png, "PNG")
    for name in ("dresses/1.png", "dresses/summer/2.png", "hats/3.png", "stray.png", "hats/.hidden"):
        written(tmp_path, name, png.getvalue())
    rows = read(tmp_path, Source(uri="pictures", format="folder"), "creatives")
    assert rows["creative_id"].tolist() == ["dresses/1.png", "dresses/summer/2.png", "hats/3.png", "stray.png"]
    assert rows["category"].fillna("").tolist() == ["dresses", "dresses", "hats", ""]
    assert rows["image"].tolist() == [png.getvalue()] * 4


def test_many_pictures_come_in_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readers, "BYTES_PER_CHUNK", 10)
    for number in range(5):
        written(tmp_path, f"hats/{number}.png", b"12345678")
    sizes = [len(c) for c in readers.read_source(tmp_path, Source(uri="p", format="folder"), "creatives")]
    assert sizes == [2, 2, 1]


def test_a_folder_without_pictures_or_that_is_none(tmp_path: Path) -> None:
    source = Source(uri="pictures", format="folder")
    (tmp_path / "hats").mkdir()
    assert message(tmp_path, source, "creatives") == f"{tmp_path}: an empty folder"
    path = written(tmp_path, "hats/1.png", b"1")
    assert "expected a folder with a subfolder per category" in message(path, source, "creatives")


def test_idx_files_are_paired_and_labels_named(tmp_path: Path) -> None:
    pixels = np.arange(2 * 28 * 28, dtype=np.uint8).reshape(2, 28, 28)
    written(tmp_path, "train-images-idx3-ubyte.gz", gzip.compress(idx(pixels)))
    written(tmp_path, "train-labels-idx1-ubyte.gz", gzip.compress(idx(np.array([1, 0]))))
    source = Source(uri="idx", format="idx")
    rows = read(tmp_path, source, "creatives")
    assert rows["creative_id"].tolist() == ["train-000000", "train-000001"]
    assert rows["category"].tolist() == ["1", "0"]
    assert (np.asarray(Image.open(io.BytesIO(rows["image"][1]))) == pixels[1]).all()
    written(tmp_path, "categories.txt", "hats\nshoes\n")
    assert read(tmp_path, source, "creatives")["category"].tolist() == ["shoes", "hats"]


@pytest.mark.parametrize(
    ("images", "labels", "expected"),
    [
        (idx(np.zeros((2, 4, 4)))[:-1], idx(np.zeros(2)), "truncated: 31 bytes, expected 32 for [2, 4, 4]"),
        (idx(np.zeros((2, 4, 4))), idx(np.zeros(3)), "2 pictures but 3 labels in labels-idx1-ubyte"),
        (idx(np.zeros((1, 4, 4))), idx(np.array([7])), "label 7, but categories.txt names 2"),
        (idx(np.zeros((2, 4))), idx(np.zeros(2)), "not an idx file of unsigned bytes in 3 dimensions (magic 0x802)"),
        (b"\0\0", idx(np.zeros(2)), "images-idx3-ubyte: "),
        (idx(np.zeros((2, 4, 4))), None, "images-idx3-ubyte has no labels-idx1-ubyte"),
        (None, idx(np.zeros(2)), "no file called …images-idx3-ubyte"),
    ],
)
def test_broken_idx_files_say_why(tmp_path: Path, images: bytes | None, labels: bytes | None, expected: str) -> None:
    written(tmp_path, "categories.txt", "hats\nshoes\n")
    for name, content in {"images-idx3-ubyte": images, "labels-idx1-ubyte": labels}.items():
        if content is not None:
            written(tmp_path, name, content)
    assert expected in message(tmp_path, Source(uri="idx", format="idx"), "creatives")


def test_an_artifact_is_read_without_its_manifest(tmp_path: Path) -> None:
    for name in ("lines/a.csv", "lines/manifest.json"):
        written(tmp_path, name, "copy_id,text\n1,hello\n")
    assert read(tmp_path / "lines", COPY, "copy")["text"].tolist() == ["hello"]
