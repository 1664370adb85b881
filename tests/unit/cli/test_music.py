"""`adloom compose`."""

import shlex
import shutil
import wave
from pathlib import Path

import pytest
from click.testing import CliRunner
from PIL import Image
from tests.support.midi_files import read_midi
from tests.support.tiny_models import PARAMS, write_composer

from adloom.cli.main import cli
from adloom.errors import AdloomError
from adloom.storage import manifest

PAGE = Path(__file__).parents[3] / "docs/how-to/music.md"


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADLOOM_HOME", str(tmp_path / "home"))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "music"
    write_composer(folder)
    return folder


def compose(model: Path, *arguments: str | Path) -> str:
    result = CliRunner().invoke(cli, ["compose", "--model", str(model), *map(str, arguments)])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.output


def test_it_writes_a_melody_its_sound_and_its_picture(model: Path, tmp_path: Path) -> None:
    out, wav, roll = tmp_path / "out.mid", tmp_path / "out.wav", tmp_path / "out.png"
    said = compose(model, "--bars", "4", "--seed", "1", "--key", "G", "--wav", wav, "--roll", roll, out)
    notes, _ = read_midi(out.read_bytes())
    assert said == f"{out}: {len(notes)} notes in 4 bars of 2/4, G major\n"
    assert notes[-1].pitch is not None
    assert notes[-1].pitch % 12 == 7
    with wave.open(str(wav)) as sound:
        assert sound.getnframes() > 0
    with Image.open(roll) as picture:
        assert picture.format == "PNG"
    verified = CliRunner().invoke(cli, ["verify", str(out)])
    assert (verified.exit_code, verified.output.split("; ")[0]) == (0, f"{out}: whole")
    assert verified.output.endswith("; model music, seed 1, key G major, metre 2/4\n")
    first = out.read_bytes()
    compose(model, "--bars", "4", "--key", "G", out)
    assert out.read_bytes() == first


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--key", "none"], "--key 'none': no key; expected one such as D, Em or Amix"),
        (["--key", "H"], "key 'H', expected one such as D"),
        (["--metre", "5"], "metre '5', expected one such as 6/8"),
        (["--metre", "32/1"], "metre 32/1: longer than 12/4; take a shorter one"),
        (["--wav", "absent/out.wav"], "absent/out.wav: no folder absent; make it first"),
        (["--wav", "twice", "--roll", "twice"], "twice: named twice"),
    ],
)
def test_a_mistake_is_one_line(model: Path, tmp_path: Path, arguments: list[str], message: str) -> None:
    with pytest.raises(AdloomError, match=message):
        compose(model, *arguments, tmp_path / "out.mid")
    assert not (tmp_path / "out.mid").exists()


def test_a_skipped_composer_is_named(tmp_path: Path) -> None:
    manifest.skip(tmp_path / "music", "train_music", PARAMS, "no source: ingest.tunes is not given")
    with pytest.raises(AdloomError, match=r"music: skipped: no source: ingest\.tunes is not given"):
        compose(tmp_path / "music", tmp_path / "out.mid")


def test_the_commands_of_the_documentation_compose(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(model, "models/music")
    lines = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("adloom compose ")]
    for line in lines:
        said = CliRunner().invoke(cli, shlex.split(line)[1:], catch_exceptions=False).output
        notes, _ = read_midi(Path("out.mid").read_bytes())
        assert said == f"out.mid: {len(notes)} notes in 16 bars of 2/4, D major\n"
    assert len(lines) == 2
    assert sorted(path.name for path in tmp_path.glob("out.*")) == [
        "out.mid",
        "out.mid.sidecar.json",
        "out.png",
        "out.wav",
    ]
