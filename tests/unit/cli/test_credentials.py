"""`adloom verify`: one line per file, an exit code for scripts, and one clear line for what is no creative."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from tests.support.signed_pictures import KEY, ORIGIN, OTHER_KEY, draw_blobs, encode_picture

from adloom.cli.main import cli
from adloom.config.settings import Settings
from adloom.credentials.keys import to_pem
from adloom.credentials.sidecar import sign_content
from adloom.credentials.signer import PictureSigner
from adloom.errors import DataError
from adloom.serving.creatives.issuer import open_issuer

PICTURE = encode_picture(draw_blobs(1))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ADLOOM_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    Path("plain.png").write_bytes(PICTURE)
    Path("other.png").write_bytes(PictureSigner(OTHER_KEY).sign_picture(PICTURE, ORIGIN))
    return tmp_path


@pytest.fixture
def ours(folder: Path) -> str:
    Path("ours.png").write_bytes(open_issuer(Settings()).issue_pictures([PICTURE], [ORIGIN])[0])
    return "ours.png"


def verify(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["verify", *arguments])


def test_our_picture_is_whole(ours: str) -> None:
    result = verify(ours)
    assert result.exit_code == 0
    signed = "ours.png: whole; signed by adloom local signer, ours, trusted by nobody; "
    assert result.stdout == f"{signed}model gan, version 3, seed 7, number 1, category <Bag & é>\n"


def test_a_melody_is_verified_by_the_sidecar_beside_it(folder: Path) -> None:
    Path("a.mid").write_bytes(b"MThd and notes")
    assert verify("a.mid").stdout == "a.mid: stripped\n"
    sidecar = open_issuer(Settings()).issue_file(b"MThd and notes", ORIGIN).model_dump_json()
    Path("a.mid.sidecar.json").write_text(sidecar)
    assert verify("a.mid").exit_code == 0
    Path("b.mid").write_bytes(b"MThd and other notes")
    result = verify("b.mid", "--sidecar", "a.mid.sidecar.json")
    assert (result.exit_code, result.stdout.split("; ")[0]) == (1, "b.mid: changed (content)")


def test_a_stripped_picture_is_found_and_fails(ours: str) -> None:
    result = verify(ours, "plain.png")
    assert result.exit_code == 1
    assert result.stdout.splitlines()[1].startswith("plain.png: stripped; shows sha256:")
    assert "(pixels, certainty 1.0000); model gan" in result.stdout


def test_a_stranger_is_sound_only_if_trusted(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = verify("other.png")
    assert (result.exit_code, "not ours, trusted by nobody" in result.stdout) == (1, True)
    Path("trusted.pem").write_bytes(to_pem(OTHER_KEY.authorities))
    monkeypatch.setenv("ADLOOM_CREDENTIALS_TRUST", "trusted.pem")
    result = verify("other.png")
    assert (result.exit_code, "not ours, trusted by adloom local CA" in result.stdout) == (0, True)
    assert not (folder / "home").exists(), "verifying makes no key"


def test_json_has_every_field(ours: str) -> None:
    (answer,) = json.loads(verify(ours, "--json").stdout)
    assert (answer["file"], answer["state"], answer["ours"]) == ("ours.png", "whole", True)
    assert answer["origin"]["digest"] == "a" * 64


def test_a_line_verifies_by_its_sidecar(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("line.txt").write_text("Lovely coat\n", encoding="utf-8")
    Path("line.json").write_text(sign_content(b"Lovely coat", ORIGIN, KEY).model_dump_json(), encoding="utf-8")
    Path("trusted.pem").write_bytes(to_pem(KEY.authorities))
    monkeypatch.setenv("ADLOOM_CREDENTIALS_TRUST", "trusted.pem")
    assert verify("line.txt", "--sidecar", "line.json").exit_code == 0
    Path("line.txt").write_text("Lovely goat\n", encoding="utf-8")
    result = verify("line.txt", "--sidecar", "line.json")
    assert (result.exit_code, result.stdout.startswith("line.txt: changed (content); ")) == (1, True)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"hello", "neither PNG, JPEG nor WebP"),
        (b"", "neither PNG, JPEG nor WebP"),
        (PICTURE[:100], "truncated or damaged"),
    ],
)
def test_what_is_no_picture_is_one_clear_line(folder: Path, content: bytes, reason: str) -> None:
    Path("bad.png").write_bytes(content)
    result = verify("bad.png")
    assert isinstance(result.exception, DataError)
    assert str(result.exception) == f"bad.png: {reason}"


def test_wrong_sidecars_and_files_are_told(folder: Path) -> None:
    Path("line.json").write_text("{}", encoding="utf-8")
    for arguments, reason in {
        ("plain.png", "--sidecar", "line.json"): "plain.png: not text (UTF-8); expected a line of copy",
        ("line.json", "--sidecar", "line.json"): "line.json: not a sidecar: Field required; expected the `sidecar`",
        (".",): ".: not a file",
    }.items():
        assert str(verify(*arguments).exception).startswith(reason)
    assert "--sidecar: belongs to one FILE" in verify("a", "b", "--sidecar", "line.json").output
