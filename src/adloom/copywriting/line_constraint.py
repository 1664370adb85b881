"""Limit the next tokens of a line: to its prompt, whole characters, no banned word, and a number of characters."""

import re
from codecs import getincrementaldecoder
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from adloom.arrays import BoolArray, Int64Array
from adloom.copywriting.tokenizer import Tokenizer, spell_bytes

_Utf8 = getincrementaldecoder("utf-8")
MAX_MASKS = 4096  # that are kept for later requests, a byte per token


class _LineState(NamedTuple):
    """Everything but the length that decides which tokens may come next."""

    rest: str  # of the prompt, as the tokenizer spells it
    ends_word: bool  # the prompt ends here, and with it a word
    tail: str  # last characters, as far as a banned word may begin there
    pending: bytes  # of a character that is not whole yet


class _Written(NamedTuple):
    """The end of what a line says so far."""

    length: int  # in bytes
    recent: str  # as many characters as decide where a banned word begins, after a line break at first
    pending: bytes  # of a character that is not whole yet


class LineConstraint:
    """Limits the tokens of a batch of lines, each with its own prompt."""

    def __init__(
        self,
        tokenizer: Tokenizer,
        prompts: Sequence[str],
        banned: Sequence[str] = (),
        max_characters: int | None = None,
        *,
        whole_words: bool = False,  # whether the last word of a prompt must not continue
        cut: bool = False,  # whether a line ends with the token that exceeds the limit; otherwise it is given up
    ) -> None:
        self._tokenizer, self._whole_words, self._cut = tokenizer, whole_words, cut
        self._prompts = [prompt.encode() for prompt in prompts]
        self._written = [_Written(0, "\n", b"")] * len(prompts)
        self._left = np.full(len(prompts), max_characters or np.iinfo(np.int64).max)
        self._banned = tuple(word.lower() for word in banned)
        self._only_end = np.arange(tokenizer.size) == tokenizer.end
        self._window = max(map(len, self._banned), default=0) + 1

    def allowed(self, rows: Int64Array) -> BoolArray:
        """Return the tokens that may come next in each row: (rows, vocabulary)."""
        too_long = (self._left[rows] < 0).tolist()
        masks = [
            self._only_end
            if over
            else _build_mask(self._tokenizer, self._banned, self._whole_words, self._describe(row))
            for row, over in zip(rows.tolist(), too_long, strict=True)
        ]
        return np.stack(masks)

    def update(self, rows: Int64Array, tokens: Int64Array) -> BoolArray:
        """Return which rows may continue with their next token (rows,)."""
        for row, token in zip(rows.tolist(), tokens.tolist(), strict=True):
            length, recent, pending = self._written[row]
            piece = self._tokenizer.piece_bytes[token]
            decoder = _Utf8()
            recent += decoder.decode(pending + piece)
            self._written[row] = _Written(length + len(piece), recent[-self._window :], decoder.getstate()[0])
        self._left[rows] -= self._tokenizer.characters[tokens]
        continues: BoolArray = (self._left[rows] >= 0) | self._cut
        return continues

    def _describe(self, row: int) -> _LineState:
        (length, recent, pending), prompt = self._written[row], self._prompts[row]
        ends_word = self._whole_words and length == len(prompt) > 0
        return _LineState(spell_bytes(prompt[length:]), ends_word, self._find_tail(recent), pending)

    def _find_tail(self, recent: str) -> str:
        """Return the shortest end of a text that can begin a banned word, else the last character."""
        if not self._banned:
            return ""
        for start in range(1, len(recent)):
            if not _is_word(recent[start - 1]) and any(
                word.startswith(recent[start:].lower()) for word in self._banned
            ):
                return recent[start:]
        return recent[-1:]


@lru_cache(MAX_MASKS)
def _build_mask(tokenizer: Tokenizer, banned: tuple[str, ...], whole_words: bool, state: _LineState) -> BoolArray:
    """Return which tokens may come next (vocabulary,)."""
    search = match_words(banned).search if banned else None
    mask = np.array([_fits(tokenizer, token, whole_words, search, state) for token in range(tokenizer.size)])
    mask[tokenizer.end] = not (state.rest or state.pending) or not mask.any()  # the rules refuse a line without tokens
    return mask


def _fits(
    tokenizer: Tokenizer,
    token: int,
    whole_words: bool,
    search: Callable[[str], object] | None,
    state: _LineState,
) -> bool:
    piece, rest = tokenizer.pieces[token], state.rest
    if token in tokenizer.special or not (piece.startswith(rest) or rest.startswith(piece)):
        return False
    content = tokenizer.piece_bytes[token]
    try:
        text = _Utf8().decode(state.pending + content)
    except UnicodeDecodeError:
        return False
    continues_word = state.ends_word or (whole_words and rest)
    if continues_word and _is_word(content[len(rest) :].decode(errors="ignore")[:1]):
        return False
    return search is None or not search(state.tail + text)


def match_words(words: Sequence[str]) -> re.Pattern[str]:
    """Return the pattern of whole words or phrases in any case."""
    return re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, words))})(?!\w)", re.IGNORECASE)


def _is_word(character: str) -> bool:
    return re.match(r"\w", character) is not None
