"""The bits that a sequence model needs for lines of copy."""

from collections.abc import Sequence

from adloom.arrays import Float64Array
from adloom.copywriting.tokenizer import Tokenizer
from adloom.sequences.decoding import S, SequenceModel
from adloom.sequences.scoring import sequence_bits


def line_bits(
    model: SequenceModel[S], tokenizer: Tokenizer, lines: Sequence[str], categories: Sequence[str | None]
) -> Float64Array:
    """
    Return the bits of each line (lines,), its end included, conditioned on its category.

    They are an upper bound, because only the tokenizer's own split is scored.
    """
    pairs = zip(lines, categories, strict=True)
    return sequence_bits(model, [tokenizer.encode_line(line, category) for line, category in pairs])
