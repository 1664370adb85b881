"""A model of what a creative's content, its picture and its text, adds to the score of its category."""

import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from adloom.arrays import AnyArray, Float32Array, Float64Array, Int64Array

TEXT_BUCKETS = 64  # of hashed words
LONG_TEXT = 50.0  # characters; the length of a text is stated in this unit
_WORD = re.compile(r"\w+")


@dataclass(frozen=True)
class Contents:
    """Creatives with their categories, and their features from `join_features` (creatives, features)."""

    creatives: AnyArray
    category: AnyArray
    features: Float64Array

    def __len__(self) -> int:
        return len(self.creatives)


@dataclass(frozen=True, eq=False)
class ContentModel:
    """A linear model of scores. The means make it compare creatives of one category only."""

    means: Float64Array  # (categories + 1, features) per category; the last is for an unknown one
    weights: Float64Array  # (features,)

    def score(self, category: Int64Array, features: Float64Array) -> Float64Array:
        """Return what contents (creatives, features) add to the scores of their categories (creatives,)."""
        return np.asarray((features - self.means[category]) @ self.weights)


def average_weights(weights: Sequence[Float32Array], category: Int64Array, categories: int) -> Float32Array:
    """Return the mean weights of each category's creatives; 0 without any, and for the last, an unknown one."""
    result = np.zeros((categories, sum(map(len, weights))), np.float32)
    for number in np.unique(category[category < categories - 1]).tolist() if weights else []:
        result[number] = np.concatenate([values[:, category == number].mean(1) for values in weights])
    return result


def join_features(embedding: Float64Array, texts: Sequence[str]) -> Float64Array:
    """Return features from unit-length embeddings of pictures (creatives, n) and from texts, "" for none."""
    return np.concatenate([embedding, np.array([_describe_text(text) for text in texts])], axis=1)


def _describe_text(text: str) -> Float64Array:
    """Return the length of a text, and its words hashed into buckets, of unit length."""
    words = np.zeros(TEXT_BUCKETS)
    for word in _WORD.findall(text.casefold()):
        words[zlib.crc32(word.encode("utf-8", "surrogatepass")) % TEXT_BUCKETS] += 1
    return np.append(words / max(float(np.linalg.norm(words)), 1.0), len(text) / LONG_TEXT)
