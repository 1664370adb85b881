"""The recommender as it serves: the chosen model, popularity, and the items of known users."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np

from adloom.arrays import Float32Array, Int32Array, Int64Array, StrArray
from adloom.config.models import TableSignature
from adloom.recommendation.factorization import ItemFactors
from adloom.recommendation.item_neighbours import ItemNeighbours
from adloom.recommendation.popularity import Popularity
from adloom.recommendation.recurrent import Encode, RecurrentScorer
from adloom.recommendation.shortlist import Shortlist, find_cut
from adloom.storage import npz


class ItemScorer(Protocol):
    """A recommender."""

    def score(self, histories: Sequence[Int32Array]) -> Float32Array:
        """Return the scores of all items after each history (histories, items); no history is empty."""
        ...


@dataclass(frozen=True)
class Recommender:
    """Items with the models that rank them."""

    items: StrArray  # (items,), ascending
    popularity: Popularity
    scorer: ItemScorer
    shortlist: Shortlist | None = None  # of the scorer; faster, and in the same order

    @cached_property
    def numbers(self) -> dict[str, int]:
        """The number of each item."""
        return {name: number for number, name in enumerate(self.items.tolist())}

    def find_items(self, names: Sequence[str]) -> Int32Array:
        """Return the numbers of the items that are known, in order."""
        return np.array([self.numbers[name] for name in names if name in self.numbers], np.int32)

    def rank(self, history: Int32Array, n: int, seen: Int32Array, segment: str | None = None) -> list[str]:
        """Return the n best items after a history without those seen; without history, the most popular ones."""
        if not len(history):
            return self.rank_popular(n, seen, segment)
        if self.shortlist:
            return self._name(self.shortlist.select(history, n, seen))
        return self._name(select_top_items(self.scorer.score([history])[0], n, seen))

    def rank_popular(self, n: int, seen: Int32Array, segment: str | None = None) -> list[str]:
        """Return the n most popular items of a segment, or of all users, without those seen."""
        return self._name(select_top_items(self.popularity.score_segment(segment), n, seen))

    def _name(self, numbers: list[int]) -> list[str]:
        names: list[str] = self.items[numbers].tolist()
        return names


def select_top_items(scores: Float32Array, n: int, seen: Int32Array) -> list[int]:
    """Return the n items with the highest scores without those seen, best first; ties go to the smaller number."""
    scores = scores.copy()
    scores[seen] = -np.inf
    best = np.flatnonzero((scores >= find_cut(scores, n)) & (scores > -np.inf))
    order: Int64Array = np.lexsort((best, -scores[best]))[:n]
    return best[order].tolist()  # type: ignore[no-any-return]


def load_popularity(folder: Path) -> Popularity:
    """Read the popularity of the items. Raises ArtifactError."""
    share, segments, of_segment = npz.load(folder / "popularity.npz", ("share", "segments", "of_segment"))
    return Popularity(share, segments, of_segment)


def load_models(folder: Path, encode: Encode | None) -> dict[str, ItemScorer]:
    """Return an artifact's models by name, simplest first; the LSTM needs its encoder. Raises ArtifactError."""
    popularity = load_popularity(folder)
    models: dict[str, ItemScorer] = {"popularity": popularity}
    if (path := folder / "neighbours.npz").exists():
        neighbour, similarity = npz.load(path, ("neighbour", "similarity"))
        models["neighbours"] = ItemNeighbours(neighbour, similarity, popularity.share)
    if (path := folder / "factors.npz").exists():
        factor, alpha, regularization = npz.load(path, ("factor", "alpha", "regularization"))
        models["factors"] = ItemFactors(factor, float(alpha), float(regularization))
    if encode:
        embedding, bias, length = npz.load(folder / "lstm.npz", ("embedding", "bias", "length"))
        models["lstm"] = RecurrentScorer(encode, embedding, bias, int(length))
    return models


def load_items(folder: Path) -> StrArray:
    """Read the names of the items. Raises ArtifactError."""
    return npz.load(folder / "items.npz", ("items",))[0]


def describe_columns(folder: Path) -> TableSignature:
    """Return the columns of a request and an answer, with the first item as the example."""
    return TableSignature(
        inputs={"item": "string"},
        optional=frozenset(),
        output=("next_item", "string"),
        example={"item": str(load_items(folder)[0])},
    )
