"""The library over HTTP."""

import base64
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient
from tests.support.creatives import make_creative, open_folder
from tests.support.decision_logs import LIMITS, click, decision, frame_segment, write_segment
from tests.support.http_client import DARK, post_invalid, post_ok

from adloom.decision_log.creative_outcomes import OutcomeCounter
from adloom.decision_log.log import DecisionLog
from adloom.decision_log.record import Line
from adloom.errors import UnavailableError
from adloom.library.library import Library
from adloom.library.records import content_id
from adloom.serving import server
from adloom.serving.api import auth
from adloom.serving.api.ads_schemas import MAKE_ADS
from adloom.serving.api.decide_schemas import DECIDE, FEEDBACK
from adloom.serving.api.library_schemas import LIST, OUTCOMES, REVIEW, SHOW
from adloom.serving.api.schemas import GENERATE, WRITE
from adloom.serving.app import ServiceDependencies
from adloom.serving.library.answers import CLOSED
from adloom.serving.library.shared_library import SharedLibrary
from adloom.serving.models.loader import Models
from adloom.serving.segments import PseudonymKeys
from adloom.storage.local import FolderStore

UNKNOWN = content_id(b"unknown")
LINE = content_id(b"Carry on")
PICTURE = content_id(DARK)


@pytest.fixture
def library(tmp_path: Path) -> Iterator[Library]:
    """Provide a library with a picture, a line, and an ad of both."""
    library = open_folder(tmp_path)
    library.add(make_creative(DARK, "picture", category="Bag", features={"embedding": [1.0], "colours": []}), DARK)
    library.add(make_creative(b"Carry on", text="Carry on", category="Bag"), b"Carry on")
    ad = make_creative(b"ad", "ad", category="Bag", placement="300x250", parents=(PICTURE, LINE))
    library.add(ad, b"ad")
    yield library
    library.close()


def connect(models: Models, shared: SharedLibrary | None, **dependencies: object) -> TestClient:
    all_dependencies = ServiceDependencies(PseudonymKeys(None), library=shared, **dependencies)  # type: ignore[arg-type]
    return TestClient(server.create_named_app("creatives", models, all_dependencies), raise_server_exceptions=False)


@pytest.fixture
def client(models: Models, library: Library) -> TestClient:
    return connect(models, SharedLibrary(lambda: library))


def test_list_shows_the_newest_first_page_by_page(client: TestClient) -> None:
    first = post_ok(client, LIST, {"limit": 2})
    assert [creative["kind"] for creative in first["creatives"]] == ["ad", "line"]
    second = post_ok(client, LIST, {"limit": 2, "after": first["next"]})
    assert [creative["kind"] for creative in second["creatives"]] == ["picture"]
    assert second["next"] is None
    assert second["creatives"][0]["features"] == {"colours": []}  # an embedding would fill the page


def test_list_filters(client: TestClient) -> None:
    found = post_ok(client, LIST, {"parent": LINE, "placement": "300x250", "state": "draft"})["creatives"]
    assert [creative["id"] for creative in found] == [content_id(b"ad")]
    assert post_ok(client, LIST, {"state": "approved"})["creatives"] == []


def test_show_has_content_chain_and_history(client: TestClient) -> None:
    post_ok(client, REVIEW, {"id": content_id(b"ad"), "state": "approved"})
    shown = post_ok(client, SHOW, {"id": content_id(b"ad")})
    assert base64.b64decode(shown["content"]) == b"ad"
    assert {ancestor["id"] for ancestor in shown["ancestors"]} == {PICTURE, LINE}
    assert [(r["before"], r["state"], r["actor"]) for r in shown["history"]] == [("draft", "approved", "anonymous")]
    picture = post_ok(client, SHOW, {"id": PICTURE})
    assert [child["id"] for child in picture["children"]] == [content_id(b"ad")]
    assert picture["creative"]["features"]["embedding"] == [1.0]


def test_a_review_names_the_token(models: Models, library: Library, tmp_path: Path) -> None:
    token = auth.add_token(tmp_path / "tokens", "kim", ["studio"])
    client = connect(models, SharedLibrary(lambda: library), auth=auth.TokenAuth(tmp_path / "tokens"))
    client.headers["Authorization"] = f"Bearer {token}"
    reviewed = post_ok(client, REVIEW, {"id": LINE, "state": "rejected", "reason": "off brand"})["creative"]
    assert (reviewed["state"], reviewed["reviewed_by"], reviewed["reason"]) == ("rejected", "kim", "off brand")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (GENERATE, {"category": "Bag", "save": True}),
        (WRITE, {"save": True}),
        (MAKE_ADS, {"picture_id": PICTURE}),
    ],
)
def test_a_token_for_decisions_does_not_use_the_library(
    models: Models, library: Library, tmp_path: Path, path: str, body: dict[str, object]
) -> None:
    token = auth.add_token(tmp_path / "tokens", "bidder", ["decide"])
    client = connect(models, SharedLibrary(lambda: library), auth=auth.TokenAuth(tmp_path / "tokens"))
    client.headers["Authorization"] = f"Bearer {token}"
    assert "needs the scope studio" in post_invalid(client, path, body, 403)["detail"]


def test_a_review_that_the_rules_do_not_allow(client: TestClient) -> None:
    problem = post_invalid(client, REVIEW, {"id": LINE, "state": "rejected"}, 422)
    assert (problem["field"], "only with a reason" in problem["detail"]) == ("reason", True)
    assert post_invalid(client, REVIEW, {"id": LINE, "state": "draft"}, 422)["field"] == "state"


@pytest.mark.parametrize("path", [SHOW, REVIEW])
@pytest.mark.parametrize(("creative_id", "status"), [(UNKNOWN, 404), ("../a", 422), (LINE.upper(), 422)])
def test_an_unknown_id(client: TestClient, path: str, creative_id: str, status: int) -> None:
    body = {"id": creative_id} | ({"state": "approved"} if path == REVIEW else {})
    assert post_invalid(client, path, body, status)["field"] == "id"


def test_a_lost_content_is_named_in_the_log_alone(
    client: TestClient, library: Library, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    library.files.remove(next(iter(library.files.list(LINE[7:9]))))
    assert post_invalid(client, SHOW, {"id": LINE}, 503)["detail"] == CLOSED
    assert "no such file, the content of" in caplog.text
    unknown = post_invalid(client, SHOW, {"id": UNKNOWN}, 404)["detail"]
    assert str(tmp_path) not in unknown


def test_a_category_that_no_database_holds(client: TestClient) -> None:
    assert post_invalid(client, LIST, {"category": "a\0b"}, 422)["field"] == "category"


def test_a_service_without_a_library(models: Models) -> None:
    assert "no creative library here" in post_invalid(connect(models, None), LIST, {}, 503)["detail"]


@pytest.mark.parametrize("error", [UnavailableError("connection refused"), OSError(28, "No space left on device")])
def test_a_library_that_cannot_be_used(models: Models, error: Exception) -> None:
    def fail() -> Library:
        raise error

    assert post_invalid(connect(models, SharedLibrary(fail)), LIST, {}, 503)["detail"] == CLOSED


def test_outcomes_count_the_decision_log(models: Models, tmp_path: Path) -> None:
    shown = {"candidates": [LINE, PICTURE], "probabilities": [0.5, 0.5], "chosen": [PICTURE], "propensities": [0.5]}
    records: list[Line] = [*(decision(number, **shown) for number in range(4)), click(0, creative_id=PICTURE)]
    write_segment(tmp_path, frame_segment(records))
    client = connect(models, None, outcomes=OutcomeCounter(str(tmp_path), FolderStore()))
    answer = post_ok(client, OUTCOMES, {"ids": [PICTURE, LINE]})
    assert answer["complete"] is True
    first, second = answer["outcomes"]
    assert (first["impressions"], first["clicks"], first["click_rate"]) == (4, 1, 0.25)
    assert (first["low"], first["high"]) == pytest.approx((0.0456, 0.6994), abs=1e-4)
    assert (second["impressions"], second["click_rate"], second["low"], second["high"]) == (0, None, 0, 1)


def test_a_service_without_a_decision_log(models: Models) -> None:
    assert "no decision log here" in post_invalid(connect(models, None), OUTCOMES, {"ids": [LINE]}, 503)["detail"]


def test_an_approved_ad_is_decided_at_once_and_its_clicks_are_counted(
    models: Models, library: Library, tmp_path: Path
) -> None:
    log = DecisionLog(tmp_path / "decisions", "shop", LIMITS)
    counter = OutcomeCounter(str(tmp_path / "decisions"), FolderStore())
    shared = SharedLibrary(lambda: library)
    dependencies = ServiceDependencies(PseudonymKeys(None), library=shared, outcomes=counter, log=log)
    ad, body = (
        content_id(b"ad"),
        {"placement": "top", "candidates": {"library": {"size": "300x250"}}, "tmax_ms": 60_000},
    )
    with TestClient(server.create_named_app("all", models, dependencies)) as client:
        post_invalid(client, DECIDE, body, 503)  # the library was not read yet
        post_ok(client, REVIEW, {"id": ad, "state": "approved"})
        decided = post_ok(client, DECIDE, body)
        assert [chosen["creative_id"] for chosen in decided["creatives"]] == [ad]
        post_ok(client, FEEDBACK, {"decision_id": decided["decision_id"], "creative_id": ad, "kind": "click"})
        post_ok(client, REVIEW, {"id": ad, "state": "rejected", "reason": "the client changed the price"})
        assert post_invalid(client, DECIDE, body, 422)["field"] == "candidates.library"
    counter.update(10)
    assert counter.count(ad) == (1, 1)
