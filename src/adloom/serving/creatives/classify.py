"""Reading pictures: what the reading endpoint answers. One bad picture is its own error, never its neighbours'."""

import base64
import binascii
from http import HTTPStatus

import numpy as np

from adloom.arrays import Float32Array
from adloom.creatives.pictures import to_floats
from adloom.data import pictures
from adloom.data.picture_files import PictureError
from adloom.data.pictures import Form
from adloom.serving.api.problems import Problem
from adloom.serving.api.schemas import (
    MAX_PICTURE_BYTES,
    MAX_PICTURE_PIXELS,
    ItemError,
    Neighbour,
    PictureReading,
    ReadAnswer,
    ReadRequest,
)
from adloom.serving.models.loader import LoadedModel, Models, PictureReader, ReferenceEmbeddings

SIGNATURES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")  # PNG, JPEG: no other decoder sees a stranger's bytes
GROUP = 128  # known creatives of which the most similar one is looked for first


def read(asked: ReadRequest, models: Models) -> ReadAnswer:
    """Read every picture that can be read. Raises Problem when the model is not there."""
    cnn = models.cnn
    decoded = [_decoded(text, i, cnn) for i, text in enumerate(asked.pictures)]
    good = [picture for picture in decoded if not isinstance(picture, ItemError)]
    readings = iter(_readings(np.stack(good), cnn, asked.nearest) if good else [])
    items = [picture if isinstance(picture, ItemError) else next(readings) for picture in decoded]
    return ReadAnswer(model=cnn.origin, items=items)


def _decoded(text: str, number: int, cnn: LoadedModel[PictureReader]) -> Float32Array | ItemError:
    """Return the picture (channels, height, width) in [-1, 1] at the model's size, or why not."""
    try:
        channels, height, _ = cnn.card.shape
        _, pixels = pictures.bring(_bytes(text), Form(height, channels), MAX_PICTURE_PIXELS)
    except PictureError as error:
        reason = str(error).replace("prepare.max_pixels", str(MAX_PICTURE_PIXELS))
        problem = Problem(HTTPStatus.UNPROCESSABLE_ENTITY, reason, f"pictures.{number}")
        return ItemError(error=problem.body())
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


def _readings(batch: Float32Array, cnn: LoadedModel[PictureReader], nearest: int) -> list[PictureReading]:
    """Read pictures (batch, channels, height, width) and compare all of them with the known creatives at once."""
    reading = cnn.model.read(batch)
    neighbours = _nearest(reading.embedding, cnn.model.known, nearest) if nearest else [[] for _ in batch]
    return [
        PictureReading(
            category=cnn.card.categories[int(row.argmax())],
            probabilities=dict(zip(cnn.card.categories, row.tolist(), strict=True)),
            embedding=embedding.tolist(),
            nearest=near,
        )
        for row, embedding, near in zip(reading.probabilities, reading.embedding, neighbours, strict=True)
    ]


def _nearest(embeddings: Float32Array, known: ReferenceEmbeddings, count: int) -> list[list[Neighbour]]:
    """Return the known creatives of highest cosine, highest first, for embeddings (batch, dimensions)."""
    return [_neighbours(row, known, count) for row in embeddings @ known.embedding.T]


def _neighbours(similarity: Float32Array, known: ReferenceEmbeddings, count: int) -> list[Neighbour]:
    """Name the known creatives of highest similarity (creatives,), highest first; of equals the first known one."""
    if not len(similarity):
        return []
    highest = np.maximum.reduceat(similarity, np.arange(0, len(similarity), GROUP))
    groups = np.sort(np.argsort(-highest, kind="stable")[:count])  # the best are in the groups that have the best
    near = (groups[:, None] * GROUP + np.arange(GROUP)).ravel()
    near = near[near < len(similarity)]
    best = near[np.argsort(-similarity[near], kind="stable")[:count]]
    return [
        Neighbour(
            creative_id=str(known.creative_id[i]), category=str(known.category[i]), similarity=float(similarity[i])
        )
        for i in best
    ]
