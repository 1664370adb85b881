"""
A policy is arrays: a score for every creative in a context, and a probability for every candidate. NumPy alone; this is
what serving loads.

Uniform, the logging policy, smoothed click rates and a contextual linear model are all such arrays.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from adloom import npz
from adloom.audience.arrays import read_arrays
from adloom.errors import ArtifactError

Floats = npt.NDArray[np.float64]
Weights = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
Context = Mapping[str, str | None]  # column: value, as the impressions have them: placement, segment, position, ctx_*

SEPARATOR = "\x1f"  # joins the values of a feature of several columns, and the names of the columns
TINY = 1e-300  # of a candidate whose softmax underflows: it can still be drawn last, and divided by

_ARRAYS = ("creatives", "category", "categories", "bias", "features", "prior", "temperature", "floor")


class _Creatives(dict[str, int]):
    """Number of each known creative; -1 for any other."""

    def __missing__(self, creative: str) -> int:
        return -1


class _Feature(NamedTuple):
    """Where the weights of a feature begin in the flat table."""

    columns: tuple[str, ...]
    starts: dict[str, int]  # of each known value's row
    unknown: int  # start of the row of values that are not known


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
    category: Ints  # (creatives,), index into categories, or their number: none known
    categories: tuple[str, ...]
    bias: Weights  # (creatives,)
    features: tuple[tuple[str, ...], ...]
    values: tuple[tuple[str, ...], ...]  # of each feature
    weights: tuple[Weights, ...]  # of each feature (values + 1, creatives)
    prior: Weights  # (categories + 1,)
    temperature: float = 1.0
    floor: float = 0.0  # least probability of a candidate
    _flat: Weights = field(init=False, repr=False)  # bias and weights in one piece, so that one `take` gathers them all
    _features: tuple[_Feature, ...] = field(init=False, repr=False)
    _numbers: _Creatives = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._check()
        count = len(self.creatives)
        table = np.concatenate([self.bias[None], *self.weights], dtype=np.float32)
        starts = np.cumsum([1, *(len(w) for w in self.weights)])
        views = {"weights": tuple(np.split(table, starts[:-1])[1:]), "bias": table[0]}  # nothing is held twice
        found = zip(self.features, self.values, (int(start) * count for start in starts), strict=False)
        features = tuple(
            _Feature(columns, {value: start + (i + 1) * count for i, value in enumerate(known)}, start)
            for columns, known, start in found
        )
        numbers = _Creatives(zip(self.creatives, range(count), strict=True))
        for name, value in {**views, "_flat": table.ravel(), "_features": features, "_numbers": numbers}.items():
            object.__setattr__(self, name, value)
        if len(numbers) != count:
            raise ArtifactError(f"policy: {count} creatives, {len(numbers)} of them different; expected each id once")

    def probabilities(
        self, context: Context, candidates: Sequence[str], categories: Mapping[str, str] | None = None
    ) -> Floats:
        """
        Return the probability of each candidate (candidates,): at least `floor`, or uniform where that is too much.

        `categories` may name those of candidates that the policy does not know.
        """
        return self.softmax(self.scores(context, candidates, categories))

    def scores(
        self, context: Context, candidates: Sequence[str], categories: Mapping[str, str] | None = None
    ) -> Floats:
        """Return the score of each candidate (candidates,)."""
        if not self.creatives:
            return self._priors(candidates, categories)
        number = np.array(list(map(self._numbers.__getitem__, candidates)), np.int64)
        rows = np.array([0, *(_start(feature, context) for feature in self._features)], np.int64)
        found: Floats = self._flat.take(rows[:, None] + number, mode="wrap").sum(axis=0, dtype=np.float64)
        new = number < 0
        if new.any():
            found[new] = self._priors([candidates[i] for i in np.flatnonzero(new).tolist()], categories)
        return found

    def softmax(self, scores: Floats) -> Floats:
        """Return the probabilities that scores (candidates,) stand for."""
        count = len(scores)
        if not count or count * self.floor > 1:
            return np.full(count, 1 / max(count, 1))
        odds: Floats = np.exp((scores - scores.max()) / self.temperature)
        odds *= (1 - count * self.floor) / odds.sum()
        odds += self.floor
        return odds if self.floor else np.maximum(odds, TINY)

    def of_category(self, category: str) -> list[str]:
        """Return the known creatives of a category, in the policy's order; none for a category it does not know."""
        if category not in self.categories:
            return []
        return [self.creatives[i] for i in np.flatnonzero(self.category == self.categories.index(category))]

    def save(self, path: Path) -> None:
        """Write an npz without pickle."""
        pieces: dict[str, npt.NDArray[Any]] = {f"values_{i}": _texts(values) for i, values in enumerate(self.values)}
        pieces |= {f"weights_{i}": weights for i, weights in enumerate(self.weights)}
        npz.save(
            path,
            creatives=_texts(self.creatives),
            category=self.category.astype(np.int32),
            categories=_texts(self.categories),
            bias=self.bias,
            features=_texts([SEPARATOR.join(columns) for columns in self.features]),
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
                creatives=tuple(creatives.tolist()),
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
        if not all(np.isfinite(numbers).all() for numbers in (self.bias, self.prior, *self.weights)):
            raise ArtifactError("policy: not all of its scores are finite")
        if not (0 < self.temperature < np.inf and 0 <= self.floor <= 1):
            raise ArtifactError(
                f"policy: temperature {self.temperature}, floor {self.floor}; expected > 0, and in [0, 1]"
            )

    def _priors(self, candidates: Sequence[str], categories: Mapping[str, str] | None) -> Floats:
        """Return the scores (candidates,) of creatives without history."""
        given = categories or {}
        place = {name: i for i, name in enumerate(self.categories)}
        numbers = [place.get(given.get(candidate, ""), len(place)) for candidate in candidates]
        return self.prior[np.array(numbers, np.int64)].astype(np.float64)


class Slate(NamedTuple):
    """Creatives drawn for slots, the best seen first."""

    chosen: Ints  # (slots,), numbers of candidates
    propensities: Floats  # (slots,), of each given those above; their product is the slate's


def draw(probabilities: Floats, slots: int, exponential: Callable[[int], Floats]) -> Slate:
    """
    Draw candidates for slots without replacement: each by its probability among those that are left.

    `exponential(n)` gives n standard exponential numbers; their order, divided by the probabilities, is such a draw.
    """
    ranked = (exponential(len(probabilities)) / probabilities).argsort()
    ordered = probabilities.take(ranked)
    left = ordered[::-1].cumsum()[::-1]  # of those at each place and below; 1 minus those above would cancel
    return Slate(ranked[:slots], ordered[:slots] / left[:slots])


def _start(feature: _Feature, context: Context) -> int:
    value = SEPARATOR.join([context.get(column) or "" for column in feature.columns])
    return feature.starts.get(value, feature.unknown)


def _texts(values: Sequence[str]) -> npt.NDArray[np.str_]:
    return np.array(values, dtype=np.str_) if values else np.zeros(0, "U1")
