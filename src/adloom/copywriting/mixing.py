"""Mix the copywriter's network with n-grams of its tokens."""

from collections.abc import Sequence

import numpy as np

from adloom.copywriting.tokenizer import Tokenizer
from adloom.sequences import kneser_ney
from adloom.sequences.decoding import S, SequenceModel
from adloom.sequences.mixture import Mixture, TokenNgrams, fit_exponents
from adloom.sequences.scoring import iterate_batches

HIGHEST_ORDER = 6  # tokens
MAX_ODDS = 2**23  # of tokens that the exponents are fitted to


def mix(
    network: SequenceModel[S],
    tokenizer: Tokenizer,
    train: Sequence[str],
    validation: Sequence[str],
    categories: Sequence[str | None],
) -> Mixture[S]:
    """
    Return the mixture of a network and n-grams of the training lines.

    The n-grams' order and the exponents are those that predict the validation lines, of these categories, best.
    """
    encoded = [tokenizer.encode(line) for line in validation]
    models = kneser_ney.fit_orders(
        [tokenizer.encode(line) for line in train], HIGHEST_ORDER, tokenizer.size - len(tokenizer.special)
    )
    best = min(models, key=lambda model: float(model.line_bits(encoded).sum()))
    ngrams = TokenNgrams.build(best, tokenizer.size, tokenizer.special - {tokenizer.end}, tokenizer.end)
    mixture = Mixture(network, ngrams, np.ones(2))
    lines = [tokenizer.encode_line(line, name) for line, name in zip(validation, categories, strict=True)]
    odds = sum(map(len, lines)) * tokenizer.size
    columns = []
    for _, token, real in iterate_batches(lines[:: -(-odds // MAX_ODDS)]):
        ours, theirs, _ = mixture.predict(token[:, :-1], mixture.start(len(token)))
        counted = real[:, 1:]
        columns.append((ours[counted], theirs[counted], token[:, 1:][counted]))
    logits, ngram_logits, target = (np.concatenate(column) for column in zip(*columns, strict=True))
    return Mixture(network, ngrams, fit_exponents(logits, ngram_logits, target))
