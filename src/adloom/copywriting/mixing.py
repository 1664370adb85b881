"""Mix the copywriter's network with n-grams of its tokens."""

from collections.abc import Sequence

import numpy as np

from adloom.copywriting.tokenizer import Tokenizer
from adloom.sequences import kneser_ney
from adloom.sequences.decoding import S, SequenceModel
from adloom.sequences.mixture import Mixture, ScoredLines, TokenNgrams, fit_exponents
from adloom.sequences.scoring import iterate_batches

HIGHEST_ORDER = 6  # tokens
LINE_WEIGHT = 3  # how many other sentences a line counts for in the n-grams
MAX_ODDS = 2**23  # of tokens that the exponents are fitted to
REPEATED = 1000  # the likeliest training lines, which are most of all copies


def mix(
    network: SequenceModel[S],
    tokenizer: Tokenizer,
    train: Sequence[str],
    validation: Sequence[str],
    categories: Sequence[str | None],
    sentences: Sequence[str] = (),
) -> Mixture[S]:
    """
    Return the mixture of a network and n-grams of the training lines and of other sentences.

    The order of the lines' n-grams and the exponents are those that predict the validation lines, of these categories,
    best. The mixture writes the likeliest training lines at most as often as n-grams of the lines alone.
    """
    learned, encoded, others = ([tokenizer.encode(line) for line in lines] for lines in (train, validation, sentences))
    possible = tokenizer.size - len(tokenizer.special)
    models = kneser_ney.fit_orders(learned, HIGHEST_ORDER, possible)
    best = min(models, key=lambda model: float(model.line_bits(encoded).sum()))
    chosen = kneser_ney.fit(learned * LINE_WEIGHT + others, len(best.orders), possible) if others else best
    ngrams = TokenNgrams.build(chosen, tokenizer.size, tokenizer.special - {tokenizer.end}, tokenizer.end)
    mixture = Mixture(network, ngrams, np.ones(2))
    lines = [tokenizer.encode_line(line, name) for line, name in zip(validation, categories, strict=True)]
    odds = sum(map(len, lines)) * tokenizer.size
    bits = best.line_bits(learned)
    likely = np.argsort(bits, kind="stable")[:REPEATED]
    names = np.random.default_rng(0).choice(np.array(categories, object), len(likely))
    repeated = [tokenizer.encode_line(train[i], name) for i, name in zip(likely, names, strict=True)]
    exponents = fit_exponents(
        _score(mixture, lines[:: -(-odds // MAX_ODDS)]), _score(mixture, repeated), float(np.exp2(-bits[likely]).sum())
    )
    return Mixture(network, ngrams, exponents)


def _score(mixture: Mixture[S], lines: Sequence[Sequence[int]]) -> ScoredLines:
    columns = []
    for rows, token, real in iterate_batches(lines):
        ours, theirs, _ = mixture.predict(token[:, :-1], mixture.start(len(token)))
        counted = real[:, 1:]
        columns.append(
            (ours[counted], theirs[counted], token[:, 1:][counted], np.repeat(np.array(rows), counted.sum(axis=1)))
        )
    ours, theirs, token, line = (np.concatenate(column) for column in zip(*columns, strict=True))
    return ScoredLines((ours, theirs), token, line)
