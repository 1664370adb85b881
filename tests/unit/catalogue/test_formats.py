"""Formats: archives are read in Python, and their members become plain files."""

import gzip
import io
import json
import lzma
import tarfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from adloom.catalogue import formats


def tar(**files: bytes) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(f"./{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return stream.getvalue()


def ar(**files: bytes) -> bytes:
    parts = [b"!<arch>\n"]
    for name, content in files.items():
        parts.append(f"{name + '/':<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(content):<10}`\n".encode() + content)
        parts.append(b"\n" * (len(content) % 2))
    return b"".join(parts)


def test_a_debian_package_is_opened_without_dpkg(tmp_path: Path) -> None:
    data = lzma.compress(tar(data=b"hello"))
    path = tmp_path / "a.deb"
    path.write_bytes(ar(**{"debian-binary": b"2.0\n", "control.tar.xz": b"odd", "data.tar.xz": data}))
    assert formats.read_deb(path, ["./data"]) == {"./data": b"hello"}


def test_a_tarball_is_opened(tmp_path: Path) -> None:
    path = tmp_path / "a.tgz"
    path.write_bytes(gzip.compress(tar(data=b"hello")))
    assert formats.read_tarball(path, ["./data"]) == {"./data": b"hello"}


def test_a_folder_of_a_tarball_is_all_its_files(tmp_path: Path) -> None:
    path = tmp_path / "a.tgz"
    path.write_bytes(gzip.compress(tar(**{"x/1.png": b"one", "x/2.png": b"two", "y": b"odd", "z": b"odd"})))
    assert formats.read_tarball(path, ["./y", "./x/"]) == {"./y": b"odd", "./x/1.png": b"one", "./x/2.png": b"two"}


WAVE = {
    "unified": "1F44B", "name": "WAVE", "image": "1f44b.png", "category": "People & Body", "subcategory": "hand-open",
    "skin_variations": {"1F3FB": {"unified": "1F44B-1F3FB", "image": "light.png"}, "1F3FB-1F3FC": {"image": "x.png"}},
}  # fmt: skip
RUNNER = {
    "unified": "1F3C3-200D-2640-FE0F", "name": "RUNNER", "image": "1f44b.png", "category": "People & Body",
    "subcategory": "person",
}  # fmt: skip
PIZZA = {**RUNNER, "unified": "1F355", "name": "PIZZA", "category": "Food & Drink", "subcategory": "food"}
EMOJI = {
    "p/emoji.json": json.dumps([WAVE, RUNNER, PIZZA, {**PIZZA, "image": "absent.png"}]).encode(),
    "p/1f44b.png": b"one",
    "p/light.png": b"two",
}


def test_icons_have_no_skin_tones_and_people_have_all() -> None:
    icons = formats.convert_icons(EMOJI)["twemoji.csv"].decode().splitlines()
    assert [line.split(",")[1] for line in icons] == ["name", "WAVE", "RUNNER", "PIZZA"]
    assert icons[3] == '1F355,PIZZA,Food & Drink,food,"data:image/png;base64,b25l"'
    people = formats.convert_people(EMOJI)["twemoji-people.csv"].decode().splitlines()
    assert [line.split(",")[:5] for line in people[1:]] == [
        ["1F44B", "WAVE", "hand", "yellow", ""],
        ["1F44B-1F3FB", "WAVE", "hand", "light", ""],
        ["1F3C3-200D-2640-FE0F", "RUNNER", "person", "", "woman"],
    ]


def test_gzip_is_taken_off_so_that_the_content_is_pinned() -> None:
    assert formats.decompress({"x/a-ubyte.gz": gzip.compress(b"hello")}) == {"a-ubyte": b"hello"}


def test_reviews_without_a_title_are_left_out() -> None:
    stream = io.BytesIO()
    rows = {"Title": ["Nice, soft", None, ""], "Department Name": ["Tops", "Tops", None], "Class Name": ["Knits"] * 3}
    rows |= {"Rating": [5, 4, 3], "Age": [30, 40, 50], "Review Text": ["I love it.\nSo soft,", "Fine", None]}
    pq.write_table(pa.table(rows), stream)
    members = {"reviews.parquet": stream.getvalue()}
    converted = formats.convert_reviews(members)
    assert converted == {"reviews.csv": b'title,department,class,rating\n"Nice, soft",Tops,Knits,5\n'}
    with_texts = formats.convert_review_texts(members)
    assert with_texts == {"reviews.csv": b'title,department,review\n"Nice, soft",Tops,"I love it. So soft,"\n'}


def test_bandit_logs_are_joined_with_what_their_folders_say() -> None:
    header = ",timestamp,item_id,position,click,propensity_score," + ",".join(f"user_feature_{i}" for i in range(4))
    logs = {
        f"obd/{policy}/{campaign}/{campaign}.csv": f"{header},affinity\n0,2019-11-24,7,1,0,0.5,a,b,c,d,9\n".encode()
        for policy in ("random", "bts")
        for campaign in ("men", "all")
    }
    lines = formats.convert_bandit_logs(logs)["impressions.csv"].decode().splitlines()
    assert lines[0] == (
        "timestamp,position,click,propensity_score,user_feature_0,user_feature_1,user_feature_2,user_feature_3,"
        "placement,creative,logging_policy"
    )
    assert lines[1] == "2019-11-24,1,0,0.5,a,b,c,d,all,all-007,bts"
    assert [line.split(",")[-3:] for line in lines[2:]] == [
        ["men", "men-007", "bts"],
        ["all", "all-007", "random"],
        ["men", "men-007", "random"],
    ]


def test_digits_become_idx_files() -> None:
    half = [0.5] * 784
    converted = formats.convert_digits(
        {"0.json": json.dumps({"data": [0.0] * 784}).encode(), "1.json": json.dumps({"data": half + half}).encode()}
    )
    images = np.frombuffer(converted["images-idx3-ubyte"], np.uint8, offset=16).reshape(3, 28, 28)
    assert converted["images-idx3-ubyte"][:16] == bytes.fromhex("00000803000000030000001c0000001c")
    assert [int(image[0, 0]) for image in images] == [0, 128, 128]
    assert converted["labels-idx1-ubyte"] == bytes.fromhex("0000080100000003000101")
