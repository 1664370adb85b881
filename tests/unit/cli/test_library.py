"""`adloom library` on a library of its own."""

import csv
import json
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from tests.support.creatives import make_creative
from tests.support.http_client import DARK, LIGHT, png
from tests.support.tiny_encoder import pin_encoder
from tests.support.tiny_models import DIMENSIONS, write_reader

from adloom.cli.main import cli
from adloom.config.settings import Settings
from adloom.copywriting.sentence_encoder import SentenceEncoder
from adloom.errors import ConfigError, DataError
from adloom.library.location import open_library
from adloom.library.records import ReviewError, UnknownCreativeError, content_id
from adloom.storage import manifest

Run = Callable[..., Result]
DIGITS = content_id(DARK)[7:19]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return a function that runs a command and raises its error."""
    monkeypatch.setenv("ADLOOM_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    for name, content in {
        "dark.png": DARK,
        "light.png": LIGHT,
        "lines.txt": "Carry on\n\n Über uns \n".encode(),
    }.items():
        (tmp_path / name).write_bytes(content)

    def invoke(*arguments: str) -> Result:
        result = CliRunner().invoke(cli, ["library", *arguments], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result

    return invoke


def read_rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def read_json(result: Result) -> Any:
    return json.loads(result.output)


def test_own_pictures_are_added_listed_and_reviewed(run: Run) -> None:
    run("add", "dark.png", "light.png", "--category", "Bag")
    run("approve", DIGITS, "--by", "kim")
    run("reject", content_id(LIGHT), "--reason", "too light", "--by", "kim")
    assert (
        run("list", "--state", "approved").output
        == f"{DIGITS}  picture  approved  Bag               28x28\n1 creatives\n"
    )
    (rejected,) = read_json(run("list", "--state", "rejected", "--json"))
    assert (rejected["id"], rejected["reviewed_by"], rejected["reason"]) == (content_id(LIGHT), "kim", "too light")
    assert "2 creatives, perhaps more" in run("list", "--limit", "2").output


def test_a_reader_gives_embeddings_and_missing_categories(run: Run, tmp_path: Path) -> None:
    run("add", "dark.png")
    (unread,) = read_json(run("list", "--json"))
    assert (unread["category"], "embedding" in unread["features"]) == (None, False)
    write_reader(tmp_path / "models/cnn")
    run("add", "light.png", "--reader", "models/cnn")
    run("add", "lines.txt", "--kind", "line")
    (tmp_path / "grey.png").write_bytes(png(np.full((28, 28), 90, np.uint8)))
    run("add", "grey.png", "--category", "Hat")  # models/cnn is the default
    pictures = read_json(run("list", "--kind", "picture", "--json"))
    assert [picture["category"] for picture in pictures] == ["Hat", "Coat", None]
    assert [len(picture["features"].get("embedding", ())) for picture in pictures] == [DIMENSIONS, DIMENSIONS, 0]
    assert pictures[0]["features"]["reader"] == manifest.digest(tmp_path / "models/cnn")
    assert "category_probability" not in pictures[0]["features"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="--reader empty: "):
        run("add", "grey.png", "--reader", "empty")
    (tmp_path / "models/cnn/reader.onnx").write_bytes(b"damaged")
    assert "pictures get no embedding: " in run("add", "grey.png").stderr


def test_lines_of_a_file_are_added(run: Run) -> None:
    run("add", "lines.txt", "--kind", "line")
    assert [line["text"] for line in read_json(run("list", "--kind", "line", "--json"))] == ["Über uns", "Carry on"]


def test_show_has_the_record_and_the_reviews(run: Run) -> None:
    run("add", "dark.png", "--kind", "ad")
    run("reject", DIGITS, "--reason", "off brand", "--by", "kim")
    shown = run("show", DIGITS).output
    assert "placement    28x28" in shown
    assert "nothing else" in shown
    assert "draft → rejected by kim: off brand" in shown
    assert read_json(run("show", DIGITS, "--json"))["history"][0]["actor"] == "kim"


def test_an_approved_creative_is_rejected_with_a_reason_and_approved_again_with_one(run: Run) -> None:
    run("add", "dark.png")
    run("reject", DIGITS, "--reason", "off brand")
    with pytest.raises(ReviewError, match="only with a reason"):
        run("approve", DIGITS)
    run("approve", DIGITS, "--reason", "the client likes it")
    assert len(read_json(run("show", DIGITS, "--json"))["history"]) == 2


@pytest.mark.parametrize("creative_id", ["0000", "x", "sha256:", content_id(b"unknown")])
def test_an_unknown_id_is_one_line(run: Run, creative_id: str) -> None:
    with pytest.raises(UnknownCreativeError):
        run("show", creative_id)


def test_export_writes_files_and_tables(run: Run, tmp_path: Path) -> None:
    run("add", "dark.png", "--category", "Bag")
    run("add", "lines.txt", "--kind", "line", "--category", "Bag")
    run("export", "drafts", "--state", "draft")
    name = f"pictures/{content_id(DARK)[7:]}.png"
    assert (tmp_path / "drafts" / name).read_bytes() == DARK
    assert (tmp_path / "drafts" / "creatives.csv").read_text() == (
        '"creative_id","category","image","kind","placement","text"\n'
        f'"{content_id(DARK)}","Bag","{name}","picture","",""\n'
    )
    run("export", "exact", "--state", "draft", "--format", "jsonl")
    assert read_rows(tmp_path / "exact" / "creatives.jsonl") == [
        {"creative_id": content_id(DARK), "category": "Bag", "image": name}
        | {"kind": "picture", "placement": None, "text": None}
    ]
    assert {row["text"]: row["copy_id"] for row in read_rows(tmp_path / "exact" / "copy.jsonl")} == {
        "Carry on": content_id(b"Carry on"),
        "Über uns": content_id("Über uns".encode()),
    }
    with pytest.raises(DataError, match="drafts: exists and is not an empty folder"):
        run("export", "drafts", "--state", "draft")


def test_a_spreadsheet_runs_no_text_of_an_exported_table(run: Run, tmp_path: Path) -> None:
    formulas = ["=1+1", "+49 30", "-20% today", "@now", "\uff1d1", 'say "=1"']
    (tmp_path / "formulas.txt").write_text("\n".join(formulas))
    run("add", "formulas.txt", "--kind", "line", "--category", "=HYPERLINK(1)")
    for table_format in ("csv", "jsonl"):
        run("export", table_format, "--state", "draft", "--format", table_format)
    with (tmp_path / "csv/copy.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["text"] for row in rows} == {*(f"'{text}" for text in formulas[:-1]), formulas[-1]}
    assert {row["category"] for row in rows} == {"'=HYPERLINK(1)"}
    assert {row["text"] for row in read_rows(tmp_path / "jsonl/copy.jsonl")} == set(formulas)


def test_a_creative_that_is_known_keeps_its_category_and_says_so(run: Run) -> None:
    arguments = ("add", "lines.txt", "--kind", "line")
    assert "stay" not in run(*arguments, "--category", "Bag").output
    assert "stay" not in run(*arguments).output
    assert "in the library already, its kind and category stay" in run(*arguments, "--category", "Coat").output


def test_an_unusable_file_is_named(run: Run, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"^lines\.txt: neither PNG, JPEG nor WebP"):
        run("add", "lines.txt")
    (tmp_path / "latin.txt").write_bytes("für".encode("latin-1"))
    with pytest.raises(DataError, match=r"^latin\.txt: not text in UTF-8; expected a line of copy per line"):
        run("add", "latin.txt", "--kind", "line")
    with (tmp_path / "huge.txt").open("wb") as file:
        file.truncate(2**30)  # a hole, which takes no disk
    with pytest.raises(DataError, match=r"^huge\.txt: 1073741824 bytes, expected at most"):
        run("add", "huge.txt", "--kind", "line")
    (tmp_path / "blank.txt").write_bytes(b"\n \n")
    with pytest.raises(DataError, match=r"^blank\.txt: no text; expected a line of copy per line"):
        run("add", "blank.txt", "--kind", "line")
    (tmp_path / "zero.txt").write_bytes(b"a\0b")
    with pytest.raises(DataError, match=r"^zero\.txt: contains a zero byte"):
        run("add", "zero.txt", "--kind", "line")
    (tmp_path / "long.png").write_bytes(png(np.zeros((1, 100), np.uint8)))
    with pytest.raises(DataError, match=r"^long\.png: one side is more than 20 times the other"):
        run("add", "long.png")


@pytest.mark.parametrize(
    ("option", "value", "reason"),
    [
        ("--category", "", "--category: 0 characters, expected 1 to 200"),
        ("--category", "x" * 201, "--category: 201 characters, expected 1 to 200"),
        ("--placement", "wide", "--placement 'wide': expected width and height in pixels, such as 300x250"),
        ("--placement", "0x50", "--placement '0x50': expected width and height"),
    ],
)
def test_a_name_that_no_request_can_give_is_refused(run: Run, option: str, value: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=f"^{reason}"):
        run("add", "dark.png", "--kind", "ad", option, value)


def test_migrate_names_the_schema(run: Run) -> None:
    assert run("migrate").output.endswith("home/library.db: schema 0001\n")


def test_another_url_is_one_line(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADLOOM_LIBRARY_URL", "mysql://kim:secret@host/shop")
    with pytest.raises(ConfigError, match=r"expected sqlite:///FILE or postgresql://"):
        run("list")


def test_approval_stores_the_embedding_of_an_ads_text(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = pin_encoder(tmp_path / "encoder", monkeypatch)
    with closing(open_library(Settings())) as library:
        ad = library.add(make_creative(b"an ad", "ad", text="Soft wool"), b"an ad")
        bare = library.add(make_creative(b"no text", "ad"), b"no text")
    run("approve", ad.id, bare.id, "--by", "kim", "--encoder", str(encoder))
    one, other = (read_json(run("show", each.id, "--json")) for each in (ad, bare))
    expected = SentenceEncoder.load(encoder).encode(["Soft wool"])[0]
    np.testing.assert_allclose(one["features"]["text_embedding"], expected, atol=6e-5)
    assert one["features"]["text_encoder"] == manifest.sha256(encoder / "model.safetensors")
    assert one["state"] == other["state"] == "approved"
    assert "text_embedding" not in other["features"]
    assert "text_embedding" not in run("show", ad.id).output
