"""The endpoint that verifies: what was just issued, what was stripped, and what cannot be used."""

import base64
import io
from typing import Any

import pytest
from PIL import Image
from starlette.testclient import TestClient
from tests.support.http_client import encode, post_invalid, post_ok
from tests.support.signed_pictures import decode_picture, draw_pixels, encode_picture, flip_byte

from adloom.serving.api.credentials_schemas import VERIFY
from adloom.serving.api.schemas import GENERATE, STYLIZE, WRITE
from adloom.serving.models.loader import Models

GREY = encode(encode_picture(draw_pixels()))


@pytest.fixture(scope="module")
def picture(client: TestClient) -> bytes:
    answer = post_ok(client, GENERATE, {"category": "Bag", "seed": 5, "n": 3})
    return base64.b64decode(answer["pictures"][1])


def verify(client: TestClient, picture: bytes) -> dict[str, Any]:
    answer: dict[str, Any] = post_ok(client, VERIFY, {"picture": encode(picture)})
    return answer


def test_a_generated_picture_is_whole_and_ours(client: TestClient, models: Models, picture: bytes) -> None:
    answer = verify(client, picture)
    assert (answer["state"], answer["changed"], answer["ours"], answer["trusted_by"]) == ("whole", [], True, None)
    origin = answer["origin"]
    assert (origin["model"], origin["digest"]) == ("gan", models.gan.origin.digest)
    assert (origin["seed"], origin["number"], origin["facts"]) == (5, 1, {"category": "Bag"})
    assert (answer["ingredients"], answer["match"]) == ([], None)


def test_a_stylised_picture_names_its_ingredients(client: TestClient) -> None:
    painted = post_ok(client, STYLIZE, {"content": GREY, "style": GREY, "size": 32})["picture"]
    answer = post_ok(client, VERIFY, {"picture": painted})
    assert [used["title"] for used in answer["ingredients"]] == ["content", "style"]
    assert answer["origin"]["source_type"] == "compositeWithTrainedAlgorithmicMedia"


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_a_stripped_picture_is_found_again(client: TestClient, picture: bytes, kind: str) -> None:
    stream = io.BytesIO()
    Image.fromarray(decode_picture(picture)).save(stream, kind, lossless=True)
    answer = verify(client, stream.getvalue())
    assert (answer["state"], answer["ours"], answer["origin"]) == ("stripped", False, None)
    assert answer["match"]["origin"]["seed"] == 5
    assert answer["match"]["kind"] == {"PNG": "pixels", "WEBP": "whole"}[kind]


def test_a_picture_that_was_damaged_is_refused(client: TestClient, picture: bytes) -> None:
    damaged = flip_byte(picture, picture.index(b"IDAT") + 10)
    problem = post_invalid(client, VERIFY, {"picture": encode(damaged)}, 422)
    assert problem["detail"] == "picture: truncated or damaged"


def test_lines_verify_by_their_sidecars(client: TestClient, models: Models) -> None:
    answer = post_ok(client, WRITE, {"category": "Coats", "n": 3, "seed": 3})
    assert len(answer["sidecars"]) == len(answer["lines"])
    for number, (line, sidecar) in enumerate(zip(answer["lines"], answer["sidecars"], strict=True)):
        verified = post_ok(client, VERIFY, {"line": line, "sidecar": sidecar})
        assert (verified["state"], verified["ours"]) == ("whole", True)
        origin = verified["origin"]
        assert (origin["digest"], origin["seed"], origin["number"]) == (models.lstm.origin.digest, 3, number)
        assert origin["facts"] == {"category": "Coats"}
        changed = post_ok(client, VERIFY, {"line": f"{line}!", "sidecar": sidecar})
        assert (changed["state"], changed["changed"]) == ("changed", ["content"])


def test_a_line_without_sidecar_is_stripped(client: TestClient) -> None:
    assert post_ok(client, VERIFY, {"line": "Lovely coat"})["state"] == "stripped"


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({}, "give exactly one of picture, line and midi"),
        ({"picture": GREY, "line": "Lovely"}, "give exactly one of picture, line and midi"),
        ({"picture": GREY, "sidecar": {"protected": "a", "payload": "b", "signature": "c"}}, "sidecar: of a line"),
        ({"line": "Lovely", "sidecar": {"protected": "a"}}, "sidecar.payload: Field required"),
        ({"line": "Lovely", "sidecar": {"protected": "a" * 16_385, "payload": "", "signature": ""}}, "at most 16384"),
        ({"line": "x" * 10_001}, "at most 10000 characters"),
        ({"picture": "no base64!"}, "picture: not base64"),
        ({"picture": encode(b"GIF89a" + bytes(99))}, "picture: neither PNG, JPEG nor WebP"),
        ({"picture": encode(encode_picture(draw_pixels())[:90])}, "picture: truncated or damaged"),
        ({"picture": encode(bytes(4 * 2**20 + 1000))}, "bytes, expected at most 4194304"),
    ],
)
def test_a_bad_request_is_told_what_is_expected(client: TestClient, body: object, reason: str) -> None:
    assert reason in post_invalid(client, VERIFY, body, 422)["detail"]


def test_a_huge_picture_is_refused_by_its_header(client: TestClient) -> None:
    stream = io.BytesIO()
    Image.new("1", (5000, 5000)).save(stream, "PNG")
    problem = post_invalid(client, VERIFY, {"picture": encode(stream.getvalue())}, 422)
    assert problem["detail"] == "picture: more pixels than 16777216"
