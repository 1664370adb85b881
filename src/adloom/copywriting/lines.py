"""
Write lines of copy that keep the rules. NumPy only, so that serving needs no torch.

Tokens that would break a rule cannot be drawn. Equal requests to equal models give equal lines.
"""

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic

import numpy as np

from adloom.arrays import UInt64Array
from adloom.copywriting.line_constraint import LineConstraint, match_words
from adloom.copywriting.scoring import line_bits
from adloom.copywriting.tokenizer import Tokenizer
from adloom.copywriting.verbatim_filter import is_known
from adloom.sequences.decoding import Draw, S, SequenceModel, Task, run_tasks

MAX_ROUNDS = 10  # of at most n lines each: bounds the cost of a request
TEMPERATURE, TOP_P, GUIDANCE = 0.7, 0.9, 4.0  # serving's defaults
CANDIDATES = 3  # lines drawn for each that must contain words; the likeliest are returned
FIRST_WORDS = 4  # a required word comes after at most so many others
UNREADABLE = re.compile("[\0\ufffd]")  # no database stores a zero byte; U+FFFD stands for bytes that are no UTF-8
CLAIMS = (
    "100%", "100 %", "#1", "no. 1", "number one", "best", "cheapest", "lowest price", "free", "guarantee", "guaranteed",
    "guarantees", "risk-free", "money back", "miracle", "cure", "cures", "heals", "clinically proven",
    "scientifically proven", "proven", "doctor recommended", "always", "never", "forever", "instant", "instantly",
    "permanent", "permanently", "organic", "eco-friendly", "climate neutral", "sustainable", "last chance",
)  # fmt: skip


@dataclass(frozen=True)
class LineRules:
    """Rules that every returned line keeps. Blank lines and broken UTF-8 are always rejected."""

    banned: tuple[str, ...] = ()  # words or phrases, matched as whole words in any case
    required: tuple[str, ...] = ()  # likewise
    no_claims: bool = False  # also ban CLAIMS, words of advertising claims that need evidence
    max_characters: int | None = None  # of the whole line, prompt included
    known: UInt64Array | None = None  # fingerprints of lines that must not be repeated verbatim

    @property
    def forbidden(self) -> tuple[str, ...]:
        """All banned words and phrases."""
        return (*self.banned, *(CLAIMS if self.no_claims else ()))


@dataclass(frozen=True)
class LineRequest:
    """A request for lines of copy."""

    n: int
    seed: int
    category: str | None = None  # a category unknown to the tokenizer counts as none
    prompt: str = ""  # every line begins with it
    temperature: float = 1.0  # below 1 more likely lines, above 1 more unusual ones
    top_p: float = 1.0  # nucleus: only the likeliest tokens that together have this probability
    guidance: float = 0.0  # above 0 lines are more typical of their category
    max_tokens: int = 64  # a line that has not ended by then is rejected
    max_drawn: int = sys.maxsize  # tokens of all lines together; lines that have not ended by then are left out
    rules: LineRules = LineRules()


def write_lines(model: SequenceModel[S], tokenizer: Tokenizer, request: LineRequest) -> list[str]:
    """
    Return n lines, or fewer when too many break a rule.

    Nucleus sampling: Holtzman, Buys, Du, Forbes & Choi 2020. The prompt may end inside a word, because each step allows
    the tokens that agree with its rest.
    """
    return write_together(model, tokenizer, [request])[0]


def write_together(model: SequenceModel[S], tokenizer: Tokenizer, requests: Sequence[LineRequest]) -> list[list[str]]:
    """Return the lines of each request, the same as alone; one call of the model continues the lines of all."""
    return run_tasks(model, [_LineWriter(model, tokenizer, request).write() for request in requests])


def filter_lines(lines: Sequence[str], rules: LineRules) -> list[str]:
    """Return the lines that keep the rules, in order."""
    valid = [line for line in lines if line.strip() and not UNREADABLE.search(line)]
    if rules.max_characters is not None:
        valid = [line for line in valid if len(line) <= rules.max_characters]
    if rules.forbidden:
        banned = match_words(rules.forbidden)
        valid = [line for line in valid if not banned.search(line)]
    valid = [line for line in valid if all(match_words([word]).search(line) for word in rules.required)]
    if rules.known is not None:
        valid = [line for line, is_copy in zip(valid, is_known(rules.known, valid), strict=True) if not is_copy]
    return valid


class _LineWriter(Generic[S]):
    """Draws the lines of one request, and counts its rounds and tokens."""

    def __init__(self, model: SequenceModel[S], tokenizer: Tokenizer, request: LineRequest) -> None:
        self._model, self._tokenizer, self._request = model, tokenizer, request
        self._prefix = tokenizer.prefix(request.category)
        self._guidance = 0.0 if self._prefix == tokenizer.begin else request.guidance
        self._cost = 2 if self._guidance else 1  # tokens that the model reads for each one drawn
        self._tokens_left, self._round = request.max_drawn, 0

    def write(self) -> Task[list[str]]:
        """Return the lines of the request."""
        request, lines = self._request, list[str]()
        while self._round < MAX_ROUNDS and self._tokens_left > 0 and (missing := request.n - len(lines)) > 0:
            if request.rules.required:
                lines += (yield from self.draw_with_required(missing))[:missing]
            else:
                drawn = yield from self.draw([request.prompt] * min(request.n, 2 * missing))
                lines += filter_lines(drawn, request.rules)[:missing]
        return lines

    def draw(self, prompts: Sequence[str], *, whole_words: bool = False) -> Task[list[str]]:
        """
        Return the lines with these prompts that ended.

        In late rounds a line that is too long is cut after a whole word; in earlier ones it is given up.
        """
        request, rules = self._request, self._request.rules
        max_steps = min(request.max_tokens, self._tokens_left // (self._cost * max(len(prompts), 1)))
        late = self._round >= MAX_ROUNDS // 2 or 2 * self._tokens_left < request.max_drawn
        sequences, steps = yield Draw(
            len(prompts),
            LineConstraint(
                self._tokenizer, prompts, rules.forbidden, rules.max_characters, whole_words=whole_words, cut=late
            ),
            np.random.default_rng([request.seed, self._round]),
            prefix=self._prefix,
            end=self._tokenizer.end,
            max_tokens=max_steps,
            temperature=request.temperature,
            top_p=request.top_p,
            guidance=self._guidance,
            begin=self._tokenizer.begin,
        )
        self._round += 1
        self._tokens_left = self._tokens_left - self._cost * len(prompts) * steps if max_steps else 0
        lines = [self._tokenizer.decode(tokens) for tokens in sequences]
        return [_end_with_word(line, request) for line in lines] if late else lines

    def draw_with_required(self, count: int) -> Task[list[str]]:
        """
        Return lines with all required words, the likeliest first.

        Each word replaces the end of a drawn line, and the model writes on from there.
        """
        request = self._request
        lines = (yield from self.draw([request.prompt] * (CANDIDATES * count))) or [request.prompt]
        for number, word in enumerate(request.rules.required):
            random = np.random.default_rng([request.seed, self._round, number])
            lacking = [line for line in lines if not match_words([word]).search(line)]
            prompts = [_place_word(line, word, request, random) for line in lacking]
            completed = (yield from self.draw(prompts, whole_words=True)) if prompts else []
            lines = [line for line in lines if line not in lacking] + completed
        valid = list(dict.fromkeys(filter_lines(lines, request.rules)))
        bits = line_bits(self._model, self._tokenizer, valid, [request.category] * len(valid))
        order = np.argsort(bits / np.array([len(line) + 1 for line in valid]), kind="stable")
        return [valid[i] for i in order]


def _place_word(line: str, word: str, request: LineRequest, random: np.random.Generator) -> str:
    """Return the prompt, some of the line's next words and a required word."""
    words = line[len(request.prompt) :].split(" ")
    first = 1 if request.prompt else 0  # the prompt may end inside a word
    kept = int(random.integers(first, max(min(len(words), FIRST_WORDS), first) + 1))
    limit = request.rules.max_characters or sys.maxsize
    while kept > first and len(request.prompt) + len(" ".join(words[:kept])) + 1 + len(word) > limit:
        kept -= 1
    return " ".join(part for part in (f"{request.prompt}{' '.join(words[:kept])}".rstrip(), word) if part)


def _end_with_word(line: str, request: LineRequest) -> str:
    """Return a line that exceeds the limit up to its last whole word; "" if nothing is left."""
    limit, start = request.rules.max_characters or sys.maxsize, len(request.prompt)
    if len(line) <= limit:
        return line
    kept, following = line[start:limit], line[limit]
    return line[:start] + (kept if following == " " else kept.rpartition(" ")[0])
