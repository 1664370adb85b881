"""Credentials and ads in the studio: verify a picture, compose, and approve in a browser."""

import base64
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from tests.support.brands import BRAND
from tests.support.browser import read_accessibility_tree
from tests.support.http_client import LIGHT
from tests.support.studio import draw, open_page, options, serve, wait_for

from adloom.library.library import Library
from adloom.library.records import CreativeQuery
from adloom.serving.library.shared_library import SharedLibrary
from adloom.serving.models import loader, sources

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def url(library: Library, models: Path) -> Iterator[str]:
    with serve(
        loader.load(sources.find_in_folder(models), threads=1), library=SharedLibrary(lambda: library), brand=BRAND
    ) as port:
        yield f"http://127.0.0.1:{port}/"


@pytest.fixture
def page(browser: Any, url: str) -> Iterator[Any]:
    yield from open_page(browser, url)


def choose_first(page: Any) -> bytes:
    """Draw, choose the first picture and return its file."""
    draw(page)
    options(page).first.click()
    wait_for(page, "selected")
    source = page.locator("#selected-picture img").get_attribute("src")
    return base64.b64decode(source.split(",")[1])


def verify(page: Any, path: Path, content: bytes) -> str:
    """Choose a file as one's own picture; return what the page says of its credentials."""
    path.write_bytes(content)
    page.get_by_label("Or your own picture").set_input_files(path)
    page.locator("#selected-picture").get_by_role("img", name=path.name).wait_for()
    wait_for(page, "selected")
    return str(page.locator("#credentials").inner_text())


def compose(page: Any, headline: str, *sizes: str) -> str:
    page.get_by_label("Headline").fill(headline)
    for box in page.locator("[name=size]").all():
        box.set_checked(box.get_attribute("value") in sizes)
    page.get_by_role("button", name="Compose").click()
    return wait_for(page, "ads")


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


class TestAds:
    def test_composes_the_selected_picture_in_each_size_and_approves_one(self, page: Any, library: Library) -> None:
        choose_first(page)
        assert compose(page, "Made to last", "300x250", "728x90").startswith("2 ads, seed ")
        ads = page.locator("#ad-list figure")
        sizes = "images => images.map((image) => `${image.naturalWidth}x${image.naturalHeight}`)"
        assert ads.locator("img").evaluate_all(sizes) == ["728x90", "300x250"]
        assert ads.locator("img").last.get_attribute("alt") == "Ad 300x250: Made to last"
        ads.last.get_by_role("button", name="Approve").click()
        page.get_by_text("Approved by anonymous").wait_for()
        (ad,) = library.find(CreativeQuery(state="approved"))
        assert (ad.kind, ad.placement, ad.text, ad.category) == ("ad", "300x250", "Made to last", "Boot")
        with page.expect_download() as download:
            ads.last.get_by_role("link", name="SVG").click()
        assert download.value.path().read_text(encoding="utf-8").startswith("<svg")

    def test_an_ad_that_breaks_a_rule_says_so_and_cannot_be_approved(self, page: Any) -> None:
        choose_first(page)
        assert "1 must not be shown" in compose(page, "Guaranteed the best of all bags, free for everybody", "320x50")
        ad = page.locator("#ad-list figure")
        assert ad.get_by_role("listitem").count() >= 1
        assert ad.get_by_role("button", name="Approve").count() == 0
        assert ad.get_by_role("link").count() == 0

    def test_without_a_size(self, page: Any) -> None:
        compose(page, "Made to last")
        assert page.locator("#ads [role=alert]").inner_text() == "Choose at least one size."

    def test_everything_that_takes_focus_has_a_name_and_a_phone_shows_it(self, browser: Any, url: str) -> None:
        for page in open_page(browser, url, viewport={"width": 360, "height": 780}):
            choose_first(page)
            compose(page, "Made to last", "970x250", "300x600")
            nodes = [node for node in read_accessibility_tree(page) if node["focusable"]]
            assert [node for node in nodes if not node["name"]] == []
            assert page.evaluate("document.documentElement.scrollWidth") == 360
