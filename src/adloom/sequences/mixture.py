"""
A network mixed with n-grams: the probability of each next token is a weighted mean of both models'.

The weight depends on how many of the last tokens the n-grams have seen in this order. Expectation maximisation finds it
on sequences that trained neither model (Jelinek & Mercer 1980).
"""

from collections.abc import Set
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Generic, Self

import numpy as np

from adloom.arrays import AnyArray, Float32Array, Float64Array, Int64Array
from adloom.sequences import kneser_ney
from adloom.sequences.decoding import S, SequenceModel
from adloom.sequences.kneser_ney import END, MISSING, START, UNSEEN, KneserNey, NgramTable

ROUNDS = 50  # of expectation maximisation
PRIOR = 5.0  # tokens that draw each weight towards the mean of all
LOWEST = 1e-30  # probability of a token that neither model expects


@dataclass(frozen=True)
class TokenNgrams:
    """A Kneser-Ney model of tokens, read token by token."""

    symbol: Int64Array  # (vocabulary,) symbol of each token
    tables: tuple[NgramTable, ...]

    @classmethod
    def build(cls, model: KneserNey[int], vocabulary: int, starts: Set[int], end: int) -> Self:
        """Return the n-grams of a model of lines without their first token, one of `starts`, and without `end`."""
        symbol = np.full(vocabulary, UNSEEN)
        symbol[list(model.alphabet)] = np.arange(len(model.alphabet)) + UNSEEN + 1
        symbol[list(starts)], symbol[end] = START, END
        return cls(symbol, model.orders)

    def start(self, batch: int) -> Int64Array:
        """Return the contexts before the first token: (orders, batch), the nodes of the last 0, 1, 2 … tokens."""
        return np.concatenate([np.zeros((1, batch), np.int64), np.full((len(self.tables) - 1, batch), MISSING)])

    def advance(self, contexts: Int64Array, token: Int64Array) -> Int64Array:
        """Return the contexts after one more token (batch,)."""
        symbol = self.symbol[token]
        nodes = [
            kneser_ney.find_nodes(table.keys, context, symbol, self._symbols)
            for table, context in zip(self.tables[:-1], contexts, strict=False)
        ]
        return np.stack([np.zeros(len(token), np.int64), *nodes])

    def probabilities(self, contexts: Int64Array) -> Float64Array:
        """Return the probability of each next token (batch, vocabulary)."""
        result = np.full((contexts.shape[1], self._symbols), 1 / (self._symbols - 1))
        for table, context in zip(self.tables, contexts, strict=True):
            known = context != MISSING
            result[known] *= table.backoff[context[known]][:, None]
            first, last = (np.searchsorted(table.keys, (context + more) * self._symbols) for more in (0, 1))
            sizes = np.where(known, last - first, 0)
            row = np.repeat(np.arange(len(context)), sizes)
            node = np.arange(len(row)) + np.repeat(first - (np.cumsum(sizes) - sizes), sizes)
            result[row, table.keys[node] % self._symbols] += table.discounted[node]
        result[:, START] = 0
        result[:, UNSEEN] /= self._unseen
        probabilities: Float64Array = result[:, self.symbol]
        return probabilities

    @cached_property
    def _symbols(self) -> int:
        return int(max(self.symbol.max(), UNSEEN)) + 1

    @cached_property
    def _unseen(self) -> int:
        """The number of tokens that share the symbol of those without n-grams, at least 1."""
        return max(int((self.symbol == UNSEEN).sum()), 1)


@dataclass(frozen=True)
class MixtureState(Generic[S]):
    """The states of both models."""

    network: S
    contexts: Int64Array  # (orders, batch)


@dataclass(frozen=True)
class Predictions:
    """The probabilities of both models for each next token."""

    network: Float64Array  # (batch, sequence, vocabulary)
    ngrams: Float64Array  # (batch, sequence, vocabulary)
    seen: Int64Array  # (batch, sequence): how many of the last tokens the n-grams know in this order


class Mixture(Generic[S]):
    """A network and n-grams of the same tokens, as one model."""

    def __init__(self, network: SequenceModel[S], ngrams: TokenNgrams, weights: Float64Array) -> None:
        self.network, self._ngrams = network, ngrams
        self.weights = weights  # (orders,) of the network, by the number of tokens seen

    def start(self, batch: int) -> MixtureState[S]:
        """Return the state before the first token."""
        return MixtureState(self.network.start(batch), self._ngrams.start(batch))

    def __call__(self, token: Int64Array, state: MixtureState[S]) -> tuple[Float32Array, MixtureState[S]]:
        """Return the logarithm of each next token's probability (batch, sequence, vocabulary), and the next state."""
        both, after = self.predict(token, state)
        weight = self.weights[both.seen][..., None]
        mixed = np.maximum(weight * both.network + (1 - weight) * both.ngrams, LOWEST)
        return np.log(mixed).astype(np.float32), after

    def predict(self, token: Int64Array, state: MixtureState[S]) -> tuple[Predictions, MixtureState[S]]:
        """Return each model's probabilities of the next tokens, and the next state."""
        logits, network = self.network(token, state.network)
        odds = np.exp((logits - logits.max(axis=2, keepdims=True)).astype(np.float64))
        contexts, steps = state.contexts, []
        for column in token.T:
            contexts = self._ngrams.advance(contexts, column)
            steps.append(contexts)
        ngrams = np.stack([self._ngrams.probabilities(step) for step in steps], axis=1)
        seen = np.stack([(step[1:] != MISSING).sum(axis=0) for step in steps], axis=1)
        return Predictions(odds / odds.sum(axis=2, keepdims=True), ngrams, seen), MixtureState(network, contexts)

    def to_arrays(self) -> dict[str, AnyArray]:
        """Return the n-grams and weights, for `load_mixture`."""
        tables = {
            f"{name}_{k}": getattr(table, name)
            for k, table in enumerate(self._ngrams.tables)
            for name in ("keys", "discounted", "backoff")
        }
        return {"weights": self.weights, "symbol": self._ngrams.symbol, **tables}


def load_mixture(network: SequenceModel[S], path: Path) -> SequenceModel[Any]:
    """Return a network mixed with the n-grams of a file, or alone when there is none."""
    if not path.exists():
        return network
    with np.load(path, allow_pickle=False) as arrays:
        weights = arrays["weights"]
        tables = (
            NgramTable(*(arrays[f"{name}_{k}"] for name in ("keys", "discounted", "backoff")))
            for k in range(len(weights))
        )
        return Mixture(network, TokenNgrams(arrays["symbol"], tuple(tables)), weights)


def fit_weights(network: Float64Array, ngrams: Float64Array, seen: Int64Array, orders: int) -> Float64Array:
    """
    Return the network's weights (orders,) that make tokens likeliest.

    `network` and `ngrams` (tokens,) are both models' probabilities of these tokens.
    """
    weights, total = np.full(orders, 0.5), np.bincount(seen, minlength=orders)
    for _ in range(ROUNDS):
        ours = weights[seen] * network
        share = np.bincount(seen, ours / np.maximum(ours + (1 - weights[seen]) * ngrams, LOWEST), orders)
        mean = share.sum() / max(total.sum(), 1)
        weights = (share + PRIOR * mean) / (total + PRIOR)
    return weights
