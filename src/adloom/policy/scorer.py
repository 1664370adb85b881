"""
A policy is arrays: a score for every creative in a context, and a probability for every candidate. NumPy alone; this is
what serving loads.

Uniform, the logging policy, smoothed click rates and a contextual linear model are all such arrays.
"""

import itertools
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
CONTEXTS = 10_000  # of which a policy remembers what it looks up for them
TINY = 1e-300  # of a candidate whose softmax underflows: it can still be drawn last, and divided by

_ARRAYS = ("creatives", "category", "categories", "bias", "features", "prior", "temperature", "floor")


class _Rows(dict[str, int]):
    """Where the row of each known creative begins in the flat table; `other` for any other creative."""

    other = 0

    def __missing__(self, creative: str) -> int:
        return self.other


class _Feature(NamedTuple):
    """The columns of the table that belong to a feature."""

    columns: tuple[str, ...]
    places: dict[str, int]  # column of each known value
    unknown: int  # column of values that are not known


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
    _flat: Weights = field(init=False, repr=False)  # a row for each creative: bias, then the weights of each feature
    _rows: _Rows = field(init=False, repr=False)
    _priors: dict[str, int] = field(init=False, repr=False)  # where the row of each category's prior begins
    _features: tuple[_Feature, ...] = field(init=False, repr=False)
    _columns: tuple[str, ...] = field(init=False, repr=False)  # of contexts that any feature is about
    _met: dict[tuple[str | None, ...], Ints] = field(
        init=False, repr=False
    )  # their values: numbers of the table's columns
    _ones: Floats = field(init=False, repr=False)  # (1 + features,); a product with it is a sum, and faster

    def __post_init__(self) -> None:
        self._check()
        count, sizes = len(self.creatives), [len(weights) for weights in self.weights]
        table = np.zeros((count + len(self.prior), 1 + sum(sizes)), np.float32)
        np.concatenate([self.bias[None], *self.weights], out=table[:count].T)
        table[count:, 0] = self.prior
        width, firsts = table.shape[1], np.cumsum([1, *sizes]).tolist()
        # A generator, not a range: other threads get their turn while a hundred thousand ids are gone through.
        rows = _Rows((creative, i * width) for i, creative in enumerate(self.creatives))
        rows.other = (len(table) - 1) * width
        if len(rows) != count:
            raise ArtifactError(f"policy: {count} creatives, {len(rows)} of them different")
        derived = {
            "bias": table[:count, 0],  # views: nothing is held twice
            "weights": tuple(table[:count, first:end].T for first, end in itertools.pairwise(firsts)),
            "_flat": table.ravel(),
            "_rows": rows,
            "_priors": {name: (count + i) * width for i, name in enumerate(self.categories)},
            "_features": tuple(
                _Feature(columns, {value: first + i for i, value in enumerate(known, 1)}, first)
                for columns, known, first in zip(self.features, self.values, firsts, strict=False)
            ),
            "_columns": tuple(sorted({column for columns in self.features for column in columns})),
            "_met": {},
            "_ones": np.ones(1 + len(self.features)),
        }
        for name, value in derived.items():
            object.__setattr__(self, name, value)

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
        rows = map(self._rows.__getitem__, candidates)
        if categories:
            rows = map(self._row, candidates, map(categories.get, candidates))
        places = np.fromiter(rows, np.int64, len(candidates)) + self._places(context)
        found: Floats = self._ones.dot(self._flat.take(places, mode="clip").astype(np.float64))
        return found

    def softmax(self, scores: Floats) -> Floats:
        """Return the probabilities that scores (candidates,) stand for."""
        count = len(scores)
        if not count or count * self.floor > 1:
            return np.full(count, 1 / max(count, 1))
        odds: Floats = np.exp((scores - np.maximum.reduce(scores)) / self.temperature)
        odds *= (1 - count * self.floor) / np.add.reduce(odds)
        odds += self.floor
        return odds if self.floor else np.maximum(odds, TINY)

    def _row(self, creative: str, category: str | None) -> int:
        """Return where the row of a creative begins, or that of its category's prior."""
        known = creative in self._rows or category not in self._priors
        return self._rows[creative] if known else self._priors[category or ""]

    def _places(self, context: Context) -> Ints:
        """Return which columns of the table a context is about (1 + features, 1)."""
        values = tuple(map(context.get, self._columns))
        found = self._met.get(values)
        if found is None:
            names = [SEPARATOR.join([context.get(c) or "" for c in feature.columns]) for feature in self._features]
            places = [f.places.get(name, f.unknown) for f, name in zip(self._features, names, strict=True)]
            found = np.array([0, *places], np.int64)[:, None]
            if len(self._met) >= CONTEXTS:
                self._met.clear()
            self._met[values] = found
        return found

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
        if not all(np.isfinite(numbers).all() for numbers in (self.bias, self.prior, *self.weights)):
            raise ArtifactError("policy: not all of its scores are finite")
        if not (0 < self.temperature < np.inf and 0 <= self.floor <= 1):
            raise ArtifactError(
                f"policy: temperature {self.temperature}, floor {self.floor}; expected > 0, and in [0, 1]"
            )


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
    chosen = ranked[:slots]
    found = probabilities.take(chosen)
    if slots == 1:
        return Slate(chosen, found)
    left = np.add.accumulate(probabilities.take(ranked[::-1]))[::-1]  # 1 minus those above would cancel
    return Slate(chosen, found / left[:slots])


def _texts(values: Sequence[str]) -> npt.NDArray[np.str_]:
    return np.array(values, dtype=np.str_) if values else np.zeros(0, "U1")
