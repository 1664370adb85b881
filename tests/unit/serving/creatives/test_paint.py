"""The endpoints that stylise pictures and dream into them."""

import base64
import io
from typing import Any

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient
from tests.support.http_client import encode, png, post_invalid, post_ok

from adloom.serving.api.schemas import DREAM, STYLIZE
from adloom.serving.models.loader import Models

RNG = np.random.default_rng(1)
PICTURE = encode(png(RNG.integers(0, 256, (30, 45, 3), np.uint8)))
RED = encode(png(np.full((20, 20, 3), (255, 0, 0), np.uint8)))
BLACK = encode(png(np.zeros((9, 9, 3), np.uint8)))


def open_picture(answer: dict[str, Any]) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(answer["picture"])))


class TestStylize:
    def test_strength_goes_from_the_content_to_the_style(self, client: TestClient) -> None:
        for strength, expected in ((0.0, (0, 0, 0)), (0.5, (128, 0, 0)), (1.0, (255, 0, 0))):
            answer = post_ok(client, STYLIZE, {"content": BLACK, "style": RED, "strength": strength, "size": 45})
            assert open_picture(answer).size == (45, 45)
            assert open_picture(answer).getpixel((4, 4)) == expected

    def test_the_result_has_the_contents_shape_and_its_origin(self, client: TestClient, models: Models) -> None:
        picture = open_picture(post_ok(client, STYLIZE, {"content": PICTURE, "style": RED, "size": 60}))
        assert (picture.size, picture.info["adloom:model"]) == ((60, 40), models.style.origin.digest)
        assert "digitalsourcetype/compositeWithTrainedAlgorithmicMedia<" in picture.info["xmp"].decode()

    @pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "P", "1", "CMYK"])
    def test_any_mode_is_painted(self, client: TestClient, mode: str) -> None:
        stream = io.BytesIO()
        Image.fromarray(RNG.integers(0, 256, (1, 1, 3), np.uint8)).convert(mode).save(
            stream, "JPEG" if mode == "CMYK" else "PNG"
        )
        answer = post_ok(client, STYLIZE, {"content": encode(stream.getvalue()), "style": RED, "size": 32})
        assert open_picture(answer).size == (32, 32)

    @pytest.mark.parametrize(
        ("field", "picture", "reason"),
        [
            ("content", "no base64!", "not base64"),
            ("style", encode(b"just text"), "neither PNG, JPEG nor WebP"),
            ("content", encode(b"GIF89a" + bytes(99)), "neither PNG, JPEG nor WebP"),
            ("style", PICTURE[:120], "truncated or damaged"),
            ("content", encode(png(np.zeros((1, 40), np.uint8))), "one side is more than 20 times the other"),
        ],
    )
    def test_anything_else_is_a_problem_with_its_field(
        self, client: TestClient, field: str, picture: str, reason: str
    ) -> None:
        problem = post_invalid(client, STYLIZE, {"content": RED, "style": RED, field: picture}, 422)
        assert problem["detail"] == f"{field}: {reason}"

    def test_a_huge_picture_is_refused_by_its_header(self, client: TestClient) -> None:
        stream = io.BytesIO()
        Image.new("1", (5000, 5000)).save(stream, "PNG")
        problem = post_invalid(client, STYLIZE, {"content": encode(stream.getvalue()), "style": RED}, 422)
        assert problem["detail"] == "content: more pixels than 16777216"

    def test_a_size_above_the_limit_is_refused(self, client: TestClient) -> None:
        assert "512" in post_invalid(client, STYLIZE, {"content": RED, "style": RED, "size": 513}, 422)["detail"]


class TestDream:
    def test_each_step_follows_the_gradient(self, client: TestClient, models: Models) -> None:
        body = {"picture": BLACK, "size": 32, "octaves": 1, "steps": 5, "layer": 10}
        picture = open_picture(post_ok(client, DREAM, body))
        assert picture.getpixel((9, 9)) == (14, 14, 14)  # 5 steps of 2 bands, 0.011 · 127.5 each
        assert (picture.info["adloom:layer"], picture.info["adloom:model"]) == ("10", models.style.origin.digest)

    def test_equal_seeds_give_equal_pixels(self, client: TestClient) -> None:
        body = {"picture": PICTURE, "size": 40, "steps": 2, "seed": 3}
        first, second = (open_picture(post_ok(client, DREAM, body)) for _ in range(2))
        assert first.tobytes() == second.tobytes()

    def test_more_work_than_one_request_may_take(self, client: TestClient) -> None:
        body = {"picture": RED, "size": 512, "octaves": 6, "steps": 20}
        problem = post_invalid(client, DREAM, body, 422)
        assert problem["detail"].startswith("steps: 20 steps of ")
        assert problem["detail"].endswith("expected at most 8000000; ask for fewer steps or a smaller size")

    def test_an_unknown_layer(self, client: TestClient) -> None:
        assert "layer" in post_invalid(client, DREAM, {"picture": RED, "layer": 11}, 422)["detail"]
