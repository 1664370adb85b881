"""Reading pictures: what the reading endpoint answers. One bad picture is its own error, never its neighbours'."""

import base64
import binascii
from http import HTTPStatus

import numpy as np

from adloom.creatives.pictures import to_floats
from adloom.data import pictures
from adloom.data.picture_files import PictureError
from adloom.data.pictures import Form
from adloom.io.onnx import Floats
from adloom.serving.bundles import Bundle, Known, Models, PictureReader
from adloom.serving.problems import Problem
from adloom.serving.schemas import (
    MAX_PICTURE_BYTES,
    MAX_PICTURE_PIXELS,
    Neighbour,
    PictureReading,
    ReadAnswer,
    ReadRequest,
    Refused,
)

SIGNATURES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")  # PNG, JPEG: no other decoder sees a stranger's bytes


def read(asked: ReadRequest, models: Models) -> ReadAnswer:
    """Read every picture that can be read. Raises Problem when the model is not there."""
    cnn = models.cnn
    decoded = [_decoded(text, i, cnn) for i, text in enumerate(asked.pictures)]
    good = [picture for picture in decoded if not isinstance(picture, Refused)]
    readings = iter(_readings(np.stack(good), cnn, asked.nearest) if good else [])
    items = [picture if isinstance(picture, Refused) else next(readings) for picture in decoded]
    return ReadAnswer(model=cnn.origin, items=items)


def _decoded(text: str, number: int, cnn: Bundle[PictureReader]) -> Floats | Refused:
    """Return the picture (channels, height, width) in [-1, 1] at the model's size, or why not."""
    try:
        channels, height, _ = cnn.card.shape
        _, pixels = pictures.bring(_bytes(text), Form(height, channels), MAX_PICTURE_PIXELS)
    except PictureError as error:
        reason = str(error).replace("prepare.max_pixels", str(MAX_PICTURE_PIXELS))
        problem = Problem(HTTPStatus.UNPROCESSABLE_ENTITY, reason, f"pictures.{number}")
        return Refused(error=problem.body())
    return to_floats(pixels.transpose(2, 0, 1))


def _bytes(text: str) -> bytes:
    try:
        image = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise PictureError("image: not base64") from None
    if len(image) > MAX_PICTURE_BYTES:
        raise PictureError(f"image: {len(image)} bytes, expected at most {MAX_PICTURE_BYTES}")
    if not image.startswith(SIGNATURES):
        raise PictureError("image: neither PNG nor JPEG")
    return image


def _readings(batch: Floats, cnn: Bundle[PictureReader], nearest: int) -> list[PictureReading]:
    """Read pictures (batch, channels, height, width)."""
    reading = cnn.model.read(batch)
    return [
        PictureReading(
            category=cnn.card.categories[int(row.argmax())],
            probabilities=dict(zip(cnn.card.categories, row.tolist(), strict=True)),
            embedding=embedding.tolist(),
            nearest=_nearest(embedding, cnn.model.known, nearest),
        )
        for row, embedding in zip(reading.probabilities, reading.embedding, strict=True)
    ]


def _nearest(embedding: Floats, known: Known, count: int) -> list[Neighbour]:
    """Return the known creatives of highest cosine, highest first; embedding is (dimensions,), unit length."""
    similarity = known.embedding @ embedding
    count = min(count, len(similarity))
    best = np.argpartition(-similarity, count - 1)[:count] if count else np.zeros(0, np.int64)
    return [
        Neighbour(
            creative_id=str(known.creative_id[i]), category=str(known.category[i]), similarity=float(similarity[i])
        )
        for i in best[np.argsort(-similarity[best], kind="stable")]
    ]
