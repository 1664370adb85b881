"""Paths of objects' names: readable names stay, and no two names ever share a file."""

import os
import re
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from adloom.storage.key_paths import assign_paths

PARTS = st.sampled_from(["", ".", "..", "a", "b", "a.csv", "é" * 128, "x" * 256, "a\0", "\0", "_SUCCESS", ".crc"])
NAMES = st.sets(st.lists(PARTS, min_size=1, max_size=4).map("/".join), max_size=30)
HASH = "~[0-9a-f]{32}"


@pytest.mark.parametrize(
    "name",
    [
        "orders.csv",
        "dt=2026-01-05/part-0.csv",
        "ts=10%3A00/Schuhe & Söhne/1 (2).png",
        "a\\b.csv",
        "_SUCCESS",
        "x" * 255,
    ],
)
def test_a_name_that_a_disk_holds_stays(name: str) -> None:
    assert assign_paths([name]) == {name: name}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("2026//a.csv.gz", f"2026/a{HASH}.csv.gz"),
        ("/3.png", f"3{HASH}.png"),
        ("../../3.png", f"3{HASH}.png"),
        ("a/./b.csv", f"a/b{HASH}.csv"),
        ("a/", f"a/{HASH}"),
        ("a/..", f"a/{HASH}"),
        ("a\0b.csv", f"ab{HASH}.csv"),
        ("x" * 300 + ".parquet", "x{200}" + HASH + ".parquet"),
        ("x" * 300 + "/1.png", "x{200}" + HASH + f"/1{HASH}.png"),
        ("a//.part-0.crc", f"a/.part-0{HASH}.crc"),
        ("a~" + "0" * 32 + ".csv", f"a~0{{32}}{HASH}.csv"),
    ],
)
def test_another_name_keeps_its_folders_suffixes_and_leading_dot(name: str, expected: str) -> None:
    assert re.fullmatch(expected, assign_paths([name])[name])


def test_a_file_that_others_have_as_folder_gives_way() -> None:
    paths = assign_paths(["orders.csv", "orders.csv/part-0.csv"])
    assert paths["orders.csv/part-0.csv"] == "orders.csv/part-0.csv"
    assert paths["orders.csv"].startswith("orders~")


@example(names={"\0/", "\0/\0/"})  # the file of the first is not the inner folder of the second
@given(names=NAMES)
def test_no_two_names_share_a_file_or_leave_the_folder(names: set[str]) -> None:
    paths = assign_paths(names)
    assert paths.keys() == names
    files = {Path(path).parts for path in paths.values()}
    assert len(files) == len(names)
    assert not {file[:depth] for file in files for depth in range(1, len(file))} & files
    assert all(
        part not in {".", ".."} and len(os.fsencode(part)) <= 255 and "\0" not in part for f in files for part in f
    )


@given(names=NAMES.filter(bool), data=st.data())
def test_order_does_not_matter(names: set[str], data: st.DataObject) -> None:
    assert assign_paths(data.draw(st.permutations(sorted(names)))) == assign_paths(names)
