"""Score creatives and turn scores into probabilities; needs NumPy only."""

import copy
import itertools
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np

from adloom.arrays import AnyArray, Float32Array, Float64Array, Int64Array, StrArray
from adloom.config.models import TableSignature
from adloom.data.context import SEPARATOR
from adloom.errors import ArtifactError
from adloom.policy.content_model import ContentModel, Contents, average_weights
from adloom.policy.distribution import distribute
from adloom.policy.thompson import Variances
from adloom.storage import npz

Context = Mapping[str, str | None]  # column of impressions (placement, segment, position, ctx_*): value

LAST_HASH = np.iinfo(np.int64).max  # the largest hash
MAX_CONTEXTS = 10_000  # size of the cache of contexts

_ARRAYS = ("creatives", "category", "categories", "bias", "features", "prior", "temperature", "floor")
_CONTENT = ("content_means", "content_weights")


@dataclass(frozen=True, eq=False)
class Policy:
    """
    A linear scorer: `bias` plus, per feature, the weights of the context's row.

    A feature joins its context columns by SEPARATOR. Row 0 of `weights[f]` is for unknown values. A creative without
    history scores its category's `prior`; the last prior is for an unknown category. Raises ArtifactError for
    inconsistent arrays.
    """

    creatives: tuple[str, ...]
    category: Int64Array  # (creatives,) index into categories; len(categories) if unknown
    categories: tuple[str, ...]
    bias: Float32Array  # (creatives,)
    features: tuple[tuple[str, ...], ...]
    values: tuple[tuple[str, ...], ...]  # per feature
    weights: tuple[Float32Array, ...]  # per feature (values + 1, creatives)
    prior: Float32Array  # (categories + 1,)
    temperature: float = 1.0
    floor: float = 0.0  # minimum probability of a candidate
    content: ContentModel | None = None  # scores creatives without history
    variances: Variances | None = None  # of the scores, for Thompson sampling; None is a softmax of the scores
    new: int = 0  # creatives without history, the last ones

    def __post_init__(self) -> None:
        self._check()

    @cached_property
    def category_weights(self) -> Float32Array:
        """The mean weights of each category's creatives, for new ones (categories + 1, weights of all features)."""
        history = len(self.creatives) - self.new
        return average_weights([w[:, :history] for w in self.weights], self.category[:history], len(self.prior))

    @cached_property
    def scorer(self) -> "Scorer":
        """The scorer of single requests."""
        return Scorer(self)

    def probabilities(
        self, context: Context, candidates: Sequence[str], categories: Mapping[str, str] | None = None
    ) -> list[float]:
        """Return each candidate's probability (candidates,): at least `floor`, or uniform if that is impossible."""
        request = ScoringRequest(context, candidates, categories or {})
        return self.scorer.probabilities([request])[0].tolist()  # type: ignore[no-any-return]

    def save(self, path: Path) -> None:
        """Write an npz file without pickle."""
        pieces: dict[str, AnyArray] = {f"values_{i}": _to_str_array(values) for i, values in enumerate(self.values)}
        pieces |= {f"weights_{i}": weights for i, weights in enumerate(self.weights)}
        if self.content:
            pieces |= {"content_means": self.content.means, "content_weights": self.content.weights}
        if self.variances:
            pieces |= self.variances.to_arrays()
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
            new=np.int64(self.new),
            **pieces,
        )

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a policy. Raises ArtifactError for an invalid file."""
        creatives, category, categories, bias, features, prior, temperature, floor = npz.load(path, _ARRAYS)
        count = len(features)
        pieces = npz.load(path, [f"{kind}_{i}" for kind in ("values", "weights") for i in range(count)])
        with np.load(path, allow_pickle=False) as arrays:
            content = [arrays[name] for name in _CONTENT if name in arrays]
            variances = Variances.from_arrays(arrays, count)
            new = int(arrays["new"]) if "new" in arrays else 0
        try:
            return cls(
                creatives=tuple(str(creative) for creative in creatives),  # a generator lets other threads run
                category=category.astype(np.int64),
                categories=tuple(categories.tolist()),
                bias=bias,
                features=tuple(tuple(str(names).split(SEPARATOR)) for names in features),
                values=tuple(tuple(values.tolist()) for values in pieces[:count]),
                weights=tuple(pieces[count:]),
                prior=prior,
                temperature=float(temperature),
                floor=float(floor),
                content=ContentModel(*content) if content else None,
                variances=variances,
                new=new,
            )
        except (ArtifactError, TypeError, ValueError) as error:
            raise ArtifactError(f"{path}: {error}; train or fetch the policy again") from None

    def _check(self) -> None:
        self._check_shapes()
        count, known = len(self.creatives), len(self.categories)
        if count and not 0 <= self.category.min() <= self.category.max() <= known:
            raise ArtifactError(f"policy: category: expected indices in [0, {known}]")
        if (distinct := len(set(self.creatives))) != count:
            raise ArtifactError(f"policy: creatives: {distinct} distinct of {count}, expected no duplicates")
        if not all(np.isfinite(values).all() for values in (self.bias, self.prior, *self.weights)):
            raise ArtifactError("policy: scores: expected finite numbers")
        if not 0 <= self.new <= count:
            raise ArtifactError(f"policy: new: {self.new}, expected 0 to {count}")
        if self.variances and min(values.min(initial=0) for values in self.variances.to_arrays().values()) < 0:
            raise ArtifactError("policy: variances: expected no negative numbers")
        if not (0 < self.temperature < np.inf and 0 <= self.floor <= 1):
            raise ArtifactError(
                f"policy: temperature {self.temperature}, floor {self.floor}; expected > 0, and in [0, 1]"
            )

    def _check_shapes(self) -> None:
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
        if self.variances:
            terms = Variances(self.bias, self.weights, self.prior).to_arrays()
            shapes |= {name: (v.shape, terms[name].shape) for name, v in self.variances.to_arrays().items()}
        if self.content:
            shapes["content"] = self.content.means.shape, (known + 1, len(self.content.weights))
        for name, (actual, expected) in shapes.items():
            if actual != expected:
                raise ArtifactError(f"policy: {name}: {actual}, expected {expected}")


class ScoringRequest(NamedTuple):
    """The candidates in a context."""

    context: Context
    candidates: Sequence[str]
    categories: Mapping[str, str] = {}  # of candidates without history


class _FeatureIndex(NamedTuple):
    """The columns of a feature in a creative's row."""

    columns: tuple[str, ...]  # of the context
    indices: dict[str, int]  # known value: its column
    unknown: int  # column of all other values


class Scorer:
    """
    A policy prepared for fast requests.

    Creatives have contiguous rows, sorted by hash, so that one search finds all candidates; dictionary look-ups would
    each wait for memory. Hash collisions (64 bits) are negligible.
    """

    def __init__(self, policy: Policy) -> None:
        self._temperature, self._floor = policy.temperature, policy.floor
        count, sizes = len(policy.creatives), [len(weights) for weights in policy.weights]
        # A generator lets other threads run while it hashes a hundred thousand creatives.
        hashes = np.fromiter((hash(creative) for creative in policy.creatives), np.int64, count)
        order = hashes.argsort()
        self._hashes = np.append(hashes[order], LAST_HASH)  # so that each search ends at a row
        self._rows = _stack_rows(policy, order)
        self._rows[count:, 1:] = policy.category_weights
        self._is_new = np.append(order >= count - policy.new, np.ones(len(policy.prior), bool))
        self._variances = _stack_rows(policy.variances, order) if policy.variances else None
        self._first_prior = count
        self._priors: dict[str | None, int] = {name: count + i for i, name in enumerate(policy.categories)}
        self._unknown_row = len(self._rows) - 1
        firsts = np.cumsum([1, *sizes]).tolist()
        self._features = [
            _FeatureIndex(columns, {value: first + i for i, value in enumerate(known, 1)}, first)
            for columns, known, first in zip(policy.features, policy.values, firsts, strict=False)
        ]
        self._columns = tuple(sorted({column for columns in policy.features for column in columns}))
        self._context_cache: dict[tuple[str | None, ...], list[int]] = {}  # by values of these columns
        self._later_rows: dict[str, int] = {}  # of creatives from `extend`
        self._content = policy.content
        self._by_category: dict[str, list[str]] = {name: [] for name in policy.categories}
        for creative, category in zip(policy.creatives, policy.category.tolist(), strict=True):
            if category < len(policy.categories):
                self._by_category[policy.categories[category]].append(creative)

    def creatives_in(self, category: str) -> list[str]:
        """Return a category's creatives with history."""
        return self._by_category.get(category, [])

    def extend(self, contents: Contents | None) -> "Scorer":
        """Return a scorer that also scores creatives without history by their contents."""
        if self._content is None or not contents or contents.features.shape[1] > len(self._content.weights):
            return self  # the last: a policy of another version of adloom, with other features
        categories = np.array(
            [self._priors.get(name, self._unknown_row) for name in contents.category.tolist()], np.int64
        )
        rows = self._rows[categories]
        rows[:, 0] += self._content.score(categories - self._first_prior, contents.features)
        wider = copy.copy(self)
        wider._is_new = np.append(self._is_new, np.ones(len(rows), bool))
        wider._rows = np.concatenate([self._rows, rows])
        if self._variances is not None:
            wider._variances = np.concatenate([self._variances, self._variances[categories]])
        wider._later_rows = {name: len(self._rows) + i for i, name in enumerate(contents.creatives.tolist())}
        return wider

    def probabilities(self, requests: Sequence[ScoringRequest]) -> list[Float64Array]:
        """Return for each request the probabilities (candidates,)."""
        counts = [len(request.candidates) for request in requests]
        non_empty = [request for request in requests if request.candidates]
        sizes = [count for count in counts if count]
        flat = self._distribute(non_empty, sizes) if non_empty else np.empty(0)
        ends = itertools.accumulate(counts)
        return [flat[end - count : end] for count, end in zip(counts, ends, strict=True)]

    def scores(self, requests: Sequence[ScoringRequest]) -> Float64Array:
        """Return the concatenated scores of all candidates (candidates,)."""
        return _sum_cells(self._rows, self._cell_indices(requests, self._row_indices(requests)))

    def _distribute(self, requests: Sequence[ScoringRequest], sizes: Sequence[int]) -> Float64Array:
        rows = self._row_indices(requests)
        cells = self._cell_indices(requests, rows)
        variances = None if self._variances is None else _sum_cells(self._variances, cells)
        new = self._is_new.take(rows)
        return distribute(_sum_cells(self._rows, cells), variances, sizes, self._temperature, self._floor, new)

    def _cell_indices(self, requests: Sequence[ScoringRequest], rows: Int64Array) -> Int64Array:
        """Return each candidate's terms as indices into the flat rows (candidates, 1 + features)."""
        indices = np.array([self._column_indices(request.context) for request in requests])
        indices = indices.repeat([len(request.candidates) for request in requests], 0)
        indices += (rows * self._rows.shape[1])[:, None]
        return np.asarray(indices)

    def _row_indices(self, requests: Sequence[ScoringRequest]) -> Int64Array:
        """Return each candidate's row, or its category's prior."""
        candidates = list(itertools.chain.from_iterable(request.candidates for request in requests))
        hashes = np.fromiter(map(hash, candidates), np.int64, len(candidates))
        indices = self._hashes.searchsorted(hashes)
        new = self._hashes.take(indices) != hashes
        if not np.count_nonzero(new):  # faster than any()
            return indices
        indices[new] = self._unknown_row
        if self._later_rows or any(request.categories for request in requests):
            named = [request.categories.get(candidate) for request in requests for candidate in request.candidates]
            for i in np.flatnonzero(new).tolist():
                by_category = self._priors.get(named[i], self._unknown_row)
                indices[i] = self._later_rows.get(candidates[i], by_category)
        return indices

    def _column_indices(self, context: Context) -> list[int]:
        """Return the columns of a context (1 + features,)."""
        values = tuple(map(context.get, self._columns))
        columns = self._context_cache.get(values)
        if columns is None:
            names = [SEPARATOR.join([context.get(c) or "" for c in feature.columns]) for feature in self._features]
            indices = [f.indices.get(name, f.unknown) for f, name in zip(self._features, names, strict=True)]
            columns = [0, *indices]
            if len(self._context_cache) >= MAX_CONTEXTS:
                self._context_cache.clear()
            self._context_cache[values] = columns
        return columns


def _stack_rows(terms: Policy | Variances, order: Int64Array) -> Float32Array:
    """Return a row per creative in an order, then per category: its bias, and the weights of all features."""
    count = len(terms.bias)
    rows = np.zeros((count + len(terms.prior), 1 + sum(map(len, terms.weights))), np.float32)
    np.concatenate([terms.bias[None], *terms.weights], out=rows[:count].T, casting="same_kind")
    rows[:count] = rows[order]
    rows[count:, 0] = terms.prior
    return rows


def _sum_cells(rows: Float32Array, indices: Int64Array) -> Float64Array:
    return np.asarray(np.add.reduce(rows.take(indices), 1, np.float64))


class Slate(NamedTuple):
    """Creatives drawn for slots, from the top slot down."""

    chosen: list[int]  # (slots,) indices of candidates
    propensities: list[float]  # (slots,) given the slots above; their product is the slate's probability


def draw_slate(probabilities: Sequence[float], slots: int, random: Callable[[], float]) -> Slate:
    """Draw candidates for slots without replacement; `random` is in [0, 1)."""
    remaining, chosen, propensities = list(probabilities), [], []
    for _ in range(min(slots, len(remaining))):
        cumulative = list(itertools.accumulate(remaining))
        i = bisect_right(cumulative, random() * cumulative[-1])  # never a chosen one: its interval is empty
        chosen.append(i)
        propensities.append(remaining[i] / cumulative[-1])  # summed anew: 1 minus the chosen ones would cancel digits
        remaining[i] = 0.0
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
        example={**dict.fromkeys(columns, ""), "creative_id": (policy.creatives or ("a new creative",))[0]},
    )
