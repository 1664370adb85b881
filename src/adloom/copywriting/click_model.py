"""
A model of clicks on lines: which line of a group, such as the variants of one test, is clicked more often.

Hashed n-grams of words and characters get weights by logistic regression on pairs of one group (RankNet, Burges et al.
2005), so that what a group has in common, such as its topic or audience, cannot mislead it.
"""

import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from adloom.arrays import AnyArray, Float64Array, Int64Array

if TYPE_CHECKING:
    import pandas as pd

BUCKETS = 2**18  # of hashed features
WORDS, CHARACTERS = (1, 2), (2, 5)  # lengths of n-grams
CHARACTER_SHARE = 0.5  # norm of the characters' features; that of the words' is 1
LENGTH_STEP = 3  # words
MAX_SHIFTS = 4  # pairs of each line: with all others in groups of up to 9
PENALTIES = (1e-2, 3e-3, 1e-3, 3e-4, 1e-4, 3e-5)  # of squared weights, tried from the largest
ITERATIONS = 60
_WORD = re.compile(r"\w+|[^\w\s]")


@dataclass(frozen=True)
class ClickModel:
    """Scores lines; only differences of scores mean anything."""

    weights: Float64Array  # (BUCKETS,)

    def score(self, lines: Sequence[str]) -> Float64Array:
        """Return the score of each line (lines,): more clicks are expected of a higher one."""
        return np.array([float(self.weights[buckets] @ values) for buckets, values in map(extract_features, lines)])

    def to_arrays(self) -> dict[str, AnyArray]:
        """Return the weights that are not 0, for `load_click_model`."""
        (bucket,) = np.nonzero(self.weights)
        return {"bucket": bucket, "weight": self.weights[bucket].astype(np.float32)}


@dataclass(frozen=True)
class Pairs:
    """Pairs of lines of one group."""

    better: Int64Array  # (pairs,) numbers of lines
    worse: Int64Array  # (pairs,)
    certainty: Float64Array  # (pairs,) from 0, a toss-up, to 1


def load_click_model(path: Path) -> ClickModel | None:
    """Return the model of a file, or None when there is none."""
    if not path.exists():
        return None
    weights = np.zeros(BUCKETS)
    with np.load(path, allow_pickle=False) as arrays:
        weights[arrays["bucket"]] = arrays["weight"]
    return ClickModel(weights)


def extract_features(line: str) -> tuple[Int64Array, Float64Array]:
    """Return the buckets of a line's n-grams of words and of characters, and their values."""
    text = line.casefold()
    tokens, padded = _WORD.findall(text), f" {' '.join(text.split())} "
    words = [f"w{' '.join(tokens[i : i + n])}" for n in WORDS for i in range(len(tokens) - n + 1)]
    lowest, highest = CHARACTERS
    parts = [f"c{padded[i : i + n]}" for n in range(lowest, highest + 1) for i in range(len(padded) - n + 1)]
    length = f"l{len(tokens) // LENGTH_STEP}"
    columns = _hash([*words, length], 1.0), _hash(parts, CHARACTER_SHARE)
    buckets, values = (np.concatenate(column) for column in zip(*columns, strict=True))
    return buckets, values


def _hash(grams: Sequence[str], norm: float) -> tuple[Int64Array, Float64Array]:
    """Return the distinct buckets of n-grams, and values of this norm."""
    hashes = np.array([zlib.crc32(gram.encode("utf-8", "surrogatepass")) % BUCKETS for gram in grams], np.int64)
    buckets, counts = np.unique(hashes, return_counts=True)
    values = np.sqrt(counts)
    return buckets, norm * values / max(float(np.linalg.norm(values)), 1.0)


def rank_lines(model: ClickModel, lines: Sequence[str]) -> list[str]:
    """Return the distinct lines, those that promise the most clicks first."""
    distinct = list(dict.fromkeys(lines))
    return [distinct[i] for i in np.argsort(-model.score(distinct), kind="stable")]


def fit(train: "pd.DataFrame", validation: "pd.DataFrame") -> ClickModel | None:
    """
    Fit a model to rows with text, group, impressions and clicks; the penalty is the best on validation.

    Rows without a group form one. Return None when no two lines of a group can be compared.
    """
    if not {"group", "impressions", "clicks"} <= {*train.columns}:
        return None
    pairs, checks = list_pairs(train), list_pairs(validation)
    if not (len(pairs.better) and len(checks.better)):
        return None
    differences, validated = (_subtract(rows["text"], which) for rows, which in ((train, pairs), (validation, checks)))
    best, weights = (-np.inf, np.zeros(BUCKETS)), np.zeros(BUCKETS)
    for penalty in PENALTIES:
        weights = _fit_weights(differences, pairs.certainty, penalty, weights)
        right = float((checks.certainty * _log_sigmoid(validated @ weights)).sum())
        if right > best[0]:
            best = right, weights
    return ClickModel(best[1])


def list_pairs(rows: "pd.DataFrame") -> Pairs:
    """Return pairs of rows of one group that differ in clicks per impression; their numbers are positions."""
    clicks, impressions = (rows[name].to_numpy(np.float64, na_value=0) for name in ("clicks", "impressions"))
    groups = rows["group"].fillna("").to_numpy()
    shown = np.flatnonzero(impressions > 0)
    order = shown[np.lexsort((np.random.default_rng(0).permutation(len(shown)), groups[shown]))]
    starts = np.flatnonzero(np.r_[True, groups[order][1:] != groups[order][:-1]]) if len(order) else np.empty(0, int)
    size = np.diff(np.r_[starts, len(order)])
    first, length = np.repeat(starts, size), np.repeat(size, size)
    place = np.arange(len(order)) - first
    left, right = [], []
    for shift in range(1, MAX_SHIFTS + 1):
        ring = length >= 2 * shift
        ring &= (length > 2 * shift) | (place < shift)  # half a turn meets each pair twice
        left.append(order[ring])
        right.append(order[(first + (place + shift) % np.maximum(length, 1))[ring]])
    one, other = np.concatenate([*left, np.empty(0, int)]), np.concatenate([*right, np.empty(0, int)])
    odds = np.log((clicks + 0.5) / (impressions - clicks + 0.5))
    spread = 1 / (clicks + 0.5) + 1 / (impressions - clicks + 0.5)
    gap = odds[one] - odds[other]
    certainty = np.tanh(0.8 * np.abs(gap) / np.sqrt(spread[one] + spread[other]))  # about 2 Φ - 1
    swapped, decided = gap < 0, gap != 0
    better, worse = np.where(swapped, other, one), np.where(swapped, one, other)
    return Pairs(better[decided], worse[decided], certainty[decided])


def _subtract(texts: "pd.Series", pairs: Pairs) -> Any:
    """Return the features of the better line less those of the worse: sparse (pairs, BUCKETS)."""
    from scipy.sparse import csr_matrix

    rows = [extract_features(text) for text in texts]
    ends = np.cumsum([0, *(len(buckets) for buckets, _ in rows)])
    buckets, values = (np.concatenate(column) for column in zip(*rows, strict=True))
    features = csr_matrix((values, buckets, ends), shape=(len(rows), BUCKETS))
    return features[pairs.better] - features[pairs.worse]


def _fit_weights(differences: Any, certainty: AnyArray, penalty: float, start: Float64Array) -> Float64Array:
    """Return the weights (BUCKETS,) that rank pairs best under a penalty."""
    from scipy.optimize import minimize

    total = certainty.sum()

    def loss(weights: Float64Array) -> tuple[float, Float64Array]:
        margin = differences @ weights
        gradient = differences.T @ (-certainty * np.exp(_log_sigmoid(-margin))) / total
        value = -float((certainty * _log_sigmoid(margin)).sum()) / total
        return value + penalty * float((weights**2).sum()), gradient + 2 * penalty * weights

    weights: Float64Array = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": ITERATIONS}).x
    return weights


def _log_sigmoid(values: Float64Array) -> Float64Array:
    return -np.logaddexp(0, -values)
