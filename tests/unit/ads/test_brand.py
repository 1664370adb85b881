from importlib.resources import files
from pathlib import Path

import pytest

from adloom.ads.brand import load_brand
from adloom.ads.typefaces import find_default_typefaces
from adloom.errors import ConfigError

LOGO = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 20 10"><path d="M0 0h20v10z"/></svg>'


def write(folder: Path, text: str) -> Path:
    path = folder / "brand.yaml"
    path.write_text(text)
    return path


def test_the_kit_that_init_writes_can_be_used(tmp_path: Path) -> None:
    text = (files("adloom") / "starter" / "brand.yaml").read_text()
    brand = load_brand(write(tmp_path, text))
    assert brand.kit.name == "My shop"
    assert (brand.typefaces, brand.logo) == (find_default_typefaces(), None)


def test_logo_and_fonts_are_found_beside_the_file(tmp_path: Path) -> None:
    (tmp_path / "logo.svg").write_text(LOGO)
    (tmp_path / "own.ttf").write_bytes(Path(find_default_typefaces().text.path).read_bytes())
    brand = load_brand(write(tmp_path, "name: A\nlogo: logo.svg\ntypefaces: {headline: own.ttf}\n"))
    assert brand.logo is not None
    assert brand.logo.aspect == 2
    assert brand.typefaces.headline.path == str(tmp_path / "own.ttf")


@pytest.mark.parametrize(
    ("logo", "reason"),
    [
        ("gone.svg", r"logo: gone\.svg cannot be read \(No such file or directory\)"),
        ("brand.yaml", "neither PNG nor SVG"),
    ],
)
def test_a_logo_that_cannot_be_used_is_named(tmp_path: Path, logo: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=rf"brand\.yaml: logo: .*{reason}" if "read" not in reason else reason):
        load_brand(write(tmp_path, f"name: A\nlogo: {logo}\n"))
