"""Columns from paths: partitions of Hive, and the names of files and folders."""

import pytest

from adloom.config.sources import Source
from adloom.data.reading.path_columns import find_category, parse_partition, read_path_columns

VIRTUAL = {"user_id": "$file", "event": "$folder", "timestamp": "$path"}


@pytest.mark.parametrize(
    ("path", "columns"),
    [
        ("dt=2026-01-05/part-0.parquet", {"dt": "2026-01-05"}),
        ("x/y=1/z=a=b/part-0", {"y": "1", "z": "a=b"}),
        ("at=2026-01-05%2010%3A00/shop%20no=Z%C3%BCrich/p", {"at": "2026-01-05 10:00", "shop no": "Zürich"}),
        ("dt=__HIVE_DEFAULT_PARTITION__/p", {"dt": None}),
        ("dt=/p=q.csv", {"dt": ""}),
        ("a.csv", {}),
    ],
)
def test_partitions_of_a_path(path: str, columns: dict[str, str | None]) -> None:
    assert read_path_columns(path, Source(uri="ev", format="parquet")) == columns


@pytest.mark.parametrize("uri", ["ev/dt=1", "/ev/dt=1/", "s3://bucket/ev/dt=1"])
def test_a_source_may_be_one_partition(uri: str) -> None:
    source = Source(uri=uri, format="parquet", columns={"event": "$folder"})
    assert read_path_columns("part-0", source) == {"dt": "1", "$folder": "dt=1"}


def test_virtual_columns_are_made_if_they_are_named() -> None:
    source = Source(uri="shop/clicks", format="csv", columns=VIRTUAL)
    assert read_path_columns("2026/ann.csv.gz", source) == {
        "$file": "ann",
        "$folder": "2026",
        "$path": "2026/ann.csv.gz",
    }
    assert read_path_columns("ann.csv", source)["$folder"] == "clicks"
    named = Source(uri="s3://shop/clicks/ann.csv", format="csv", columns=VIRTUAL)
    assert read_path_columns("ann.csv", named) == {"$file": "ann", "$folder": "clicks", "$path": "ann.csv"}


def test_names_have_one_unicode_form() -> None:
    assert parse_partition("Kra\u0308ne") == (None, "Kr\u00e4ne")
    source = Source(uri="x", format="csv", columns={"category": "$folder"})
    assert read_path_columns("Kra\u0308ne/a.csv", source) == {"$folder": "Kr\u00e4ne"}


@pytest.mark.parametrize(
    ("path", "category"),
    [
        ("hats/2026/1.png", "hats"),
        ("1.png", None),
        ("split=train/hats/1.png", "hats"),
        ("hats/category=caps/1.png", "caps"),
        ("label=caps/1.png", "caps"),
    ],
)
def test_the_category_of_a_picture_is_a_folder(path: str, category: str | None) -> None:
    assert find_category(path) == category
