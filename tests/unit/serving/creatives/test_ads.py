import base64
import io
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient
from tests.support.brands import BRAND, HEADLINE, draw_photo
from tests.support.creatives import open_folder
from tests.support.http_client import encode, png, post_invalid, post_ok

from adloom.credentials.origin import Origin
from adloom.library.features import describe_picture
from adloom.library.library import Library
from adloom.serving import server
from adloom.serving.api.ads_schemas import MAKE_ADS
from adloom.serving.api.schemas import GENERATE
from adloom.serving.app import ServiceDependencies
from adloom.serving.creatives.issuer import create_memory_issuer
from adloom.serving.library.shared_library import SharedLibrary
from adloom.serving.models.loader import Models
from adloom.serving.segments import PseudonymKeys

pytestmark = pytest.mark.slow  # each request starts a process


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Library:
    return open_folder(tmp_path_factory.mktemp("library"))


@pytest.fixture(scope="module")
def studio(models: Models, library: Library) -> Iterator[TestClient]:
    dependencies = ServiceDependencies(PseudonymKeys(None), library=SharedLibrary(lambda: library), brand=BRAND)
    with TestClient(server.create_named_app("all", models, dependencies)) as client:
        yield client


def test_ads_have_their_sizes_layers_and_origin(studio: TestClient, models: Models) -> None:
    asked = {"category": "Bag", "n": 1, "seed": 1, "sizes": ["300x250", "320x50"], "headline": HEADLINE}
    answer = post_ok(studio, MAKE_ADS, asked)
    assert [(ad["size"], ad["findings"], ad["id"]) for ad in answer["ads"]] == [
        ("300x250", [], None),
        ("320x50", [], None),
    ]
    image = Image.open(io.BytesIO(base64.b64decode(answer["ads"][0]["png"])))
    assert image.size == (300, 250)
    assert image.info["adloom:model"] == models.gan.origin.digest
    assert ">Made to<" in answer["ads"][0]["svg"] or HEADLINE in answer["ads"][0]["svg"]
    assert "compositeWithTrainedAlgorithmicMedia" in image.info["XML:com.adobe.xmp"]


def test_saved_ads_are_drafts_with_picture_and_line_as_parents(studio: TestClient, library: Library) -> None:
    (ad,) = post_ok(studio, MAKE_ADS, {"category": "Bag", "seed": 3, "save": True})["ads"]
    saved = library.get(ad["id"])
    assert (saved.kind, saved.state, saved.placement, saved.text) == ("ad", "draft", "300x250", ad["headline"])
    assert [library.get(parent).kind for parent in saved.parents] == ["picture", "line"]
    assert library.read(ad["id"]) == base64.b64decode(ad["png"])
    again = {"picture_id": saved.parents[0], "headline": HEADLINE, "save": True}
    (second,) = post_ok(studio, MAKE_ADS, again)["ads"]
    assert library.get(second["id"]).parents == saved.parents[:1]


def test_an_ad_with_findings_is_a_preview_that_is_not_saved(studio: TestClient) -> None:
    asked = {"picture": encode(png(draw_photo())), "headline": "The best bag", "save": True}
    (ad,) = post_ok(studio, MAKE_ADS, asked)["ads"]
    assert [finding["rule"] for finding in ad["findings"]] == ["banned words"]
    assert (ad["svg"], ad["id"]) == (None, None)
    assert not Image.open(io.BytesIO(base64.b64decode(ad["png"]))).info


def read_source_type(ad: dict[str, str]) -> str:
    metadata = Image.open(io.BytesIO(base64.b64decode(ad["png"]))).info["XML:com.adobe.xmp"]
    return re.search(r"digitalsourcetype/(\w+)", metadata)[1]  # type: ignore[index]


def test_an_ad_says_that_a_model_made_its_picture_however_the_picture_came(studio: TestClient) -> None:
    own = {"headline": HEADLINE, "sizes": ["320x50"]}
    (drawn,) = post_ok(studio, GENERATE, {"category": "Bag", "seed": 1})["pictures"]
    stripped = encode(png(np.asarray(Image.open(io.BytesIO(base64.b64decode(drawn))))))
    (other,) = create_memory_issuer().issue_pictures([png(draw_photo())], [Origin("gan", digest="a" * 64)])
    for picture in (drawn, stripped, encode(other)):
        (ad,) = post_ok(studio, MAKE_ADS, own | {"picture": picture, "save": True})["ads"]
        assert read_source_type(ad) == "compositeWithTrainedAlgorithmicMedia"
        (again,) = post_ok(studio, MAKE_ADS, own | {"picture_id": ad["id"]})["ads"]
        assert read_source_type(again) == "compositeWithTrainedAlgorithmicMedia"
    (photo,) = post_ok(studio, MAKE_ADS, own | {"picture": encode(png(draw_photo()))})["ads"]
    assert read_source_type(photo) == "composite"


def test_a_rejected_picture_is_refused(studio: TestClient, library: Library) -> None:
    picture = describe_picture(png(draw_photo(100, 100)))
    library.add(picture, png(draw_photo(100, 100)))
    library.review(picture.id, "rejected", "kim", "off brand")
    problem = post_invalid(studio, MAKE_ADS, {"picture_id": picture.id, "headline": HEADLINE}, 422)
    assert "was rejected" in problem["detail"]


def test_a_picture_with_heavy_credentials_makes_the_ad_too_heavy(studio: TestClient) -> None:
    origin = Origin("another", facts={"prompt": "soft " * 40_000})
    (signed,) = create_memory_issuer().issue_pictures([png(draw_photo())], [origin])
    (ad,) = post_ok(studio, MAKE_ADS, {"picture": encode(signed), "headline": HEADLINE})["ads"]
    assert [finding["rule"] for finding in ad["findings"]] == ["file weight"]
    assert "with the credentials of its picture, expected at most 150 kB" in ad["findings"][0]["message"]


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        ({"category": "Hat"}, 422, "category"),
        ({"picture": "?"}, 422, "picture"),
        ({"picture": encode(b"\x89PNG\r\n\x1a\nhello")}, 422, "picture"),
        ({"picture": encode(png(np.zeros((1, 300), np.uint8)))}, 422, "picture"),
        ({"picture_id": f"sha256:{'0' * 64}"}, 404, "picture_id"),
        ({"category": "Bag", "headline": "\x00"}, 422, "headline"),
    ],
)
def test_requests_that_cannot_be_answered_are_refused(
    studio: TestClient, body: dict[str, object], status: int, field: str
) -> None:
    assert post_invalid(studio, MAKE_ADS, body, status)["field"] == field


def test_without_a_brand_it_says_which_setting_names_one(client: TestClient) -> None:
    assert "ADLOOM_BRAND" in post_invalid(client, MAKE_ADS, {"category": "Bag"}, 503)["detail"]


def test_a_broken_brand_stops_the_service_at_its_start(tmp_path: Path) -> None:
    from adloom.config.settings import Settings
    from adloom.errors import ConfigError

    (tmp_path / "own.yaml").write_text("nam: A")
    with pytest.raises(ConfigError, match="nam: unknown key; did you mean name"):
        server._load_brand(Settings(brand=tmp_path / "own.yaml"), "shop")
