"""The features of users and creatives as the champions see them: purchases, segments, categories, embeddings."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from adloom.arrays import AnyArray, Float64Array, StrArray
from adloom.audience.segmenter import FEATURES
from adloom.drift.features import Feature, FeatureSample, Kind


@dataclass(frozen=True)
class UserFeatures:
    """The users of a period who bought."""

    ids: pd.Series
    features: Float64Array  # (users, FEATURES)
    segment: StrArray | None  # (users,) by the champion; None without one


@dataclass(frozen=True)
class CreativeFeatures:
    """The creatives of a period."""

    category: AnyArray  # (creatives,) of the table
    predicted: AnyArray  # (creatives,) of the reader
    embedding: AnyArray  # (creatives, dimensions)


def build_user_features(reference: UserFeatures, current: UserFeatures) -> list[Feature]:
    """Return the purchase features of users, and their segments."""
    values: dict[str, tuple[Kind, AnyArray, AnyArray]] = {
        name: ("feature", reference.features[:, i], current.features[:, i]) for i, name in enumerate(FEATURES)
    }
    if reference.segment is not None and current.segment is not None:
        values["segment"] = ("segments", reference.segment, current.segment)
    old, new = (pd.util.hash_array(users.ids.astype("str").to_numpy(object)) for users in (reference, current))
    return _pair("events", values, old, new)


def build_creative_features(reference: CreativeFeatures, current: CreativeFeatures) -> list[Feature]:
    """Return the categories of creatives, and what the reader sees in them."""
    values: Mapping[str, tuple[Kind, AnyArray, AnyArray]] = {
        "category": ("feature", reference.category, current.category),
        "predicted category": ("prediction", reference.predicted, current.predicted),
        "embedding": ("feature", reference.embedding, current.embedding),
    }
    old, new = np.split(np.arange(len(reference.category) + len(current.category)), [len(reference.category)])
    return _pair("creatives", values, old, new)


def _pair(
    table: str, values: Mapping[str, tuple[Kind, AnyArray, AnyArray]], reference: AnyArray, current: AnyArray
) -> list[Feature]:
    """Return the features of values by name; `reference` and `current` have the user of each row."""
    old, new = (FeatureSample(rows, rows, np.ones(len(rows))) for rows in (reference, current))
    return [
        Feature(table, name, kind, old.with_values(before), new.with_values(after))
        for name, (kind, before, after) in values.items()
    ]
