"""The library in the studio: browse, approve and reject in a browser."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.browser import read_accessibility_tree
from tests.support.creatives import make_creative, open_folder
from tests.support.decision_logs import click, decision, frame_segment, write_segment
from tests.support.http_client import DARK, LIGHT
from tests.support.studio import open_page, serve, wait_for
from tests.support.tiny_models import write_models
from tests.support.tokens import tokens_file

from adloom.decision_log.creative_outcomes import OutcomeCounter
from adloom.decision_log.record import Line
from adloom.errors import UnavailableError
from adloom.library.library import Library
from adloom.library.records import CreativeQuery, content_id
from adloom.serving.api.auth import TokenAuth
from adloom.serving.library.answers import CLOSED
from adloom.serving.library.shared_library import SharedLibrary
from adloom.serving.models import loader, sources
from adloom.serving.models.loader import Models
from adloom.storage.local import FolderStore

pytestmark = pytest.mark.slow
TOKEN = "a-token-of-the-studio"
HOSTILE = "<img src=x onerror=alert(1)>"
AD = content_id(DARK + b"\0")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    return loader.load(sources.find_in_folder(write_models(tmp_path_factory.mktemp("models"))), threads=1)


@pytest.fixture
def library(tmp_path: Path) -> Iterator[Library]:
    """Provide a picture, lines, and an ad of the picture and the first line."""
    library = open_folder(tmp_path)
    library.add(make_creative(DARK, "picture", category="Bag", seed=7, number=2), DARK)
    for text in ("Carry on", HOSTILE):
        library.add(make_creative(text.encode(), text=text, category="Bag"), text.encode())
    parents = (content_id(DARK), content_id(b"Carry on"))
    ad = make_creative(DARK + b"\0", "ad", category="Bag", placement="300x250", text="Carry on", parents=parents)
    library.add(ad, DARK + b"\0")
    yield library
    library.close()


@pytest.fixture
def page(browser: Any, models: Models, library: Library, tmp_path: Path) -> Iterator[Any]:
    """Provide the view of the library, signed in; a decision log shows the ad four times, with a click."""
    shown = {"candidates": [AD], "probabilities": [1.0], "chosen": [AD], "propensities": [1.0]}
    records: list[Line] = [*(decision(number, **shown) for number in range(4)), click(0, creative_id=AD)]
    write_segment(tmp_path / "log", frame_segment(records))
    outcomes = OutcomeCounter(str(tmp_path / "log"), FolderStore())
    auth = TokenAuth(tokens_file(tmp_path, TOKEN, "studio"))
    with serve(models, auth=auth, library=SharedLibrary(lambda: library), outcomes=outcomes) as port:
        for page in open_page(browser, f"http://127.0.0.1:{port}/"):
            page.get_by_role("link", name="Library").click()
            page.get_by_label("Token with the scope studio").fill(TOKEN)
            page.get_by_role("button", name="Use token").click()
            wait_for(page, "shelf")
            yield page


def find(page: Any, kind: str, state: str = "Drafts") -> list[str]:
    """Use the filters; return the cards."""
    page.locator("#shelf [name=kind]").select_option(kind)
    page.locator("#shelf [name=state]").select_option(state)
    page.get_by_role("button", name="Show", exact=True).click()
    wait_for(page, "shelf")
    return [str(text) for text in page.locator("#shelf-list .card > span:last-child").all_inner_texts()]


def reviewed(library: Library, state: str) -> list[tuple[str, str | None, str | None]]:
    return [(c.kind, c.reviewed_by, c.reason) for c in library.find(CreativeQuery.model_validate({"state": state}))]


def test_browses_by_kind_and_state(page: Any) -> None:
    assert find(page, "Ads") == ["Ad · 300x250 · Bag · Carry on"]
    assert find(page, "Pictures") == ["Picture · Bag"]
    assert find(page, "Lines") == [f"Line · Bag · {HOSTILE}", "Line · Bag · Carry on"]
    assert find(page, "Lines", "Approved") == []
    assert wait_for(page, "shelf") == "The library has none of these."


def test_approves_without_and_rejects_with_a_reason(page: Any, library: Library) -> None:
    find(page, "Ads")
    page.locator(".card").click()
    creative = page.get_by_role("dialog", name="Ad · 300x250")
    creative.get_by_role("button", name="Approve").click()
    creative.get_by_text("Approved by platform").first.wait_for()
    assert reviewed(library, "approved") == [("ad", "platform", None)]
    creative.get_by_role("button", name="Reject").click()
    page.keyboard.press("Escape")  # closes the question alone
    assert reviewed(library, "rejected") == []
    creative.get_by_role("button", name="Reject").click()
    page.get_by_label("Reason").fill("off brand")
    page.keyboard.press("Enter")
    creative.get_by_text("off brand").first.wait_for()
    assert reviewed(library, "rejected") == [("ad", "platform", "off brand")]
    page.keyboard.press("Escape")
    assert find(page, "Ads") == []
    assert find(page, "Ads", "Rejected") == ["Ad · 300x250 · Bag · Carry on"]


def test_approved_ads_show_how_they_fare(page: Any, library: Library) -> None:
    other = make_creative(LIGHT, "ad", category="Bag", placement="728x90")
    for creative in (library.get(AD), library.add(other, LIGHT)):
        library.review(creative.id, "approved", "maria")
    find(page, "Ads", "Approved")
    assert "4 shown, 25.00% clicked (4.56% to 69.94%)" in page.locator("#shelf-list li").last.inner_text()
    assert "Not shown yet." in page.locator("#shelf-list li").first.inner_text()


def test_follows_the_chain_in_both_directions(page: Any) -> None:
    find(page, "Ads")
    page.locator(".card").click()
    page.get_by_role("button", name="Picture · Bag").click()
    picture = page.get_by_role("dialog", name="Picture · Bag")
    assert content_id(DARK) in picture.inner_text()
    picture.get_by_role("button", name="Ad · 300x250").click()
    page.get_by_role("dialog", name="Ad · 300x250").wait_for()


def test_pages_of_a_long_list(page: Any, library: Library) -> None:
    for i in range(30):
        library.add(make_creative(f"Line {i}".encode(), text=f"Line {i}"), f"Line {i}".encode())
    assert len(find(page, "Lines")) == 24
    page.get_by_role("button", name="Show more").click()
    assert wait_for(page, "shelf") == "32 shown, the newest first."
    assert not page.get_by_role("button", name="Show more").is_visible()


def test_everything_that_takes_focus_has_a_name(page: Any) -> None:
    find(page, "Lines")
    page.locator(".card").first.click()
    page.get_by_role("dialog", name="Line").get_by_role("button", name="Reject").click()
    nodes = [node for node in read_accessibility_tree(page) if node["focusable"]]
    assert [node for node in nodes if not node["name"]] == []


def test_a_library_that_is_away_says_why(browser: Any, models: Models) -> None:
    def fail() -> Library:
        raise UnavailableError("the database does not answer")

    with serve(models, library=SharedLibrary(fail)) as port:
        for page in open_page(browser, f"http://127.0.0.1:{port}/"):
            page.get_by_role("link", name="Library").click()
            wait_for(page, "shelf")
            assert page.locator("#shelf [role=alert]").inner_text() == CLOSED
