"""The contents of approved ads and lines, from which a policy scores those without history."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from adloom.arrays import Float32Array
from adloom.policy.content_model import Contents, join_features
from adloom.serving.models.card import ModelCard

if TYPE_CHECKING:
    from adloom.library.library import ApprovedCreative

EMBEDDINGS = {"reader": "embedding", "text_encoder": "text_embedding"}  # digest of a model: its feature


class AdContents:
    """What approved ads and lines show and say; each policy describes them by its own reader and encoder."""

    def __init__(self, creatives: Sequence["ApprovedCreative"] = ()) -> None:
        self._creatives = [creative._replace(features=_compress(creative.features)) for creative in creatives]

    def describe(self, card: ModelCard) -> Contents | None:
        """
        Return the contents as a policy was trained on them; None if its reader has read none of them.

        Creatives without a text that it has not read are left out.
        """
        used = [c for c in self._creatives if c.text or (card.reader and c.features.get("reader") == card.reader)]
        pictures, sentences = (
            [c.features[embedding] if digest and c.features.get(model) == digest else None for c in used]
            for (model, embedding), digest in zip(EMBEDDINGS.items(), (card.reader, card.text_encoder), strict=True)
        )
        width = next((len(picture) for picture in pictures if picture is not None), 0)
        if card.reader and not width:
            return None
        return Contents(
            np.array([c.id for c in used], np.str_),
            np.array([c.category or "" for c in used], np.str_),
            join_features(_stack(pictures, width), [c.text or "" for c in used], sentences),
        )


def _compress(features: Mapping[str, Any]) -> dict[str, Any]:
    """Return the embeddings as arrays, and the digests of their models."""
    models = {name: features[name] for name in EMBEDDINGS if name in features}
    return models | {EMBEDDINGS[name]: np.array(features[EMBEDDINGS[name]], np.float32) for name in models}


def _stack(pictures: Sequence[Float32Array | None], width: int) -> Float32Array:
    """Return the embeddings of pictures (creatives, width), NaN without one."""
    stacked = np.full((len(pictures), width), np.nan, np.float32)
    for row, picture in zip(stacked, pictures, strict=True):
        if picture is not None:
            row[:] = picture
    return stacked
