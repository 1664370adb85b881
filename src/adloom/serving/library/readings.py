"""Read pictures of the library: their embeddings, and the category of those that have none."""

from collections.abc import Sequence

import numpy as np

from adloom.creatives.pictures import to_floats
from adloom.data.pictures import PictureFormat, decode
from adloom.library.features import DECIMALS, MAX_PIXELS, round_embedding
from adloom.library.records import Creative
from adloom.serving.models.loader import LoadedModel, PictureReader


def add_readings(
    drafts: Sequence[Creative], contents: Sequence[bytes], cnn: LoadedModel[PictureReader] | None
) -> list[Creative]:
    """Return pictures or ads with their embeddings, and pictures without a category with the most probable one."""
    if cnn is None or not drafts:
        return list(drafts)
    channels, height, _ = cnn.card.shape
    pixels = np.stack([decode(content, PictureFormat(height, channels), MAX_PIXELS) for content in contents])
    reading = cnn.model.read(to_floats(pixels.transpose(0, 3, 1, 2)))
    read = []
    for draft, embedding, probabilities in zip(drafts, reading.embedding, reading.probabilities, strict=True):
        features = {**draft.features, "embedding": round_embedding(embedding), "reader": cnn.origin.digest}
        category = draft.category
        if category is None and draft.kind == "picture":
            best = int(probabilities.argmax())
            category = cnn.card.categories[best]
            features["category_probability"] = round(float(probabilities[best]), DECIMALS)
        read.append(draft.model_copy(update={"category": category, "features": features}))
    return read
