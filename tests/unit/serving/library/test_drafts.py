"""`save` keeps answers in the library, and rejected pictures are never drawn again."""

import base64
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient
from tests.support.http_client import DARK, LIGHT, encode, post_invalid, post_ok
from tests.support.tiny_models import DIMENSIONS

from adloom.data.pictures import PictureFormat, decode
from adloom.library.features import describe_picture
from adloom.library.library import Library
from adloom.library.records import CreativeQuery, content_id
from adloom.serving import server
from adloom.serving.api.library_schemas import REVIEW
from adloom.serving.api.schemas import DREAM, GENERATE, STYLIZE, WRITE
from adloom.serving.app import ServiceDependencies
from adloom.serving.library.shared_library import SharedLibrary
from adloom.serving.models.loader import Models
from adloom.serving.segments import PseudonymKeys

BAGS = {"category": "Bag", "n": 3, "seed": 5}


@pytest.fixture
def client(models: Models, library: Library) -> Iterator[TestClient]:
    dependencies = ServiceDependencies(PseudonymKeys(None), library=SharedLibrary(lambda: library))
    with TestClient(server.create_named_app("creatives", models, dependencies)) as client:
        yield client


def read_pixels(answer: Any) -> list[bytes]:
    """Return the pixels of the pictures; the signatures of two answers differ."""
    return [decode(base64.b64decode(picture), PictureFormat(28, 1), 10**6).tobytes() for picture in answer["pictures"]]


def test_generated_pictures_are_kept_with_their_chain(client: TestClient, library: Library, models: Models) -> None:
    answer = post_ok(client, GENERATE, BAGS | {"save": True})
    kept = [library.get(creative_id) for creative_id in answer["ids"]]
    contents = [base64.b64decode(picture) for picture in answer["pictures"]]
    assert [library.read(creative.id) for creative in kept] == contents
    assert [(c.kind, c.state, c.category, c.seed, c.number) for c in kept] == [
        ("picture", "draft", "Bag", 5, number) for number in range(3)
    ]
    assert kept[0].model is not None
    assert kept[0].model.digest == models.gan.origin.digest
    embedding = kept[0].features["embedding"]
    assert isinstance(embedding, list)
    assert len(embedding) == DIMENSIONS
    assert kept[0].features["mix"] == {"Bag": 1.0}


def test_nothing_is_kept_without_save(client: TestClient, library: Library) -> None:
    assert post_ok(client, GENERATE, BAGS)["ids"] == []
    assert post_ok(client, WRITE, {"seed": 1})["ids"] == []
    assert library.count_records() == (0, 0)


def test_painted_pictures_have_their_pictures_as_parents(client: TestClient, library: Library) -> None:
    body = {"content": encode(DARK), "style": encode(LIGHT), "size": 32, "save": True}
    (painted,) = (library.get(creative_id) for creative_id in post_ok(client, STYLIZE, body)["ids"])
    assert painted.parents == (content_id(DARK), content_id(LIGHT))
    assert (painted.features["strength"], painted.model and painted.model.name) == (1.0, "style")
    body = {"picture": encode(DARK), "size": 32, "layer": 1, "octaves": 1, "steps": 1, "save": True}
    (dreamt,) = (library.get(creative_id) for creative_id in post_ok(client, DREAM, body)["ids"])
    assert (dreamt.parents, dreamt.seed, dreamt.features["layer"]) == ((content_id(DARK),), 7, 1)


def test_a_painted_picture_has_the_category_of_its_content(client: TestClient, library: Library) -> None:
    body = {"content": f"data:image/png;base64,{encode(LIGHT)}", "style": encode(DARK), "size": 32, "save": True}
    read = library.get(post_ok(client, STYLIZE, body)["ids"][0])
    assert (read.parents[0], read.category) == (content_id(LIGHT), "Coat")
    assert read.features["category_probability"] == pytest.approx(1, abs=1e-4)
    library.add(describe_picture(LIGHT, category="Boot"), LIGHT)
    inherited = library.get(post_ok(client, STYLIZE, body)["ids"][0])
    assert inherited.category == "Boot"
    assert "category_probability" not in inherited.features


def test_lines_are_kept(client: TestClient, library: Library) -> None:
    answer = post_ok(client, WRITE, {"n": 2, "seed": 1, "save": True})
    kept = [library.get(creative_id) for creative_id in answer["ids"]]
    assert [creative.text for creative in kept] == answer["lines"]
    assert all(creative.features["characters"] == len(creative.text or "") for creative in kept)
    assert len(library.find(CreativeQuery(kind="line"))) == len(set(answer["lines"]))


def test_a_rejected_picture_is_never_drawn_again(client: TestClient) -> None:
    first = post_ok(client, GENERATE, BAGS | {"save": True})
    post_ok(client, REVIEW, {"id": first["ids"][1], "state": "rejected", "reason": "two handles"})
    second = post_ok(client, GENERATE, BAGS)
    assert second["numbers"] == [0, 2, 3]
    one, other = (read_pixels(answer) for answer in (first, second))
    assert other[:2] == [one[0], one[2]]
    assert other[2] not in one
    assert post_ok(client, GENERATE, BAGS | {"seed": 6})["numbers"] == [0, 1, 2]
    post_ok(client, REVIEW, {"id": first["ids"][1], "state": "approved", "reason": "the client likes it"})
    assert read_pixels(post_ok(client, GENERATE, BAGS)) == one


def test_save_without_a_library(models: Models) -> None:
    client = TestClient(server.create_named_app("creatives", models, ServiceDependencies(PseudonymKeys(None))))
    for path, body in {GENERATE: BAGS, WRITE: {}}.items():
        assert "no creative library here" in post_invalid(client, path, body | {"save": True}, 503)["detail"]
