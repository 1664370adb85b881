"""What the client gets when a model fails while it serves."""

import struct
import zlib
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient
from tests.support.http_client import DARK, LIGHT, encode, png, post_invalid, post_ok
from tests.support.odd_pictures import BROKEN, GOOD
from tests.support.slow_pictures import REFUSED
from tests.support.tiny_models import CATEGORIES, DIMENSIONS

from adloom.errors import UnavailableError
from adloom.serving import server
from adloom.serving.api.schemas import DREAM, GENERATE, MAX_PICTURE_BYTES, READ, STYLIZE
from adloom.serving.app import ServiceDependencies
from adloom.serving.models.loader import Models
from adloom.serving.segments import PseudonymKeys

GREY = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNoAAAAggCBd81ytgAAAABJRU5ErkJggg=="  # a PNG
REQUESTS: dict[str, dict[str, Any]] = {GENERATE: {"category": "Bag"}, READ: {"pictures": [GREY]}}


def with_models(models: Models, run: Any) -> Models:
    """Return models that draw and read with a function."""

    class Generator:
        latent = models.gan.model.latent

        def __call__(self, *inputs: Any) -> Any:
            return run(*inputs)

    generator: Any = Generator()
    gan = replace(models.gan, model=generator)
    cnn = replace(models.cnn, model=replace(models.cnn.model, read=run))
    return Models({"gan": gan, "cnn": cnn}, {})


@pytest.mark.parametrize("path", REQUESTS)
@pytest.mark.parametrize(("error", "status"), [(UnavailableError("stopped after 10 s"), 503), (RuntimeError(), 500)])
def test_the_client_is_told_that_a_model_failed(models: Models, path: str, error: Exception, status: int) -> None:
    def fail(*inputs: Any) -> Any:
        raise error

    app = server.create_named_app("creatives", with_models(models, fail), ServiceDependencies(PseudonymKeys(None)))
    with TestClient(app, raise_server_exceptions=False) as client:
        response = client.post(path, json=REQUESTS[path])
    assert (response.status_code, response.headers["content-type"]) == (status, "application/problem+json")
    assert ("stopped after 10 s" in response.json()["detail"]) == (status == 503)


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


BOMB = DARK[:8] + chunk(b"IHDR", struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)) + DARK[33:]


class TestReadOverHttp:
    def test_reads_and_names_neighbours(self, client: TestClient) -> None:
        items = post_ok(client, READ, {"pictures": [encode(DARK), encode(LIGHT)], "nearest": 2})["items"]
        assert [item["category"] for item in items] == ["Bag", "Coat"]  # the tiny reader goes by lightness
        for item in items:
            assert list(item["probabilities"]) == CATEGORIES
            assert sum(item["probabilities"].values()) == pytest.approx(1, abs=1e-6)
            assert np.linalg.norm(item["embedding"]) == pytest.approx(1, abs=1e-6)
            best = int(np.argmax(item["embedding"]))  # known creative i is the i-th axis
            assert item["nearest"][0]["creative_id"] == f"creative-{best}"
            assert item["nearest"][0]["similarity"] == pytest.approx(item["embedding"][best], abs=1e-6)
            assert item["nearest"][0]["similarity"] >= item["nearest"][1]["similarity"]

    def test_other_sizes_colours_and_jpeg_are_brought_to_the_models_size(self, client: TestClient) -> None:
        light = np.full((100, 40, 3), 255, np.uint8)
        items = post_ok(client, READ, {"pictures": [encode(png(light)), encode(png(light, "JPEG"))]})["items"]
        assert [item["category"] for item in items] == ["Coat", "Coat"]

    def test_no_neighbours_asked(self, client: TestClient) -> None:
        assert post_ok(client, READ, {"pictures": [encode(DARK)], "nearest": 0})["items"][0]["nearest"] == []
        assert (
            len(post_ok(client, READ, {"pictures": [encode(DARK)], "nearest": 20})["items"][0]["nearest"]) == DIMENSIONS
        )

    @pytest.mark.parametrize(
        ("bad", "said"),
        [
            ("not base64!", "not base64"),
            ("", "neither PNG, JPEG nor WebP"),
            (encode(DARK[:50]), "truncated or damaged"),
            (encode(DARK[:20]), "truncated or damaged"),
            (encode(BOMB), "more pixels than 16777216"),
            (encode(b"GIF89a" + bytes(50)), "neither PNG, JPEG nor WebP"),
            (encode(b"\xff\xd8\xff" + bytes(50)), "image: "),
            (encode(DARK[:8] + bytes(MAX_PICTURE_BYTES)), "expected at most 4194304"),
            ("é", "not base64"),
        ],
    )
    def test_one_bad_picture_is_its_own_error(self, client: TestClient, bad: str, said: str) -> None:
        alone = post_ok(client, READ, {"pictures": [encode(DARK)]})["items"][0]
        items = post_ok(client, READ, {"pictures": [encode(DARK), bad, encode(DARK)]})["items"]
        assert items[0] == items[2] == alone
        assert said in items[1]["error"]["detail"]
        assert items[1]["error"]["field"] == "pictures.1"
        assert items[1]["error"]["status"] == 422

    @pytest.mark.parametrize("name", GOOD)
    def test_odd_pictures_are_read_as_a_person_sees_them(self, client: TestClient, name: str) -> None:
        image, is_light = GOOD[name]
        [item] = post_ok(client, READ, {"pictures": [encode(image)]})["items"]
        assert item["category"] == ("Coat" if is_light else "Bag")

    @pytest.mark.parametrize("name", BROKEN)
    def test_broken_pictures_are_refused(self, client: TestClient, name: str) -> None:
        image, reason = BROKEN[name]
        for path, body in {
            READ: {"pictures": [encode(image)]},
            STYLIZE: {"content": encode(image), "style": encode(DARK)},
            DREAM: {"picture": encode(image)},
        }.items():
            if path == READ:
                problem = post_ok(client, path, body)["items"][0]["error"]
            else:
                problem = post_invalid(client, path, body, 422)
            assert problem["status"] == 422
            assert reason in problem["detail"]

    def test_a_data_url_declares_the_type(self, client: TestClient) -> None:
        pictures = [f"data:image/png;base64,{encode(DARK)}", f"data:image/webp;base64,{encode(DARK)}"]
        read, wrong = post_ok(client, READ, {"pictures": pictures})["items"]
        assert read["category"] == "Bag"
        assert wrong["error"]["detail"] == "image: declared as image/webp, but it is a PNG"

    @pytest.mark.slow
    @pytest.mark.parametrize("name", ["scans", "segments", "chunks", "empty blocks", "transparent"])
    def test_a_slow_picture_is_its_own_error(self, client: TestClient, name: str) -> None:
        make, reason = REFUSED[name]
        items = post_ok(client, READ, {"pictures": [encode(DARK), encode(make()), encode(LIGHT)]})["items"]
        assert reason in items[1]["error"]["detail"]
        assert items[1]["error"]["field"] == "pictures.1"
        assert [reading["category"] for reading in (items[0], items[2])] == ["Bag", "Coat"]

    def test_only_bad_pictures(self, client: TestClient) -> None:
        items = post_ok(client, READ, {"pictures": ["!", "!"]})["items"]
        assert [item["error"]["field"] for item in items] == ["pictures.0", "pictures.1"]

    @pytest.mark.slow
    @settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(place=st.integers(0, len(DARK) - 1), byte=st.integers(0, 255), cut=st.integers(0, len(DARK)))
    def test_damaged_pictures_are_read_or_refused(self, client: TestClient, place: int, byte: int, cut: int) -> None:
        damaged = bytearray(DARK)
        damaged[place] = byte
        items = post_ok(client, READ, {"pictures": [encode(bytes(damaged[:cut])), encode(DARK)]})["items"]
        assert items[0].keys() in ({"error"}, items[1].keys())
        assert items[1]["category"] == "Bag"

    @pytest.mark.parametrize(
        ("body", "field"),
        [
            ({"pictures": []}, "pictures"),
            ({"pictures": [""] * 17}, "pictures"),
            ({"pictures": "x"}, "pictures"),
            ({"pictures": [1]}, "pictures.0"),
            ({"pictures": [""], "nearest": 21}, "nearest"),
        ],
    )
    def test_bad_fields_are_named(self, client: TestClient, body: object, field: str) -> None:
        assert post_invalid(client, READ, body, 422)["field"] == field
