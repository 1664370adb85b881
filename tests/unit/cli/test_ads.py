"""`adloom ads`."""

import json
import re
import shlex
from importlib.resources import files
from pathlib import Path

import pytest
from click.testing import CliRunner
from PIL import Image
from tests.support.brands import HEADLINE, draw_bag, draw_photo
from tests.support.http_client import png
from tests.support.tiny_models import write_models

from adloom.cli.main import cli
from adloom.config.settings import Settings
from adloom.credentials.verification import PictureVerifier
from adloom.errors import AdloomError, ConfigError, DataError
from adloom.library.location import open_library
from adloom.library.records import CreativeQuery
from adloom.serving.creatives.signing_keys import open_signing_key

PAGE = Path(__file__).parents[3] / "docs/how-to/ads.md"


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "brand.yaml").write_text("name: Northfold")
    (tmp_path / "bag.png").write_bytes(png(draw_bag()))
    return tmp_path


def run(*arguments: str) -> str:
    result = CliRunner().invoke(cli, ["ads", *arguments, "--processes", "1"])
    if isinstance(result.exception, AdloomError):
        raise result.exception
    return result.output


@pytest.mark.slow
def test_it_makes_ads_of_the_models_and_puts_them_into_the_library(project: Path) -> None:
    write_models(project / "models")
    said = run("make", "--category", "Bag", "--n", "2", "--sizes", "320x50,728x90", "--save")
    described = json.loads((project / "ads/ads.json").read_text())["ads"]
    assert said.splitlines()[-1].startswith(f"ads: {len(described)} of {len(described)} ads keep all rules; order: ")
    files = sorted(ad["file"] for ad in described)
    assert sorted(path.name for path in (project / "ads").glob("*.png")) == files
    with Image.open(project / "ads/000-728x90.png") as image:
        assert image.size == (728, 90)
    assert {ad.id for ad in open_library(Settings()).find(CreativeQuery(kind="ad"))} == {ad["id"] for ad in described}


@pytest.mark.slow
def test_it_composes_an_own_picture_and_text_and_exports_no_ad_that_breaks_a_rule(project: Path) -> None:
    assert "1 of 1 ads keep all rules" in run("compose", "bag.png", HEADLINE, "--sizes", "300x250", "--n", "1")
    said = run("compose", "bag.png", "The best bag", "--sizes", "300x250", "--n", "1", "--out", "refused")
    assert "000-300x250: banned words: headline: 'best' is a banned word" in said
    assert sorted(path.name for path in (project / "refused").iterdir()) == ["ads.json", "index.html"]


@pytest.mark.slow
def test_a_folder_keeps_no_ads_of_an_earlier_command(project: Path) -> None:
    run("compose", "bag.png", HEADLINE, "--sizes", "320x50", "--n", "1")
    (project / "ads/own.png").touch()
    run("compose", "bag.png", "The best bag", "--sizes", "320x50", "--n", "1")
    assert sorted(path.name for path in (project / "ads").iterdir()) == ["ads.json", "index.html", "own.png"]


@pytest.mark.slow
def test_it_never_draws_a_rejected_picture_again(project: Path) -> None:
    write_models(project / "models")
    library, drafts = open_library(Settings()), CreativeQuery(kind="picture", state="draft")
    for _ in range(2):
        run("make", "--category", "Bag", "--n", "1", "--sizes", "320x50", "--save")
        (picture,) = library.find(drafts)
        library.review(picture.id, "rejected", "kim", "two handles")
    first, second = library.find(CreativeQuery(kind="picture", state="rejected"))
    assert first.features["draw"] == second.features["draw"]
    assert first.number != second.number


@pytest.mark.slow
def test_without_a_folder_of_models_it_asks_the_registry(project: Path) -> None:
    (project / "params.yaml").write_text((files("adloom") / "starter" / "params.yaml").read_text(encoding="utf-8"))
    with pytest.raises(DataError, match="model gan is not served: it has no champion; `adloom run` makes one"):
        run("make", "--category", "Bag")


@pytest.mark.slow
def test_it_writes_webp(project: Path) -> None:
    run("compose", "bag.png", HEADLINE, "--sizes", "320x50", "--n", "1", "--format", "webp")
    with Image.open(project / "ads/000-320x50.webp") as image:
        assert (image.format, image.size) == ("WEBP", (320, 50))
    verified = PictureVerifier(open_signing_key(Settings())).verify((project / "ads/000-320x50.webp").read_bytes())
    assert (verified.state, verified.ours) == ("whole", True)
    assert verified.origin is not None
    assert (verified.origin.source_type, verified.origin.facts["headline"]) == ("composite", HEADLINE)
    assert len(verified.ingredients) == 1


@pytest.mark.slow
def test_the_commands_of_the_page_work(project: Path) -> None:
    write_models(project / "models")
    (project / "bag.jpg").write_bytes(png(draw_photo(), "JPEG"))
    commands = re.findall("^adloom ads (.+?)(?:  +#.*)?$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(commands) == 5
    for command in commands:
        small = re.sub(r"--sizes \w+", "--sizes 320x50", command.replace('"Ankle boot"', "Boot"))
        words = shlex.split(re.sub(r"--n \d+", "--n 1", small))
        assert "ads keep all rules" in run(*words)


@pytest.mark.parametrize(
    ("arguments", "error", "reason"),
    [
        (("compose", ".", HEADLINE), DataError, ".: not a file"),
        (("compose", "brand.yaml", HEADLINE), DataError, "brand.yaml: not a picture"),
        (("compose", "bag.png", HEADLINE, "--sizes", "1x1"), ConfigError, "'1x1' is no ad size"),
        (("compose", "bag.png", "a\nb"), ConfigError, "headline: expected a line of text"),
        (("compose", "bag.png", HEADLINE, "--brand", "own.yaml"), ConfigError, "own.yaml: no such file"),
        (("make", "--category", "Bag"), ConfigError, "params.yaml: no such file"),
        (
            ("make", "--category", "Bag", "--models", "own"),
            DataError,
            "model gan is not served: own/gan does not exist",
        ),
    ],
)
def test_mistakes_are_one_line(arguments: tuple[str, ...], error: type[AdloomError], reason: str) -> None:
    with pytest.raises(error, match=reason):
        run(*arguments)
