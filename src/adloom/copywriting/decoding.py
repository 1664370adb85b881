"""
Writing lines with a model that continues tokens: NumPy only, so that serving needs no torch.

`write_lines` draws lines from the model's distribution given that the rules hold: a line that breaks a rule is refused
as a whole and another is drawn. Equal requests to an equal model give equal lines.
"""

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

import numpy as np

from adloom.arrays import BoolArray, Float32Array, Float64Array, Int64Array, UInt64Array
from adloom.copywriting.tokenizer import Tokenizer
from adloom.copywriting.verbatim_filter import is_known

S = TypeVar("S")

MAX_ROUNDS = 10  # of at most n lines each: what a request may cost is bounded
SORTED_FIRST = 64  # likeliest tokens that are sorted at first
UNREADABLE = "\ufffd"


class SequenceModel(Protocol[S]):
    """A model that continues lines, such as io.onnx.Copywriter; its state is opaque here."""

    def start(self, batch: int) -> S:
        """Return the state before the first token."""
        ...

    def __call__(self, token: Int64Array, state: S) -> tuple[Float32Array, S]:
        """Map tokens (batch, sequence) and a state to logits (batch, sequence, vocabulary) and the next state."""
        ...


@dataclass(frozen=True)
class LineRules:
    """What no returned line may break. Blank lines and broken UTF-8 are always refused."""

    banned: tuple[str, ...] = ()  # words or phrases, matched as whole words in any case
    max_characters: int | None = None  # of the whole line, prompt included
    known: UInt64Array | None = None  # lines that must not be repeated verbatim


@dataclass(frozen=True)
class LineRequest:
    """What to write."""

    n: int
    seed: int
    category: str | None = None  # one the tokenizer does not know counts as none
    prompt: str = ""  # every line begins with it
    temperature: float = 1.0  # below 1 more likely lines, above 1 more unusual ones
    top_p: float = 1.0  # nucleus: only the likeliest tokens that together have this probability
    max_tokens: int = 64  # a line that has not ended by then is refused
    max_drawn: int = sys.maxsize  # tokens of all lines together; those that have not ended by then are left out
    rules: LineRules = LineRules()


def write_lines(write: SequenceModel[S], tokenizer: Tokenizer, request: LineRequest) -> list[str]:
    """
    Return n lines, or fewer when too many broke a rule: at most 10·n lines and `max_drawn` tokens are drawn.

    Nucleus sampling: Holtzman, Buys, Du, Forbes & Choi 2020. The prompt is held by allowing, at each step, only tokens
    that agree with what is left of it, so it may end inside a word and need not be split as training lines were.
    """
    lines: list[str] = []
    left = request.max_drawn
    for draw in range(MAX_ROUNDS):
        wanted = request.n - len(lines)
        batch = min(request.n, 2 * wanted)
        steps = min(request.max_tokens, left // max(batch, 1))
        if wanted <= 0 or steps == 0:
            break
        random = np.random.default_rng([request.seed, draw])
        drawn, taken = _draw(write, tokenizer, replace(request, max_tokens=steps), batch, random)
        lines += filter_lines(drawn, request.rules)[:wanted]
        left -= batch * taken
    return lines


def filter_lines(lines: Sequence[str], rules: LineRules) -> list[str]:
    """Return the lines that break no rule, in order."""
    kept = [line for line in lines if line.strip() and UNREADABLE not in line]
    if rules.max_characters is not None:
        kept = [line for line in kept if len(line) <= rules.max_characters]
    if rules.banned:
        banned = re.compile("|".join(rf"(?<!\w){re.escape(word)}(?!\w)" for word in rules.banned), re.IGNORECASE)
        kept = [line for line in kept if not banned.search(line)]
    if rules.known is not None:
        kept = [line for line, copied in zip(kept, is_known(rules.known, kept), strict=True) if not copied]
    return kept


def sample_tokens(logits: Float32Array, allowed: BoolArray, uniform: Float64Array, request: LineRequest) -> Int64Array:
    """
    Draw one token per row from logits (batch, vocabulary), of those allowed (batch, vocabulary).

    `uniform` (batch,) in [0, 1) is the only randomness: each row's inverse distribution function at it.
    """
    scaled = np.where(allowed, logits.astype(np.float64) / request.temperature, -np.inf)
    odds = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    odds /= odds.sum(axis=1, keepdims=True)
    tokens, rows = np.zeros(len(odds), np.int64), np.arange(len(odds))
    for count in (min(SORTED_FIRST, odds.shape[1]), odds.shape[1]):
        drawn, sure = _draw_from(odds[rows], count, uniform[rows], request.top_p)
        tokens[rows[sure]] = drawn[sure]
        rows = rows[~sure]
        if not len(rows):
            break
    return tokens


def _draw_from(odds: Float64Array, count: int, uniform: Float64Array, top_p: float) -> tuple[Int64Array, BoolArray]:
    """
    Draw a token per row from its `count` likeliest of odds (batch, vocabulary), and return which draws are sure.

    A draw is sure if it would be the same with all tokens sorted; only few tokens are, as a sort costs the most.
    """
    whole = count == odds.shape[1]
    order = np.sort(np.argpartition(-odds, count - 1, axis=1)[:, :count])
    order = np.take_along_axis(order, np.argsort(-np.take_along_axis(odds, order, 1), axis=1, kind="stable"), 1)
    likeliest = np.take_along_axis(odds, order, axis=1)
    before = np.cumsum(likeliest, axis=1) - likeliest
    nucleus = np.where(before < top_p, likeliest, 0.0)
    reached = np.cumsum(nucleus, axis=1)
    closed = whole | (before[:, -1] >= top_p)  # the nucleus ends among these
    mass = np.where(closed, reached[:, -1], 1.0)
    place = (reached <= (uniform * mass)[:, None]).sum(axis=1)
    last = (nucleus > 0).sum(axis=1) - 1
    place = np.minimum(place, last)[:, None]
    likelier = np.take_along_axis(likeliest, place, axis=1)[:, 0] > likeliest[:, -1]  # of equals, others may come first
    sure = whole | (likelier & (closed | ((top_p >= 1) & (place[:, 0] < last))))
    return np.take_along_axis(order, place, axis=1)[:, 0], sure


def _draw(
    write: SequenceModel[S], tokenizer: Tokenizer, request: LineRequest, batch: int, random: np.random.Generator
) -> tuple[list[str], int]:
    """Draw a batch of lines, each until it ends or is too long; return those that ended, and how many steps it took."""
    prompt = _PromptConstraint(tokenizer, request.prompt)
    left = [prompt.spelled] * batch
    written: list[list[int]] = [[] for _ in range(batch)]
    room = np.full(batch, request.rules.max_characters or np.iinfo(np.int64).max)
    ended, running = np.zeros(batch, np.bool_), np.ones(batch, np.bool_)
    token, state = np.full(batch, tokenizer.prefix(request.category), np.int64), write.start(batch)
    steps = 0
    while running.any() and steps < request.max_tokens:
        steps += 1
        logits, state = write(token[:, None], state)
        rows = np.flatnonzero(running)
        allowed = prompt.allowed([left[i] for i in rows])
        token[rows] = sample_tokens(logits[rows, -1], allowed, random.random(batch)[rows], request)
        ended[rows] = token[rows] == tokenizer.end
        for i in rows[~ended[rows]]:
            written[i].append(int(token[i]))
            left[i] = left[i][len(tokenizer.pieces[token[i]]) :]
        room[rows] -= tokenizer.characters[token[rows]]
        running &= ~ended & (room >= 0)
    return [tokenizer.decode(tokens) for tokens, done in zip(written, ended, strict=True) if done], steps


class _PromptConstraint:
    """Which tokens agree with what is left of the prompt: those that begin with it, and those it begins with."""

    def __init__(self, tokenizer: Tokenizer, prompt: str) -> None:
        self.spelled = tokenizer.spell(prompt)
        self._tokenizer = tokenizer
        self._known: dict[str, BoolArray] = {}

    def allowed(self, left: Sequence[str]) -> BoolArray:
        """Return (batch, vocabulary) for what is left of the prompt in each line."""
        return np.stack([self._known[rest] if rest in self._known else self._agreeing(rest) for rest in left])

    def _agreeing(self, rest: str) -> BoolArray:
        agree = np.array([piece.startswith(rest) or rest.startswith(piece) for piece in self._tokenizer.pieces])
        agree[list(self._tokenizer.special)] = False
        agree[self._tokenizer.end] = not rest
        self._known[rest] = agree
        return agree
