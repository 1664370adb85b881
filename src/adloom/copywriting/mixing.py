"""Mix the copywriter's network with n-grams of its tokens."""

from collections.abc import Sequence

import numpy as np

from adloom.copywriting.tokenizer import Tokenizer
from adloom.sequences import kneser_ney
from adloom.sequences.decoding import S, SequenceModel
from adloom.sequences.mixture import Mixture, TokenNgrams, fit_weights
from adloom.sequences.scoring import iterate_batches

HIGHEST_ORDER = 6  # tokens


def mix(
    network: SequenceModel[S],
    tokenizer: Tokenizer,
    train: Sequence[str],
    validation: Sequence[str],
    categories: Sequence[str | None],
) -> Mixture[S]:
    """
    Return the mixture of a network and n-grams of the training lines.

    The n-grams' order and the weights are those that predict the validation lines, of these categories, best.
    """
    encoded = [tokenizer.encode(line) for line in validation]
    models = kneser_ney.fit_orders(
        [tokenizer.encode(line) for line in train], HIGHEST_ORDER, tokenizer.size - len(tokenizer.special)
    )
    best = min(models, key=lambda model: float(model.line_bits(encoded).sum()))
    ngrams = TokenNgrams.build(best, tokenizer.size, tokenizer.special - {tokenizer.end}, tokenizer.end)
    orders = len(best.orders)
    mixture = Mixture(network, ngrams, np.full(orders, 0.5))
    lines = [tokenizer.encode_line(line, name) for line, name in zip(validation, categories, strict=True)]
    columns = []
    for _, token, real in iterate_batches(lines):
        both, _ = mixture.predict(token[:, :-1], mixture.start(len(token)))
        target, counted = token[:, 1:, None], real[:, 1:]
        network_share, ngram_share = (
            np.take_along_axis(odds, target, axis=2)[..., 0][counted] for odds in (both.network, both.ngrams)
        )
        columns.append((network_share, ngram_share, both.seen[counted]))
    odds, ngram_odds, seen = (np.concatenate(column) for column in zip(*columns, strict=True))
    return Mixture(network, ngrams, fit_weights(odds, ngram_odds, seen, orders))
