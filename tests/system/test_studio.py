"""The studio in a browser, clicked through against a running service."""

import base64
import hashlib
import io
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.support.browser import read_accessibility_tree
from tests.support.http_client import LIGHT, png
from tests.support.studio import draw, open_page, options, serve, sheet, wait_for
from tests.support.tiny_models import write_generator, write_models
from tests.support.tokens import tokens_file

from adloom.ads.colours import contrast
from adloom.library.features import describe_picture
from adloom.library.library import Library
from adloom.library.records import CreativeQuery, content_id
from adloom.serving.api.auth import TokenAuth
from adloom.serving.library.shared_library import SharedLibrary
from adloom.serving.models import loader, sources
from adloom.serving.models.loader import Models

pytestmark = pytest.mark.slow
HOSTILE = "<img src=x onerror=alert(1)>"
TOKEN, OTHER_TOKEN = "a-token-of-the-studio", "a-token-of-a-bidder"
PAIRS = [  # text colour, background
    ("ink", "paper"), ("ink", "surface"), ("ink", "soft"), ("quiet", "paper"), ("quiet", "surface"), ("quiet", "soft"),
    ("accent", "paper"), ("accent", "surface"), ("accent", "soft"), ("on-accent", "accent"),
    ("bad", "surface"),
]  # fmt: skip


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    folder = write_models(tmp_path_factory.mktemp("models"))
    write_generator(folder / "gan", tones=["plain", HOSTILE])
    models = loader.load(sources.find_in_folder(folder), threads=1)
    return know_pictures(models, [content_id(LIGHT), content_id(b"lost"), "creative-2", "creative-3", "creative-4"])


def know_pictures(models: Models, ids: list[str]) -> Models:
    """Return the models with these ids of the reader's known pictures."""
    cnn = models.cnn
    known = replace(cnn.model.known, creative_id=np.array(ids))
    read = replace(cnn, model=replace(cnn.model, known=known))
    return replace(models, loaded={**models.loaded, "cnn": read})


@pytest.fixture(scope="module")
def url(models: Models, library: Library) -> Iterator[str]:
    with serve(models, library=SharedLibrary(lambda: library)) as port:
        yield f"http://127.0.0.1:{port}/"


@pytest.fixture(scope="module")
def guarded(models: Models, library: Library, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    path = tokens_file(tmp_path_factory.mktemp("tokens"), TOKEN, "studio")
    other = hashlib.sha256(OTHER_TOKEN.encode()).hexdigest()
    with path.open("a", encoding="utf-8") as file:
        file.write(f"bidder decide sha256:{other}\n")
    with serve(models, auth=TokenAuth(path), library=SharedLibrary(lambda: library)) as port:
        yield f"http://127.0.0.1:{port}/"


@pytest.fixture
def style(tmp_path: Path) -> Path:
    path = tmp_path / "grey.png"
    path.write_bytes(png(np.full((40, 40, 3), 128, np.uint8)))
    return path


@pytest.fixture
def page(browser: Any, url: str) -> Iterator[Any]:
    yield from open_page(browser, url)


class TestMake:
    def test_draws_a_sheet_and_looks_closely_at_one_picture(self, page: Any) -> None:
        assert draw(page) == "4 pictures of Boot, seed 7."
        assert sheet(page) == [f"Boot, seed 7, picture {i}" for i in (1, 2, 3, 4)]
        options(page).nth(2).click()
        assert wait_for(page, "selected").startswith("Read as ")
        selected = page.get_by_role("region", name="Selected picture")
        assert selected.get_by_role("img").get_attribute("alt") == "Boot, seed 7, picture 3"
        assert selected.locator("#reading li").count() == 3 + 5  # categories, neighbours
        assert re.search(r"creative-\d · (Bag|Boot|Coat)", selected.inner_text())

    def test_neighbours_in_the_library_are_pictures_that_open(self, page: Any, library: Library) -> None:
        library.add(describe_picture(LIGHT, category="Coat"), LIGHT)
        draw(page)
        options(page).nth(0).click()
        wait_for(page, "selected")
        reading = page.locator("#reading")
        assert reading.get_by_role("img").count() == 1
        assert f"{content_id(b'lost')} · " in reading.inner_text()
        assert "because the model keeps no pictures" in reading.inner_text()
        reading.get_by_role("button", name="Picture · Coat").click()
        page.locator("#creative").get_by_role("button", name="Approve").wait_for()

    def test_equal_seeds_show_equal_pictures(self, page: Any) -> None:
        def files() -> list[bytes]:
            sources = [image.get_attribute("src") for image in page.locator("#sheet img").all()]
            return [Image.open(io.BytesIO(base64.b64decode(source.split(",")[1]))).tobytes() for source in sources]

        draw(page)
        first = files()
        draw(page, seed=8)
        other = files()
        draw(page)
        assert (first == files(), first == other) == (True, False)

    def test_keeps_drafts_and_reviews_one(self, page: Any, library: Library) -> None:
        draw(page, seed=99)
        options(page).nth(1).click()
        wait_for(page, "selected")
        page.get_by_role("button", name="Reject").click()
        page.get_by_label("Reason").fill("blurred")
        page.get_by_role("button", name="Save").click()
        page.get_by_text("Rejected by anonymous").wait_for()
        (rejected,) = library.find(CreativeQuery(state="rejected"))
        assert (rejected.kind, rejected.category, rejected.seed, rejected.number) == ("picture", "Boot", 99, 1)
        draw(page, seed=99)
        assert sheet(page)[:2] == ["Boot, seed 99, picture 1", "Boot, seed 99, picture 3"]  # never drawn again

    def test_a_picture_of_ones_own_is_read_and_painted_like_the_others(
        self, page: Any, tmp_path: Path, style: Path
    ) -> None:
        (tmp_path / "bag.png").write_bytes(LIGHT)
        page.get_by_label("Or your own picture").set_input_files(tmp_path / "bag.png")
        page.locator("#selected-picture").get_by_role("img", name="bag.png").wait_for()
        assert wait_for(page, "selected") == "Read as Coat."
        assert sheet(page) == ["bag.png"]
        page.get_by_label("Style picture").set_input_files(style)
        page.get_by_role("button", name="Stylise").click()
        page.get_by_role("img", name="bag.png, style grey.png").wait_for()

    def test_paints_the_sheet_or_one_picture_in_a_style(self, page: Any, style: Path) -> None:
        page.get_by_label("Style picture").set_input_files(style)
        assert draw(page, n=2) == "2 pictures of Boot, seed 7, in the style grey.png."
        assert sheet(page) == [f"Boot, seed 7, picture {i}, style grey.png" for i in (1, 2)]
        page.get_by_label("Style picture").set_input_files([])
        draw(page)
        options(page).last.click()
        page.get_by_role("button", name="Stylise").click()
        page.get_by_text("Choose a style picture in the form of Pictures first.").wait_for()
        page.get_by_label("Style picture").set_input_files(style)
        page.get_by_role("button", name="Stylise").click()
        page.get_by_role("img", name="Boot, seed 7, picture 4, style grey.png").wait_for()
        assert wait_for(page, "selected").startswith("Read as ")

    def test_a_style_that_is_no_picture(self, page: Any, tmp_path: Path) -> None:
        (tmp_path / "style.png").write_bytes(b"no picture")
        page.get_by_label("Style picture").set_input_files(tmp_path / "style.png")
        draw(page, n=1)
        assert page.locator("#pictures [role=alert]").inner_text().startswith("style: ")

    def test_writes_lines_that_keep_the_rules_and_takes_one_as_headline(self, page: Any) -> None:
        form = page.locator("#copy form")
        form.get_by_label("Category").select_option("Coats")
        form.get_by_label("Seed").fill("7")
        form.get_by_label("Required words").fill("warm")
        form.get_by_label("Banned words").fill("very, dress")
        form.get_by_role("button", name="Write").click()
        assert re.fullmatch(r"\d lines?, seed 7. Choose one as the headline\.", wait_for(page, "copy"))
        lines = page.locator("#lines label > span:nth-of-type(1)").all_inner_texts()
        assert lines
        assert page.locator("#lines").get_by_role("link", name="Credentials").count() == len(lines)
        assert [
            line for line in lines if "warm" not in line.lower() or re.search(r"\b(very|dress)\b", line, re.I)
        ] == []
        page.locator("#lines").get_by_role("radio").first.check()
        assert page.get_by_label("Headline").input_value() == lines[0]

    def test_rules_that_no_line_keeps(self, page: Any) -> None:
        page.get_by_label("Longest line").fill("1")
        page.get_by_role("button", name="Write").click()
        assert wait_for(page, "copy") == "No line keeps these rules. Loosen them and write again."

    def test_hostile_names_and_lines_are_text(self, page: Any) -> None:
        page.get_by_label("tone").select_option(HOSTILE)
        draw(page)
        page.get_by_label("Begins with").fill(HOSTILE)
        page.get_by_role("button", name="Write").click()
        wait_for(page, "copy")
        assert HOSTILE in page.locator("#lines").inner_text()
        assert page.locator("#content img:not([src^='data:image/png'])").count() == 0
        assert page.logged == []


class TestRequests:
    def test_errors_of_the_service_are_shown_as_they_are(self, page: Any) -> None:
        page.get_by_label("Begins with").fill("a" * 50)
        page.get_by_role("button", name="Write").click()
        wait_for(page, "copy")
        problem = "rules.max_characters allows fewer"
        assert page.locator("#copy [role=alert]").inner_text() == f"body: prompt has 50 characters, {problem}"

    def test_a_new_request_cancels_the_one_before(self, page: Any) -> None:
        held: list[Any] = []
        failed: list[str] = []
        page.on("requestfailed", lambda request: failed.append(request.failure))

        def hold_first(route: Any) -> None:
            if held:
                route.continue_()
            held.append(route)

        page.route("**/v1/creatives/generate", hold_first)
        page.get_by_role("button", name="Draw").click()
        page.locator("#pictures[aria-busy=true]").get_by_text("Drawing…").wait_for()
        assert draw(page, "Coat") == "4 pictures of Coat, seed 7."
        assert failed == ["net::ERR_ABORTED"]
        assert sheet(page)[0] == "Coat, seed 7, picture 1"

    def test_a_service_that_is_away(self, page: Any) -> None:
        page.context.set_offline(True)
        draw(page)
        assert "does not answer" in page.locator("#pictures [role=alert]").inner_text()

    def test_a_model_that_is_not_served_is_named_and_the_rest_works(self, browser: Any, models: Models) -> None:
        rest = {name: loaded for name, loaded in models.loaded.items() if name in ("gan", "cnn")}
        with serve(Models(rest, {"lstm": "no champion", "style": "no champion"})) as port:
            for page in open_page(browser, f"http://127.0.0.1:{port}/"):
                assert page.locator("#copy [role=alert]").inner_text() == "Model lstm is not served: no champion"
                assert page.get_by_role("button", name="Write").is_disabled()
                assert page.get_by_label("Style picture").is_disabled()
                assert page.locator("#pictures").get_by_text("Model style is not served: no champion").is_visible()
                assert draw(page, save=False) == "4 pictures of Boot, seed 7."


class TestToken:
    @pytest.fixture
    def page(self, browser: Any, guarded: str) -> Iterator[Any]:
        yield from open_page(browser, guarded)

    def sign_in(self, page: Any, token: str) -> None:
        page.get_by_label("Token with the scope studio").fill(token)
        page.get_by_role("button", name="Use token").click()

    def test_asks_until_the_token_is_right_and_then_goes_on(self, page: Any) -> None:
        page.get_by_role("button", name="Draw").click()
        page.get_by_text("The service asks for a token.").wait_for()
        self.sign_in(page, "wrong")
        page.get_by_text("The service does not accept this token.").wait_for()
        self.sign_in(page, TOKEN)
        assert wait_for(page, "pictures").startswith("12 pictures of ")
        assert page.evaluate("[Object.values(sessionStorage), Object.values(localStorage)]") == [[TOKEN], []]
        assert TOKEN not in page.url
        page.reload()
        assert draw(page) == "4 pictures of Boot, seed 7."  # the tab keeps it

    def test_a_token_without_the_scope_is_told_which_it_needs(self, page: Any) -> None:
        page.get_by_role("button", name="Token").click()
        self.sign_in(page, OTHER_TOKEN)
        page.get_by_role("link", name="Library").click()
        page.get_by_text("This token does not have the scope studio.").wait_for()

    def test_escape_gives_up_and_says_so(self, page: Any) -> None:
        page.get_by_role("button", name="Draw").click()
        page.get_by_role("dialog", name="Token").wait_for()
        page.keyboard.press("Escape")
        wait_for(page, "pictures")
        assert page.locator("#pictures [role=alert]").inner_text() == "No token was given."
        assert page.locator("dialog[open]").count() == 0


class TestAccessibility:
    @pytest.mark.parametrize("scheme", ["light", "dark"])
    def test_text_has_contrast_in_both_themes(self, browser: Any, url: str, scheme: str) -> None:
        read = "name => getComputedStyle(document.documentElement).getPropertyValue('--' + name)"
        for page in open_page(browser, url, color_scheme=scheme):
            colours = {name: page.evaluate(read, name) for name in {*sum(PAIRS, ()), "edge"}}
            low = {pair for pair in PAIRS if contrast(*(colours[name] for name in pair)) < 4.5}
            assert low == set()
            assert contrast(colours["edge"], colours["surface"]) >= 3  # borders of fields (WCAG 1.4.11)
            assert page.evaluate("getComputedStyle(document.body).color") != "rgb(0, 0, 0)"

    @pytest.mark.parametrize("view", ["make", "library"])
    def test_everything_that_takes_focus_has_a_name(self, page: Any, view: str) -> None:
        draw(page)
        options(page).first.click()
        page.get_by_role("button", name="Write").click()
        wait_for(page, "copy")
        page.get_by_role("link", name=view.title()).click()
        nodes = [node for node in read_accessibility_tree(page) if node["focusable"]]
        assert len(nodes) > 8
        assert [node for node in nodes if not node["name"]] == []

    @pytest.mark.parametrize("view", ["make", "library"])
    def test_a_phone_needs_no_sideways_scrolling(self, browser: Any, url: str, view: str) -> None:
        for page in open_page(browser, url, viewport={"width": 360, "height": 780}):
            draw(page)
            options(page).first.click()
            page.get_by_role("button", name="Write").click()
            wait_for(page, "copy")
            page.get_by_role("link", name=view.title()).click()
            assert page.evaluate("document.documentElement.scrollWidth") == 360

    def test_the_keyboard_reaches_the_sheet_and_the_focus_shows(self, page: Any) -> None:
        draw(page, n=12)
        options(page).first.focus()
        for key in ("ArrowRight", "ArrowDown", "ArrowLeft", "ArrowUp", "ArrowUp", "End", "ArrowRight", "ArrowLeft"):
            page.keyboard.press(key)
        assert page.evaluate("document.activeElement.firstChild.alt") == "Boot, seed 7, picture 11"
        assert page.evaluate("parseFloat(getComputedStyle(document.activeElement).outlineWidth)") >= 2
        page.keyboard.press("Enter")
        page.get_by_role("region", name="Selected picture").get_by_role("img", name="picture 11").wait_for()

    def test_tab_starts_at_the_skip_link_and_sees_only_what_is_shown(self, page: Any) -> None:
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.textContent") == "Skip to content"
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.id") == "content"
        for _ in range(40):
            page.keyboard.press("Tab")
            assert page.evaluate("document.activeElement === document.body || document.activeElement.checkVisibility()")

    def test_motion_is_reduced_on_request(self, browser: Any, url: str) -> None:
        read = "getComputedStyle(document.querySelector('#pictures > [role=status]'), '::before').animationName"
        for wish, animation in (("no-preference", "turn"), ("reduce", "none")):
            for page in open_page(browser, url, reduced_motion=wish):
                page.route("**/v1/creatives/generate", lambda route: None)
                page.get_by_role("button", name="Draw").click()
                page.locator("#pictures[aria-busy=true]").wait_for()
                assert page.evaluate(read) == animation
