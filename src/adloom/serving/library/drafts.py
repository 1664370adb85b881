"""Keep what the service makes in the library, as drafts with their chain."""

import base64
from collections.abc import Sequence
from typing import Any

import numpy as np

from adloom.creatives.pictures import to_floats
from adloom.data.pictures import PictureFormat, decode
from adloom.library.features import MAX_PIXELS, describe_line, describe_picture, round_embedding
from adloom.library.records import Creative, CreativeModel, content_id, identify_draw
from adloom.serving.api.decide_schemas import ModelOrigin
from adloom.serving.api.schemas import (
    CopyAnswer,
    CopyRequest,
    DreamRequest,
    GenerateAnswer,
    GenerateRequest,
    PaintedPicture,
    StylizeRequest,
)
from adloom.serving.app import Service
from adloom.serving.library.answers import open_shared
from adloom.serving.models.loader import Models


def save_pictures(request: GenerateRequest, answer: GenerateAnswer, service: Service) -> GenerateAnswer:
    """Keep generated pictures; return the answer with their ids. Raises Problem without a library."""
    contents = [base64.b64decode(picture) for picture in answer.pictures]
    conditions: dict[str, Any] = {"mix": answer.mix, "attributes": answer.attributes}
    features = {"draw": identify_draw(answer.model.digest, answer.seed, conditions), **conditions}
    drafts = [
        describe_picture(
            content,
            category=answer.category,
            model=describe_model(answer.model),
            seed=answer.seed,
            number=number,
            features=features,
        )
        for content, number in zip(contents, answer.numbers, strict=True)
    ]
    return answer.model_copy(update={"ids": _add(add_embeddings(drafts, contents, service.models), contents, service)})


def save_painted(request: StylizeRequest | DreamRequest, answer: PaintedPicture, service: Service) -> PaintedPicture:
    """Keep a painted picture, made from the pictures of its request. Raises Problem without a library."""
    values = request.model_dump(exclude={"save"})
    parents = [
        content_id(base64.b64decode(values.pop(name))) for name in ("content", "style", "picture") if name in values
    ]
    content = base64.b64decode(answer.picture)
    draft = describe_picture(
        content,
        model=describe_model(answer.model),
        seed=values.pop("seed", None),
        parents=tuple(parents),
        features=values,
    )
    return answer.model_copy(
        update={"ids": _add(add_embeddings([draft], [content], service.models), [content], service)}
    )


def save_lines(request: CopyRequest, answer: CopyAnswer, service: Service) -> CopyAnswer:
    """Keep lines of copy. Raises Problem without a library."""
    model = describe_model(answer.model)
    drafts = [
        describe_line(line, category=answer.category, model=model, seed=answer.seed, number=number)
        for number, line in enumerate(answer.lines)
    ]
    return answer.model_copy(update={"ids": _add(drafts, [line.encode() for line in answer.lines], service)})


def add_embeddings(drafts: Sequence[Creative], contents: Sequence[bytes], models: Models) -> list[Creative]:
    """Return pictures or ads with their embeddings by the picture reader, if one is served."""
    if (cnn := models.loaded.get("cnn")) is None or not drafts:
        return list(drafts)
    channels, height, _ = cnn.card.shape
    pixels = np.stack([decode(content, PictureFormat(height, channels), MAX_PIXELS) for content in contents])
    embeddings = cnn.model.read(to_floats(pixels.transpose(0, 3, 1, 2))).embedding
    read = [{"embedding": round_embedding(embedding), "reader": cnn.origin.digest} for embedding in embeddings]
    return [
        draft.model_copy(update={"features": {**draft.features, **features}})
        for draft, features in zip(drafts, read, strict=True)
    ]


def _add(drafts: Sequence[Creative], contents: Sequence[bytes], service: Service) -> list[str]:
    with open_shared(service.dependencies.library) as library:
        return [library.add(draft, content).id for draft, content in zip(drafts, contents, strict=True)]


def describe_model(origin: ModelOrigin) -> CreativeModel:
    """Return a served model as the library records it."""
    return CreativeModel(name=origin.name, version=origin.version, digest=origin.digest)
