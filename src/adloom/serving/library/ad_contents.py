"""The contents of approved ads, from which a policy scores those without history."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from adloom.policy.content_model import Contents, join_features
from adloom.serving.models.card import ModelCard

if TYPE_CHECKING:
    from adloom.library.library import ApprovedAd

AdContents = Mapping[tuple[str | None, str | None], Contents]  # by the reader of pictures and the encoder of texts


def describe_contents(ads: Sequence["ApprovedAd"]) -> AdContents:
    """Return the ads that each reader has read and, under no reader, those with a text."""
    readers, encoders = ({ad.features.get(name) for ad in ads} | {None} for name in ("reader", "text_encoder"))
    described = {}
    for reader in readers:
        read = [ad for ad in ads if (ad.features.get("reader") == reader if reader else ad.text)]
        pictures = np.array([ad.features["embedding"] if reader else () for ad in read])
        for encoder in encoders if read else ():
            sentences = [
                ad.features["text_embedding"] if encoder and ad.features.get("text_encoder") == encoder else None
                for ad in read
            ]
            described[reader, encoder] = Contents(
                np.array([ad.id for ad in read]),
                np.array([ad.category or "" for ad in read]),
                join_features(pictures, [ad.text or "" for ad in read], sentences),
                encoder,
            )
    return described


def find_contents(contents: AdContents, card: ModelCard) -> Contents | None:
    """Return the contents as a policy was trained on them; without sentences, if no text has been encoded."""
    return contents.get((card.reader, card.text_encoder)) or contents.get((card.reader, None))
