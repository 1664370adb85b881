"""Credentials and ads in the studio: verify a picture, compose, and approve in a browser."""

import base64
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from tests.support.creatives import open_folder
from tests.support.http_client import LIGHT
from tests.support.studio import done, draw, open_page, options, serve

from adloom.library.library import Library
from adloom.serving.library.shared_library import SharedLibrary
from adloom.serving.models import loader, sources

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Library]:
    library = open_folder(tmp_path_factory.mktemp("library"))
    yield library
    library.close()


@pytest.fixture(scope="module")
def url(library: Library, models: Path) -> Iterator[str]:
    with serve(loader.load(sources.find_in_folder(models), threads=1), library=SharedLibrary(lambda: library)) as port:
        yield f"http://127.0.0.1:{port}/"


@pytest.fixture
def page(browser: Any, url: str) -> Iterator[Any]:
    yield from open_page(browser, url)


def choose_first(page: Any) -> bytes:
    """Draw, choose the first picture and return its file."""
    draw(page)
    options(page).first.click()
    done(page, "selected")
    source = page.locator("#selected-picture img").get_attribute("src")
    return base64.b64decode(source.split(",")[1])


def verify(page: Any, path: Path, content: bytes) -> str:
    """Choose a file as one's own picture; return what the page says of its credentials."""
    path.write_bytes(content)
    page.get_by_label("Or your own picture").set_input_files(path)
    page.locator("#selected-picture").get_by_role("img", name=path.name).wait_for()
    done(page, "selected")
    return str(page.locator("#credentials").inner_text())


class TestCredentials:
    def test_a_drawn_picture_is_whole_and_ours(self, page: Any) -> None:
        choose_first(page)
        said = page.locator("#credentials").inner_text()
        assert "Whole, as this service signed it." in said
        assert "gan" in said

    def test_other_pictures_carry_none(self, page: Any, tmp_path: Path) -> None:
        assert "It carries no credentials." in verify(page, tmp_path / "own.png", LIGHT)

    def test_a_change_is_named(self, page: Any, tmp_path: Path) -> None:
        picture = bytearray(choose_first(page))
        picture[picture.index(b"iTXt") + 40] ^= 1
        assert "Changed after signing: metadata." in verify(page, tmp_path / "changed.png", bytes(picture))

    def test_a_stripped_picture_is_found_again(self, page: Any, tmp_path: Path) -> None:
        stripped = io.BytesIO()
        Image.open(io.BytesIO(choose_first(page))).save(stripped, "PNG")
        said = verify(page, tmp_path / "stripped.png", stripped.getvalue())
        assert "It carries no credentials. It shows a picture that this service issued." in said
