"""
Read pictures: decode them, run the picture reader once for many requests, and name the nearest known creatives.

A picture that cannot be decoded is an error in its place.
"""

import base64
import binascii
import re
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from itertools import islice
from typing import Any

import numpy as np
import orjson

from adloom.arrays import UInt8Array
from adloom.creatives.pictures import to_floats
from adloom.data import pictures
from adloom.data.picture_files import PictureError
from adloom.data.pictures import PictureFormat
from adloom.data.single_picture import require_single
from adloom.errors import ArtifactError
from adloom.serving.api.problems import Problem
from adloom.serving.api.schemas import MAX_PICTURE_BYTES, MAX_PICTURE_PIXELS, ReadRequest
from adloom.serving.creatives.neighbours import Neighbours, find_nearest
from adloom.serving.models.loader import LoadedModel, Models, PictureReader, ReferenceEmbeddings

DATA_URL = re.compile(r"\Adata:([^,;]*);base64,")

Item = dict[str, Any]  # of an answer, as schemas.ReadAnswer documents it: pydantic's models take several times as long


@dataclass(frozen=True)
class ReadJob:
    """A request with decoded pictures or their errors."""

    cnn: LoadedModel[PictureReader]
    items: Sequence[UInt8Array | Item]  # pixels (height, width, channels) at the model's size
    nearest: int

    @property
    def pixels(self) -> list[UInt8Array]:
        """The decoded pictures."""
        return [item for item in self.items if not isinstance(item, dict)]


def prepare(request: ReadRequest, models: Models) -> ReadJob:
    """Decode the pictures of a request. Raises Problem if there is no model."""
    cnn = models.cnn
    return ReadJob(cnn, [_decode_picture(text, i, cnn) for i, text in enumerate(request.pictures)], request.nearest)


def run(jobs: Sequence[ReadJob]) -> list[list[Item]]:
    """Read the decoded pictures of all jobs by one run of the model; return the readings of each."""
    pixels = [picture for job in jobs for picture in job.pixels]
    counts = [job.nearest for job in jobs for _ in job.pixels]
    readings = iter(_readings(np.stack(pixels), counts, jobs[0].cnn) if pixels else [])
    return [list(islice(readings, len(job.pixels))) for job in jobs]


def finish(job: ReadJob, readings: Sequence[Item]) -> bytes:
    """Return the answer as JSON, with errors in the places of pictures that could not be decoded."""
    rest = iter(readings)
    items = [item if isinstance(item, dict) else next(rest) for item in job.items]
    return orjson.dumps({"model": job.cnn.origin, "items": items})


def _decode_picture(text: str, number: int, cnn: LoadedModel[PictureReader]) -> UInt8Array | Item:
    """Return a picture's pixels, or its error."""
    try:
        channels, height, _ = cnn.card.shape
        return pictures.decode(decode_base64(text), PictureFormat(height, channels), MAX_PICTURE_PIXELS)
    except PictureError as error:
        reason = str(error).replace("prepare.max_pixels", str(MAX_PICTURE_PIXELS))
        problem = Problem(HTTPStatus.UNPROCESSABLE_ENTITY, reason, f"pictures.{number}")
        return {"error": problem.body().model_dump()}


def decode_base64(text: str) -> bytes:
    """Return the file of one picture in base64 or a data URL, which declares its type. Raises PictureError."""
    image, head = decode_file(text), DATA_URL.match(text)
    require_single(image, head[1] if head else None)
    return image


def decode_file(text: str) -> bytes:
    """Return the bytes of a file in base64 or a data URL. Raises PictureError."""
    try:
        image = base64.b64decode(DATA_URL.sub("", text, count=1), validate=True)
    except (binascii.Error, ValueError):
        raise PictureError("image: not base64") from None
    if len(image) > MAX_PICTURE_BYTES:
        raise PictureError(f"image: {len(image)} bytes, expected at most {MAX_PICTURE_BYTES}")
    return image


def _readings(batch: UInt8Array, counts: Sequence[int], cnn: LoadedModel[PictureReader]) -> list[Item]:
    """Read pixels (pictures, height, width, channels), and name as many neighbours of each as its count says."""
    reading = cnn.model.read(to_floats(batch.transpose(0, 3, 1, 2)))
    if not (np.isfinite(reading.probabilities).all() and np.isfinite(reading.embedding).all()):
        raise ArtifactError("the picture reader's output is not finite; train it again")
    categories = cnn.card.categories
    nearest = find_nearest(cnn.model.whiten(reading.embedding), cnn.model.known, counts)
    return [
        {
            "category": categories[best],
            "probabilities": dict(zip(categories, probabilities, strict=True)),
            "embedding": embedding,
            "nearest": _name(neighbours, cnn.model.known),
        }
        for best, probabilities, embedding, neighbours in zip(
            reading.probabilities.argmax(axis=1).tolist(),
            reading.probabilities.tolist(),
            reading.embedding.tolist(),
            nearest,
            strict=True,
        )
    ]


def _name(neighbours: Neighbours, known: ReferenceEmbeddings) -> list[Item]:
    return [
        {"creative_id": str(known.creative_id[i]), "category": str(known.category[i]), "similarity": similarity}
        for i, similarity in zip(neighbours.row, neighbours.similarity.tolist(), strict=True)
    ]
