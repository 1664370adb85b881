"""Keep what the service makes in the library, as drafts with their chain."""

import base64
from collections.abc import Sequence
from typing import Any

from adloom.library.features import describe_line, describe_picture
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
from adloom.serving.creatives.classify import decode_file
from adloom.serving.library.answers import open_shared
from adloom.serving.library.readings import add_readings


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
    return answer.model_copy(update={"ids": _add(_read(drafts, contents, service), contents, service)})


def save_painted(request: StylizeRequest | DreamRequest, answer: PaintedPicture, service: Service) -> PaintedPicture:
    """Keep a painted picture, made from the pictures of its request. Raises Problem without a library."""
    values = request.model_dump(exclude={"save"})
    files = [decode_file(values.pop(name)) for name in ("content", "style", "picture") if name in values]
    content = base64.b64decode(answer.picture)
    draft = describe_picture(
        content,
        model=describe_model(answer.model),
        seed=values.pop("seed", None),
        parents=tuple(map(content_id, files)),
        features=values,
    )
    draft = draft.model_copy(update=_find_category(draft, files[0], service))
    return answer.model_copy(update={"ids": _add(_read([draft], [content], service), [content], service)})


def _find_category(painted: Creative, content: bytes, service: Service) -> dict[str, Any]:
    """Return the category of the picture that was painted over: that in the library, else the reader's."""
    with open_shared(service.dependencies.library) as library:
        original = next((c for c in library.find_ancestors(painted) if c.id == painted.parents[0]), None)
    if original is None or original.category is None:
        (original,) = _read([describe_picture(content)], [content], service)
    probability = {name: value for name, value in original.features.items() if name == "category_probability"}
    return {"category": original.category, "features": {**painted.features, **probability}}


def save_lines(request: CopyRequest, answer: CopyAnswer, service: Service) -> CopyAnswer:
    """Keep lines of copy. Raises Problem without a library."""
    model = describe_model(answer.model)
    drafts = [
        describe_line(line, category=answer.category, model=model, seed=answer.seed, number=number)
        for number, line in enumerate(answer.lines)
    ]
    return answer.model_copy(update={"ids": _add(drafts, [line.encode() for line in answer.lines], service)})


def _read(drafts: Sequence[Creative], contents: Sequence[bytes], service: Service) -> list[Creative]:
    return add_readings(drafts, contents, service.models.loaded.get("cnn"))


def _add(drafts: Sequence[Creative], contents: Sequence[bytes], service: Service) -> list[str]:
    with open_shared(service.dependencies.library) as library:
        return [library.add(draft, content).id for draft, content in zip(drafts, contents, strict=True)]


def describe_model(origin: ModelOrigin) -> CreativeModel:
    """Return a served model as the library records it."""
    return CreativeModel(name=origin.name, version=origin.version, digest=origin.digest)
