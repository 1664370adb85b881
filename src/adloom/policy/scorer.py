"""
A policy is arrays: a score for every creative in a context, and a probability for every candidate. This is what serving
loads, and it needs NumPy alone.

Uniform, the logging policy, smoothed click rates and a contextual linear model are all such arrays.
"""

import itertools
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np

from adloom.arrays import AnyArray, Float32Array, Float64Array, Int64Array, StrArray
from adloom.audience.arrays import read_arrays
from adloom.config.models import TableSignature
from adloom.errors import ArtifactError
from adloom.storage import npz

Context = Mapping[str, str | None]  # column: value, as the impressions have them: placement, segment, position, ctx_*

SEPARATOR = "\x1f"  # joins the values of a feature of several columns, and the names of the columns
LAST_HASH = np.iinfo(np.int64).max  # hash, after which none comes
MAX_CONTEXTS = 10_000  # of which a policy remembers what it looks up for them
MIN_PROBABILITY = 1e-300  # of a candidate whose softmax underflows: it can still be drawn last, and divided by

_ARRAYS = ("creatives", "category", "categories", "bias", "features", "prior", "temperature", "floor")


@dataclass(frozen=True, eq=False)
class Policy:
    """
    Scores creatives in a context: `bias` plus, for each feature, the weights of the row that the context is in.

    A feature is a tuple of context columns; its value is that of the columns, joined by SEPARATOR, where nothing stands
    for what is missing. `weights[f]` has a row for each of `values[f]`, after row 0 for any other. A creative that is
    not among `creatives` has no history: its score is its category's `prior`, whose last is for a category not known.
    Raises ArtifactError when the arrays do not fit each other.
    """

    creatives: tuple[str, ...]
    category: Int64Array  # (creatives,), index into categories, or their number: none known
    categories: tuple[str, ...]
    bias: Float32Array  # (creatives,)
    features: tuple[tuple[str, ...], ...]
    values: tuple[tuple[str, ...], ...]  # of each feature
    weights: tuple[Float32Array, ...]  # of each feature (values + 1, creatives)
    prior: Float32Array  # (categories + 1,)
    temperature: float = 1.0
    floor: float = 0.0  # least probability of a candidate

    def __post_init__(self) -> None:
        self._check()

    @cached_property
    def scorer(self) -> "Scorer":
        """What scores the candidates of one request."""
        return Scorer(self)

    def probabilities(
        self, context: Context, candidates: Sequence[str], categories: Mapping[str, str] | None = None
    ) -> list[float]:
        """
        Return the probability of each candidate (candidates,): at least `floor`, or uniform where that is too much.

        `categories` may name those of candidates that the policy does not know.
        """
        found: list[float] = self.scorer.probabilities([ScoringRequest(context, candidates, categories or {})])[
            0
        ].tolist()
        return found

    def save(self, path: Path) -> None:
        """Write an npz without pickle."""
        pieces: dict[str, AnyArray] = {f"values_{i}": _to_str_array(values) for i, values in enumerate(self.values)}
        pieces |= {f"weights_{i}": weights for i, weights in enumerate(self.weights)}
        npz.save(
            path,
            creatives=_to_str_array(self.creatives),
            category=self.category.astype(np.int32),
            categories=_to_str_array(self.categories),
            bias=self.bias,
            features=_to_str_array([SEPARATOR.join(columns) for columns in self.features]),
            prior=self.prior.astype(np.float32),
            temperature=np.float64(self.temperature),
            floor=np.float64(self.floor),
            **pieces,
        )

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote. Raises ArtifactError when the file is not such a policy."""
        creatives, category, categories, bias, features, prior, temperature, floor = read_arrays(path, _ARRAYS)
        count = len(features)
        pieces = read_arrays(path, [f"{kind}_{i}" for kind in ("values", "weights") for i in range(count)])
        try:
            return cls(
                creatives=tuple(str(creative) for creative in creatives),  # not at once: other threads get their turn
                category=category.astype(np.int64),
                categories=tuple(categories.tolist()),
                bias=bias,
                features=tuple(tuple(str(names).split(SEPARATOR)) for names in features),
                values=tuple(tuple(values.tolist()) for values in pieces[:count]),
                weights=tuple(pieces[count:]),
                prior=prior,
                temperature=float(temperature),
                floor=float(floor),
            )
        except (ArtifactError, TypeError, ValueError) as error:
            raise ArtifactError(f"{path}: {error}; make or fetch the policy again") from None

    def _check(self) -> None:
        count, known = len(self.creatives), len(self.categories)
        shapes: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
            "category": (self.category.shape, (count,)),
            "bias": (self.bias.shape, (count,)),
            "prior": (self.prior.shape, (known + 1,)),
            "values": ((len(self.values),), (len(self.features),)),
            "weights": ((len(self.weights),), (len(self.features),)),
        }
        for columns, values, weights in zip(self.features, self.values, self.weights, strict=False):
            shapes[f"weights of {' x '.join(columns)}"] = weights.shape, (len(values) + 1, count)
        for name, (found, expected) in shapes.items():
            if found != expected:
                raise ArtifactError(f"policy: {name}: {found}, expected {expected}")
        if count and not 0 <= self.category.min() <= self.category.max() <= known:
            raise ArtifactError(f"policy: category: not all in [0, {known}]")
        if (distinct := len(set(self.creatives))) != count:
            raise ArtifactError(f"policy: {count} creatives, {distinct} of them different")
        if not all(np.isfinite(numbers).all() for numbers in (self.bias, self.prior, *self.weights)):
            raise ArtifactError("policy: not all of its scores are finite")
        if not (0 < self.temperature < np.inf and 0 <= self.floor <= 1):
            raise ArtifactError(
                f"policy: temperature {self.temperature}, floor {self.floor}; expected > 0, and in [0, 1]"
            )


class ScoringRequest(NamedTuple):
    """Who may be shown in a context."""

    context: Context
    candidates: Sequence[str]
    categories: Mapping[str, str] = {}  # of candidates that the policy may not know


class _FeatureIndex(NamedTuple):
    """The numbers of a creative that belong to a feature."""

    columns: tuple[str, ...]  # of the context
    places: dict[str, int]  # of each known value's number
    unknown: int  # place of the number of values that are not known


class Scorer:
    """
    A policy made ready for requests; it needs none of the policy's arrays any more.

    All numbers of a creative lie in one row, and the rows in the order of the creatives' hashes, so that fifty
    candidates are found at once: one by one, each look into a table of a hundred thousand would wait for memory. Two
    creatives share a hash of 64 bits, whose secret is the process's, once in some billion policies of that size.
    """

    def __init__(self, policy: Policy) -> None:
        self._temperature, self._floor = policy.temperature, policy.floor
        count, sizes = len(policy.creatives), [len(weights) for weights in policy.weights]
        # A generator: other threads get their turn while a hundred thousand creatives are gone through.
        hashes = np.fromiter((hash(creative) for creative in policy.creatives), np.int64, count)
        order = hashes.argsort()
        self._hashes = np.append(hashes[order], LAST_HASH)  # so that a search always ends at a row
        self._rows = np.zeros((count + len(policy.prior), 1 + sum(sizes)), np.float32)
        np.concatenate([policy.bias[None], *policy.weights], out=self._rows[:count].T, casting="same_kind")
        self._rows[:count] = self._rows[order]
        self._rows[count:, 0] = policy.prior
        self._priors: dict[str | None, int] = {name: count + i for i, name in enumerate(policy.categories)}
        self._other = len(self._rows) - 1
        firsts = np.cumsum([1, *sizes]).tolist()
        self._features = [
            _FeatureIndex(columns, {value: first + i for i, value in enumerate(known, 1)}, first)
            for columns, known, first in zip(policy.features, policy.values, firsts, strict=False)
        ]
        self._columns = tuple(sorted({column for columns in policy.features for column in columns}))
        self._met: dict[tuple[str | None, ...], list[int]] = {}  # by the values of these columns of a context
        self._members: dict[str, list[str]] = {name: [] for name in policy.categories}
        for creative, category in zip(policy.creatives, policy.category.tolist(), strict=True):
            if category < len(policy.categories):
                self._members[policy.categories[category]].append(creative)

    def of_category(self, category: str) -> list[str]:
        """Return the known creatives of a category, in the policy's order; none for a category it does not know."""
        return self._members.get(category, [])

    def probabilities(self, questions: Sequence[ScoringRequest]) -> list[Float64Array]:
        """Return for each question the probability of each candidate (candidates,), as Policy.probabilities does."""
        counts = [len(question.candidates) for question in questions]
        asked = [question for question in questions if question.candidates]
        sizes = [count for count in counts if count]
        every = softmax(self.scores(asked), sizes, self._temperature, self._floor) if asked else np.empty(0)
        ends = itertools.accumulate(counts)
        return [every[end - count : end] for count, end in zip(counts, ends, strict=True)]

    def scores(self, questions: Sequence[ScoringRequest]) -> Float64Array:
        """Return the score of each candidate of each question, those of one after another (candidates,)."""
        numbers = np.array([self._numbers(question.context) for question in questions])
        numbers = numbers.repeat([len(question.candidates) for question in questions], 0)
        numbers += self._places(questions)[:, None] * self._rows.shape[1]
        return np.asarray(np.add.reduce(self._rows.take(numbers), 1, np.float64))

    def _places(self, questions: Sequence[ScoringRequest]) -> Int64Array:
        """Return the row of each candidate (candidates,); of a new one, that of its category's prior."""
        candidates = list(itertools.chain.from_iterable(question.candidates for question in questions))
        hashes = np.fromiter(map(hash, candidates), np.int64, len(candidates))
        places = self._hashes.searchsorted(hashes)
        new = self._hashes.take(places) != hashes
        places[new] = self._other
        if any(question.categories for question in questions):
            named = [question.categories.get(candidate) for question in questions for candidate in question.candidates]
            for i in np.flatnonzero(new).tolist():
                places[i] = self._priors.get(named[i], self._other)
        return places

    def _numbers(self, context: Context) -> list[int]:
        """Return which numbers of a row a context is about (1 + features,)."""
        values = tuple(map(context.get, self._columns))
        found = self._met.get(values)
        if found is None:
            names = [SEPARATOR.join([context.get(c) or "" for c in feature.columns]) for feature in self._features]
            places = [f.places.get(name, f.unknown) for f, name in zip(self._features, names, strict=True)]
            found = [0, *places]
            if len(self._met) >= MAX_CONTEXTS:
                self._met.clear()
            self._met[values] = found
        return found


def softmax(scores: Float64Array, counts: Sequence[int], temperature: float = 1.0, floor: float = 0.0) -> Float64Array:
    """
    Return the probabilities that scores (candidates,) stand for, of so many candidates of each question (questions,).

    They are at least `floor`, and uniform where that is too much. Each question has a candidate.
    """
    sizes = np.array(counts)
    starts = sizes.cumsum() - sizes
    odds = np.exp((scores - np.maximum.reduceat(scores, starts).repeat(sizes)) / temperature)
    least = np.minimum(floor, 1 / sizes)
    scale = (1 - np.minimum(sizes * floor, 1)) / np.add.reduceat(odds, starts)
    return np.maximum(odds * scale.repeat(sizes) + least.repeat(sizes), MIN_PROBABILITY)


class Slate(NamedTuple):
    """Creatives drawn for slots, the best seen first."""

    chosen: list[int]  # (slots,), numbers of candidates
    propensities: list[float]  # (slots,), of each given those above; their product is the slate's


def draw_slate(probabilities: Sequence[float], slots: int, random: Callable[[], float]) -> Slate:
    """
    Draw candidates for slots without replacement: each by its probability (candidates,) among those that are left.

    `random` gives numbers in [0, 1).
    """
    left, chosen, propensities = list(probabilities), [], []
    for _ in range(min(slots, len(left))):
        reach = list(itertools.accumulate(left))
        i = bisect_right(
            reach, random() * reach[-1]
        )  # never past the last, nor one that is taken, which reaches no further
        chosen.append(i)
        propensities.append(
            left[i] / reach[-1]
        )  # exact: what is left is added up anew, for 1 minus those above would cancel
        left[i] = 0.0
    return Slate(chosen, propensities)


def _to_str_array(values: Sequence[str]) -> StrArray:
    return np.array(values, dtype=np.str_) if values else np.zeros(0, "U1")


def describe_columns(folder: Path) -> TableSignature:
    """Return the columns of the artifact's policy: a candidate in a context."""
    policy = Policy.load(folder / "policy.npz")
    columns = list(dict.fromkeys(column for feature in policy.features for column in feature))
    return TableSignature(
        inputs=dict.fromkeys([*columns, "creative_id"], "string"),
        optional=frozenset(columns),
        output=("probability", "double"),
        example={
            **dict.fromkeys(columns, ""),
            "creative_id": policy.creatives[0] if policy.creatives else "a new creative",
        },
    )
