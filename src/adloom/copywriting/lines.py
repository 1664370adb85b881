"""
Write lines of copy that keep the rules. NumPy only, so that serving needs no torch.

A line that breaks a rule is rejected and another is drawn. Equal requests to equal models give equal lines.
"""

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from adloom.arrays import BoolArray, Int64Array, UInt64Array
from adloom.copywriting.tokenizer import Tokenizer
from adloom.copywriting.verbatim_filter import is_known
from adloom.sequences.decoding import S, SequenceModel, decode_batch

MAX_ROUNDS = 10  # of at most n lines each: bounds the cost of a request
UNREADABLE = "\ufffd"


@dataclass(frozen=True)
class LineRules:
    """Rules that every returned line keeps. Blank lines and broken UTF-8 are always rejected."""

    banned: tuple[str, ...] = ()  # words or phrases, matched as whole words in any case
    max_characters: int | None = None  # of the whole line, prompt included
    known: UInt64Array | None = None  # fingerprints of lines that must not be repeated verbatim


@dataclass(frozen=True)
class LineRequest:
    """A request for lines of copy."""

    n: int
    seed: int
    category: str | None = None  # a category unknown to the tokenizer counts as none
    prompt: str = ""  # every line begins with it
    temperature: float = 1.0  # below 1 more likely lines, above 1 more unusual ones
    top_p: float = 1.0  # nucleus: only the likeliest tokens that together have this probability
    max_tokens: int = 64  # a line that has not ended by then is rejected
    max_drawn: int = sys.maxsize  # tokens of all lines together; lines that have not ended by then are left out
    rules: LineRules = LineRules()


def write_lines(model: SequenceModel[S], tokenizer: Tokenizer, request: LineRequest) -> list[str]:
    """
    Return n lines, or fewer when too many break a rule.

    Nucleus sampling: Holtzman, Buys, Du, Forbes & Choi 2020. The prompt may end inside a word, because each step allows
    the tokens that agree with its rest.
    """
    lines: list[str] = []
    tokens_left = request.max_drawn
    for number in range(MAX_ROUNDS):
        missing = request.n - len(lines)
        batch = min(request.n, 2 * missing)
        max_steps = min(request.max_tokens, tokens_left // max(batch, 1))
        if missing <= 0 or max_steps == 0:
            break
        sequences, steps = decode_batch(
            model,
            batch,
            _LineConstraint(tokenizer, request, batch),
            np.random.default_rng([request.seed, number]),
            prefix=tokenizer.prefix(request.category),
            end=tokenizer.end,
            max_tokens=max_steps,
            temperature=request.temperature,
            top_p=request.top_p,
        )
        lines += filter_lines([tokenizer.decode(tokens) for tokens in sequences], request.rules)[:missing]
        tokens_left -= batch * steps
    return lines


def filter_lines(lines: Sequence[str], rules: LineRules) -> list[str]:
    """Return the lines that keep the rules, in order."""
    valid = [line for line in lines if line.strip() and UNREADABLE not in line]
    if rules.max_characters is not None:
        valid = [line for line in valid if len(line) <= rules.max_characters]
    if rules.banned:
        banned = re.compile("|".join(rf"(?<!\w){re.escape(word)}(?!\w)" for word in rules.banned), re.IGNORECASE)
        valid = [line for line in valid if not banned.search(line)]
    if rules.known is not None:
        valid = [line for line, is_copy in zip(valid, is_known(rules.known, valid), strict=True) if not is_copy]
    return valid


class _LineConstraint:
    """Holds the lines of a batch to the prompt and to the maximum length."""

    def __init__(self, tokenizer: Tokenizer, request: LineRequest, batch: int) -> None:
        self._tokenizer = tokenizer
        self._prompt_left = [tokenizer.spell(request.prompt)] * batch
        self._characters_left = np.full(batch, request.rules.max_characters or np.iinfo(np.int64).max)
        self._masks: dict[str, BoolArray] = {}  # by the rest of the prompt

    def allowed(self, rows: Int64Array) -> BoolArray:
        """Return the tokens that agree with the rest of each row's prompt: (rows, vocabulary)."""
        return np.stack([self._mask(self._prompt_left[row]) for row in rows])

    def update(self, rows: Int64Array, tokens: Int64Array) -> BoolArray:
        """Return which rows are not too long with their next token (rows,)."""
        for row, token in zip(rows, tokens, strict=True):
            self._prompt_left[row] = self._prompt_left[row][len(self._tokenizer.pieces[token]) :]
        self._characters_left[rows] -= self._tokenizer.characters[tokens]
        within: BoolArray = self._characters_left[rows] >= 0
        return within

    def _mask(self, rest: str) -> BoolArray:
        """Return which tokens agree with the rest of a prompt (vocabulary,)."""
        if rest not in self._masks:
            mask = np.array([piece.startswith(rest) or rest.startswith(piece) for piece in self._tokenizer.pieces])
            mask[list(self._tokenizer.special)] = False
            mask[self._tokenizer.end] = not rest
            self._masks[rest] = mask
        return self._masks[rest]
