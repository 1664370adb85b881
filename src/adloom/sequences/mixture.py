"""
A network mixed with n-grams: the probability of each next token is the product of both models', each with an exponent.

The exponents of this log-linear interpolation (Klakow 1998) are fitted to lines that trained neither model. Where both
models expect a training line, their product expects it more than each: a limit keeps copies as rare as in n-grams.
"""

from collections.abc import Sequence, Set
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Generic, Self

import numpy as np
from threadpoolctl import threadpool_limits

from adloom.arrays import AnyArray, Float32Array, Float64Array, Int64Array
from adloom.errors import ArtifactError
from adloom.sequences import kneser_ney
from adloom.sequences.decoding import S, SequenceModel
from adloom.sequences.kneser_ney import END, MISSING, START, UNSEEN, KneserNey, NgramTable

LOWEST = 1e-30  # probability of a token that the n-grams never expect
MAX_EXPONENT = 2.0
CACHE_BYTES = 2**24  # of the logits after recent contexts


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

    def probabilities(self, context: Sequence[int]) -> Float64Array:
        """Return the probability of each next token (vocabulary,) after one context (orders,)."""
        symbols = self._symbols
        result = np.full(symbols, 1 / (symbols - 1))
        for table, node in zip(self.tables, context, strict=True):
            if node != MISSING:
                first, last = table.keys.searchsorted([node * symbols, (node + 1) * symbols])
                result *= table.backoff[node]
                result[table.keys[first:last] % symbols] += table.discounted[first:last]
        result[START] = 0
        result[UNSEEN] /= self._unseen
        probabilities: Float64Array = result[self.symbol]
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


class Mixture(Generic[S]):
    """A network and n-grams of the same tokens, as one model."""

    def __init__(self, network: SequenceModel[S], ngrams: TokenNgrams, exponents: Float64Array) -> None:
        self.network, self.ngrams = network, ngrams
        self.exponents = exponents  # (2,) of the network and of the n-grams
        self._ngram_logits = lru_cache(CACHE_BYTES // (4 * len(ngrams.symbol)))(self._compute_ngram_logits)

    def start(self, batch: int) -> MixtureState[S]:
        """Return the state before the first token."""
        return MixtureState(self.network.start(batch), self.ngrams.start(batch))

    def __call__(self, token: Int64Array, state: MixtureState[S]) -> tuple[Float32Array, MixtureState[S]]:
        """Return logits (batch, sequence, vocabulary), and the next state."""
        network, ngrams, after = self.predict(token, state)
        return (self.exponents[0] * network + self.exponents[1] * ngrams).astype(np.float32), after

    def predict(self, token: Int64Array, state: MixtureState[S]) -> tuple[Float32Array, Float32Array, MixtureState[S]]:
        """Return the logits of the network and of the n-grams (batch, sequence, vocabulary), and the next state."""
        logits, network = self.network(token, state.network)
        contexts, steps = state.contexts, list[list[Float32Array]]()
        for column in token.T:
            contexts = self.ngrams.advance(contexts, column)
            steps.append([self._ngram_logits(*context) for context in contexts.T.tolist()])
        return logits, np.stack(steps, axis=1), MixtureState(network, contexts)

    def _compute_ngram_logits(self, *context: int) -> Float32Array:
        logits: Float32Array = np.log(np.maximum(self.ngrams.probabilities(context), LOWEST)).astype(np.float32)
        return logits

    def to_arrays(self) -> dict[str, AnyArray]:
        """Return the n-grams and exponents, for `load_mixture`."""
        tables = {
            f"{name}_{k}": getattr(table, name)
            for k, table in enumerate(self.ngrams.tables)
            for name in ("keys", "discounted", "backoff")
        }
        return {"exponents": self.exponents, "symbol": self.ngrams.symbol, **tables}


def load_mixture(network: SequenceModel[S], path: Path) -> SequenceModel[Any]:
    """Return a network mixed with the n-grams of a file, or alone when there is none. Raises ArtifactError."""
    if not path.exists():
        return network
    with np.load(path, allow_pickle=False) as arrays:
        if "exponents" not in arrays:
            raise ArtifactError(f"{path}: no exponents, as of an older adloom; train the model again")
        orders = sum(name.startswith("keys_") for name in arrays.files)
        tables = (
            NgramTable(*(arrays[f"{name}_{k}"] for name in ("keys", "discounted", "backoff"))) for k in range(orders)
        )
        return Mixture(network, TokenNgrams(arrays["symbol"], tuple(tables)), arrays["exponents"])


@dataclass(frozen=True)
class ScoredLines:
    """The logits of both models for the tokens of lines."""

    logits: tuple[Float32Array, Float32Array]  # (tokens, vocabulary) of the network and of the n-grams
    token: Int64Array  # (tokens,) what came
    line: Int64Array  # (tokens,) number of its line

    def log_probability(self, exponents: Float64Array) -> tuple[Float64Array, Float64Array]:
        """Return the log probability of each line (lines,) in the mixture, and its gradient (lines, 2)."""
        rows = np.arange(len(self.token))
        mixed = exponents[0] * self.logits[0] + exponents[1] * self.logits[1]
        mixed -= mixed.max(axis=1, keepdims=True)
        odds = np.exp(mixed)
        total = odds.sum(axis=1)
        odds /= total[:, None]
        columns = [
            mixed[rows, self.token] - np.log(total),
            *(each[rows, self.token] - (odds * each).sum(axis=1) for each in self.logits),
        ]
        sums = np.stack([np.bincount(self.line, column) for column in columns]).astype(np.float64)
        return sums[0], sums[1:].T


def fit_exponents(lines: ScoredLines, training: ScoredLines, limit: float) -> Float64Array:
    """
    Return the exponents of both models (2,) that make lines likeliest.

    The probability of all training lines together is at most `limit`, so that the mixture does not copy more.
    """
    from scipy.optimize import minimize

    def measure(exponents: Float64Array) -> tuple[float, Float64Array]:
        """Return the mean nats of a token and their gradient; it is convex."""
        value, gradient = lines.log_probability(exponents)
        return -float(value.sum()) / len(lines.token), -gradient.sum(axis=0) / len(lines.token)

    def measure_room(exponents: Float64Array) -> tuple[float, Float64Array]:
        """Return how far the log probability of the training lines is below the limit, and the gradient."""
        value, gradient = training.log_probability(exponents)
        highest = value.max()
        share = np.exp(value - highest)
        return np.log(limit) - highest - np.log(share.sum()), -(share @ gradient) / share.sum()

    with threadpool_limits(1, "blas"):  # more threads round differently
        fitted = minimize(
            measure,
            (0.5, 0.5),
            jac=True,
            method="SLSQP",
            bounds=[(0, MAX_EXPONENT)] * 2,
            constraints={"type": "ineq", "fun": lambda x: measure_room(x)[0], "jac": lambda x: measure_room(x)[1]},
            options={"ftol": 1e-9},
        )
    exponents: Float64Array = fitted.x
    return exponents
