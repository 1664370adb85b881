"""
The baseline language model: n-grams of symbols with interpolated modified Kneser-Ney smoothing.

Chen & Goodman 1998, section 4.1.6, with the start symbol of Heafield et al. 2013: n-grams that begin with it keep their
plain counts.

A line is a text of characters, or a list of other symbols such as notes. The alphabet is every training symbol, the end
of line, and one for all unseen symbols, which share its probability equally. So this model, like the byte-level
copywriter, spreads probability 1 over all possible lines.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from adloom.arrays import Float64Array, Int64Array

T = TypeVar("T", bound=str | int)  # a character or a token

START, END, UNSEEN = 0, 1, 2  # symbols before those of the alphabet
MISSING = -1  # node of an n-gram that is not in the training text
UNICODE = 0x110000 - 0x800  # code points without surrogates
CHUNK = 1 << 20  # symbols counted at a time
FALLBACK = np.array([0.0, 0.5, 1.0, 1.5])  # discounts for too few counts of counts


@dataclass(frozen=True)
class NgramTable:
    """The n-grams of one length: nodes of a trie, sorted by (parent, last symbol)."""

    keys: Int64Array  # (nodes,) parent · symbols + last symbol, ascending
    discounted: Float64Array  # (nodes,) count less discount, as a share of its context's total
    backoff: Float64Array  # (parents,) probability of the next lower order; 1 for a context never continued


@dataclass(frozen=True)
class KneserNey(Generic[T]):
    """A fitted model; `orders[k - 1]` holds the n-grams of length k."""

    alphabet: tuple[T, ...]  # distinct training symbols, sorted; number i is symbol UNSEEN + 1 + i
    orders: tuple[NgramTable, ...]
    possible: int = UNICODE  # symbols that a line can have, seen or not

    @property
    def symbols(self) -> int:
        """The number of symbols, start included."""
        return UNSEEN + 1 + len(self.alphabet)

    def line_bits(self, lines: Sequence[Sequence[T]]) -> Float64Array:
        """Return the bits of each line (lines,), its end included."""
        bits = [self._stream_bits(stream) for stream in _iterate_streams(lines, self.alphabet)]
        return np.concatenate(bits) if bits else np.empty(0)

    def _stream_bits(self, stream: Int64Array) -> Float64Array:
        nodes = self._find_path(stream)
        events = np.flatnonzero(stream != START)
        contexts = [np.zeros(len(events), np.int64), *(level[events - 1] for level in nodes[:-1])]
        bits = -np.log2(self.probability(contexts, stream[events]))
        unseen = self.possible - len(self.alphabet)
        bits = bits + np.log2(max(unseen, 1)) * (stream[events] == UNSEEN)
        line = np.cumsum(stream == START)[events] - 1
        return np.bincount(line, weights=bits).astype(np.float64)

    def probability(self, contexts: Sequence[Int64Array], symbol: Int64Array) -> Float64Array:
        """
        Return the probability of symbols after contexts; shapes broadcast.

        `contexts[k]` holds the nodes of the last k symbols, MISSING if unseen.
        """
        result = np.full(np.broadcast_shapes(contexts[0].shape, symbol.shape), 1 / (self.symbols - 1))
        for order, context in zip(self.orders, contexts, strict=True):
            node = find_nodes(order.keys, context, symbol, self.symbols)
            share = np.where(node == MISSING, 0.0, order.discounted[node])
            backoff = np.where(context == MISSING, 1.0, order.backoff[context])
            result = share + backoff * result
        return result

    def next_probabilities(self, history: Int64Array) -> Float64Array:
        """Return the probability of each next symbol (n, symbols) after histories (n, length)."""
        contexts = [context[:, None] for context in self._find_contexts(history)]
        probability = self.probability(contexts, np.arange(self.symbols)[None, :])
        probability[:, START] = 0
        return probability

    def sample(self, n: int, seed: int, max_length: int) -> list[list[T]]:
        """Draw n lines of known symbols, cut after max_length."""
        random = np.random.default_rng(seed)
        history = np.full((n, 1), START, np.int64)
        running = np.arange(n)
        while len(running) and history.shape[1] <= max_length:
            probability = self.next_probabilities(history[running, -len(self.orders) :])
            cumulative = np.cumsum(probability * (np.arange(self.symbols) != UNSEEN), axis=1)
            drawn = (cumulative <= random.random((n, 1))[running] * cumulative[:, -1:]).sum(axis=1)
            history = np.pad(history, ((0, 0), (0, 1)), constant_values=END)
            history[running, -1] = drawn
            running = running[drawn != END]
        return [[self.alphabet[s - UNSEEN - 1] for s in line if s > UNSEEN] for line in history]

    def _find_contexts(self, history: Int64Array) -> list[Int64Array]:
        """Return for each length k the nodes (n,) of the last k symbols of histories (n, length)."""
        n, length = history.shape
        contexts = [np.zeros(n, np.int64)]
        for k in range(1, len(self.orders)):
            node = np.full(n, 0 if k <= length else MISSING)
            for order, symbol in zip(self.orders[:k], history[:, -k:].T, strict=False):
                node = find_nodes(order.keys, node, symbol, self.symbols)
            contexts.append(node)
        return contexts

    def _find_path(self, stream: Int64Array) -> list[Int64Array]:
        """Return for each length k the nodes (positions,) that end at each position."""
        nodes, parents = [], np.zeros(len(stream), np.int64)
        for order in self.orders:
            nodes.append(find_nodes(order.keys, parents, stream, self.symbols))
            parents = _shift_right(nodes[-1], stream)
        return nodes


def fit(lines: Sequence[Sequence[T]], order: int, possible: int = UNICODE) -> KneserNey[T]:
    """
    Fit a model of n-grams of up to `order` of `possible` symbols. Raises ValueError without lines.

    Lines are counted in chunks, once per order, so memory grows with the distinct n-grams alone.
    """
    return fit_orders(lines, order, possible)[-1]


def fit_orders(lines: Sequence[Sequence[T]], highest: int, possible: int = UNICODE) -> list[KneserNey[T]]:
    """
    Return the model of every order from 1 to `highest`, which share their counts.

    The list is shorter when no line has that many symbols. Raises ValueError without lines.
    """
    if not lines:
        raise ValueError("Kneser-Ney: no lines to fit on")
    alphabet = tuple(sorted(set[T]().union(*lines)))
    symbols = UNSEEN + 1 + len(alphabet)
    levels: list[Int64Array] = []
    plain: list[Int64Array] = []
    while len(levels) < highest:
        keys, occurrences = _count_next_level(lines, alphabet, levels)
        if not len(keys):
            break
        levels.append(keys)
        plain.append(occurrences)
    counts = _count_continuations(levels, plain, symbols)
    sizes = [1, *(len(keys) for keys in levels)]
    lower = [_build_table(*level, symbols) for level in zip(levels, counts, sizes, strict=False)]
    top = [_build_table(*level, symbols) for level in zip(levels, plain, sizes, strict=False)]
    return [KneserNey(alphabet, (*lower[:k], top[k]), possible) for k in range(len(levels))]


def estimate_discounts(counts: Int64Array) -> Float64Array:
    """Return the discounts of counts 0, 1, 2 and ≥ 3 by equation 26 of Chen & Goodman, else FALLBACK."""
    n = np.bincount(np.minimum(counts, 5), minlength=6).astype(float)[1:5]
    if not n.all():
        return FALLBACK
    y = n[0] / (n[0] + 2 * n[1])
    discounts = np.array([0.0, *(k - (k + 1) * y * n[k] / n[k - 1] for k in (1, 2, 3))])
    return discounts if (discounts[1:] > 0).all() else FALLBACK


def _build_table(keys: Int64Array, counts: Int64Array, contexts: int, symbols: int) -> NgramTable:
    """Return the table of n-grams with counts (nodes,)."""
    context = keys // symbols
    discount = estimate_discounts(counts)[np.minimum(counts, 3)]
    total = np.bincount(context, counts, minlength=contexts)
    left = np.bincount(context, discount, minlength=contexts)
    backoff = np.divide(left, total, out=np.ones(contexts), where=total > 0)
    return NgramTable(keys, (counts - discount) / total[context], backoff)


def _count_next_level(
    lines: Sequence[Sequence[T]], alphabet: Sequence[T], levels: Sequence[Int64Array]
) -> tuple[Int64Array, Int64Array]:
    """Return the keys of the n-grams one symbol longer than the levels', ascending, and how often each occurs."""
    keys, counts = np.empty((2, 0), np.int64)
    symbols = UNSEEN + 1 + len(alphabet)
    for stream in _iterate_streams(lines, alphabet):
        parents = np.zeros(len(stream), np.int64)
        for level in levels:
            parents = _shift_right(find_nodes(level, parents, stream, symbols), stream)
        exists = parents != MISSING
        new_keys, new_counts = np.unique(parents[exists] * symbols + stream[exists], return_counts=True)
        keys, place = np.unique(np.concatenate([keys, new_keys]), return_inverse=True)
        counts = np.bincount(place, np.concatenate([counts, new_counts])).astype(np.int64)
    return keys, counts


def _count_continuations(levels: Sequence[Int64Array], plain: Sequence[Int64Array], symbols: int) -> list[Int64Array]:
    """
    Return the counts of each level (nodes,): plain at the highest, else of distinct symbols to the left.

    N-grams that begin with the start symbol keep their plain counts; the symbol alone has count 0.
    """
    counts, suffix = list(plain), np.zeros(len(levels[0]), np.int64)  # node of each n-gram less its first symbol
    for k in range(1, len(levels)):
        parent, symbol = np.divmod(levels[k], symbols)
        suffix = find_nodes(levels[k - 1], suffix[parent], symbol, symbols)
        continued = np.bincount(suffix, minlength=len(levels[k - 1]))
        counts[k - 1] = np.where(continued == 0, plain[k - 1], continued)
    if len(levels) > 1:
        counts[0][START] = 0
    return counts


def _iterate_streams(lines: Sequence[Sequence[T]], alphabet: Sequence[T]) -> Iterator[Int64Array]:
    """Yield lines as symbols, in chunks of about CHUNK."""
    start, size = 0, 0
    for end, line in enumerate(lines, 1):
        size += len(line)
        if size >= CHUNK or end == len(lines):
            yield _encode_lines(lines[start:end], alphabet)
            start, size = end, 0


def _encode_lines(lines: Sequence[Sequence[T]], alphabet: Sequence[T]) -> Int64Array:
    """Return all lines as one row of symbols, each from START to END."""
    number = {symbol: i for i, symbol in enumerate(alphabet, UNSEEN + 1)}
    return np.array([s for line in lines for s in (START, *(number.get(x, UNSEEN) for x in line), END)], np.int64)


def _shift_right(nodes: Int64Array, stream: Int64Array) -> Int64Array:
    """Return the node that ends before each position, MISSING at a start."""
    return np.where(stream == START, MISSING, np.concatenate([[MISSING], nodes[:-1]]))


def find_nodes(keys: Int64Array, parent: Int64Array, symbol: Int64Array, symbols: int) -> Int64Array:
    """Return the nodes of parents continued by symbols, MISSING if absent; shapes broadcast."""
    child_keys = np.where(parent == MISSING, MISSING, parent * symbols + symbol)
    index = np.minimum(np.searchsorted(keys, child_keys), len(keys) - 1)
    return np.where(keys[index] == child_keys, index, MISSING)
