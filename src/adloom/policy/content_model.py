"""A model of what a creative's content, its picture and its text, adds to the score of its category."""

import itertools
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from adloom.arrays import AnyArray, Float32Array, Float64Array, Int64Array

TEXT_BUCKETS = 1024  # of hashed words
WORDS = 0.5  # length of the vector of a text's words; a sentence, which tells more, has 1
BLOCK = 4096  # creatives scored at once, which bounds memory
LONG_TEXT = 50.0  # characters; the length of a text is stated in this unit
_WORD = re.compile(r"\w+")


@dataclass(frozen=True)
class Contents:
    """Creatives with their categories, "" if unknown, and their features from `join_features` (creatives, features)."""

    creatives: AnyArray
    category: AnyArray
    features: AnyArray
    reader: str | None = None  # digest of the reader of pictures; None without their features
    encoder: str | None = None  # digest of the encoder of sentences; None without their features

    def __len__(self) -> int:
        return len(self.creatives)


@dataclass(frozen=True, eq=False)
class ContentModel:
    """A linear model of scores. The means make it compare creatives of one category only."""

    means: Float64Array  # (categories + 1, features) per category; the last is for an unknown one
    weights: Float64Array  # (features,)

    def score(self, category: Int64Array, features: AnyArray) -> Float64Array:
        """
        Return what contents (creatives, features) add to the scores of their categories (creatives,).

        A feature that is NaN adds nothing; nor do the last ones, of sentences, where contents lack them.
        """
        known, scores = features.shape[1], np.zeros(len(features))
        for start in range(0, len(features), BLOCK):
            rows = slice(start, start + BLOCK)
            scores[rows] = np.nan_to_num(features[rows] - self.means[category[rows], :known]) @ self.weights[:known]
        return scores


def average_weights(weights: Sequence[Float32Array], category: Int64Array, categories: int) -> Float32Array:
    """Return the mean weights of each category's creatives; 0 without any, and for the last, an unknown one."""
    result = np.zeros((categories, sum(map(len, weights))), np.float32)
    for number in np.unique(category[category < categories - 1]).tolist() if weights else []:
        result[number] = np.concatenate([values[:, category == number].mean(1) for values in weights])
    return result


def join_features(pictures: AnyArray, texts: Sequence[str], sentences: Sequence[AnyArray | None] = ()) -> Float32Array:
    """
    Return features (creatives, features) of pictures, words and sentences.

    `pictures` are unit-length embeddings (creatives, n), NaN for none, `texts` are "" for none, and `sentences` their
    unit-length embeddings, None for an unknown one.
    """
    width = next((len(embedding) for embedding in sentences if embedding is not None), 0)
    start = pictures.shape[1]
    features = np.zeros((len(texts), start + TEXT_BUCKETS + 1 + width), np.float32)
    features[:, :start] = pictures
    features[:, start + TEXT_BUCKETS + 1 :] = np.nan
    for row, text, sentence in itertools.zip_longest(features, texts, sentences):
        row[start : start + TEXT_BUCKETS + 1] = _describe_text(text)
        if sentence is not None:
            row[start + TEXT_BUCKETS + 1 :] = sentence
    return features


def _describe_text(text: str) -> Float64Array:
    """Return the words of a text hashed into buckets, of length WORDS, and the length of the text."""
    words = np.zeros(TEXT_BUCKETS)
    for word in _WORD.findall(text.casefold()):
        words[zlib.crc32(word.encode("utf-8", "surrogatepass")) % TEXT_BUCKETS] += 1
    return np.append(WORDS * words / max(float(np.linalg.norm(words)), 1.0), len(text) / LONG_TEXT)
