"""Requests to a service in process, and pictures to send."""

import base64
import io
import json
from typing import Any

import numpy as np
from PIL import Image
from starlette.testclient import TestClient
from tests.support.tiny_models import EDGE

from adloom.arrays import UInt8Array

PROBLEM = "application/problem+json"


def post_ok(client: TestClient, path: str, body: object) -> Any:
    response = client.post(path, json=body)
    assert response.status_code == 200, response.text
    return response.json()


def post_invalid(client: TestClient, path: str, body: object, status: int) -> dict[str, Any]:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    response = client.post(path, content=content, headers={"Content-Type": "application/json"})
    assert (response.status_code, response.headers["content-type"]) == (status, PROBLEM), response.text
    problem: dict[str, Any] = response.json()
    assert problem["status"] == status
    return problem


def png(pixels: UInt8Array, kind: str = "PNG") -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, kind)
    return stream.getvalue()


def encode(image: bytes) -> str:
    return base64.b64encode(image).decode()


DARK = png(np.zeros((EDGE, EDGE), np.uint8))


LIGHT = png(np.full((EDGE, EDGE), 255, np.uint8))


def drop_signatures(answer: dict[str, Any]) -> dict[str, Any]:
    """Return an answer with the pixels of its pictures and without sidecars; signatures differ each time."""
    images = [Image.open(io.BytesIO(base64.b64decode(picture))) for picture in answer.get("pictures", ())]
    return {**answer, "pictures": [np.asarray(image).tolist() for image in images], "sidecars": None}
