"""A copywriter in two lines of arithmetic, for tests that need no trained one."""

from collections.abc import Sequence

import numpy as np

from adloom.arrays import Float32Array, Int64Array
from adloom.copywriting import tokenizer
from adloom.copywriting.tokenizer import Tokenizer

LINES = ["Lovely dress", "Lovely warm coat", "Warm dress", "Soft warm coat", "Soft dress", "Naïve coat!"]


def words(lines: Sequence[str] = LINES) -> Tokenizer:
    """Return a tokenizer of two categories."""
    return tokenizer.fit(lines, ["Coats", "Dresses"], vocabulary=300)


class Bigram:
    """A bigram model; its state is the number of tokens read."""

    def __init__(self, tokens: Tokenizer, lines: Sequence[str] = LINES, smoothing: float = 1e-9) -> None:
        counts = np.full((tokens.size, tokens.size), smoothing)
        for category in (None, *tokens.categories):
            for line in lines:
                whole = tokens.encode_line(line, category)
                np.add.at(counts, (whole[:-1], whole[1:]), 1)
        self.table = np.log(counts / counts.sum(axis=1, keepdims=True)).astype(np.float32)

    def start(self, batch: int) -> int:
        """Return the initial state."""
        return 0

    def __call__(self, token: Int64Array, state: int) -> tuple[Float32Array, int]:
        """Return the next tokens' logits."""
        return self.table[token], state + token.shape[1]
